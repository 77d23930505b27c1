"""The version of the code that runs."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """Return the commit that is checked out, 12 hex digits, else the package's version.

    A repository that contains the installed package, such as that of a virtual environment, does not count.

    Returns:
        "unknown" if there is neither.
    """
    if top := _git("rev-parse", "--show-toplevel"):
        head = _git("rev-parse", "--short=12", "HEAD")
        if head and Path(top).resolve() == ROOT:
            return head
    try:
        return importlib.metadata.version("landmark-tracker")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _git(*arguments: str) -> str:
    """Return the output of git; empty if it fails, is not installed, or finds no repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip()
