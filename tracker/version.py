"""The version of the package."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "landmark-tracker"
UNKNOWN = "0+unknown"
"""For files that were copied without the package's metadata."""
_ROOT = Path(__file__).resolve().parents[1]
_NAME = re.compile(rf'^name = "{DISTRIBUTION}"$', re.MULTILINE)
_VERSION = re.compile(r'^version = "(.+)"$', re.MULTILINE)


def read_version(root: Path = _ROOT) -> str:
    """Read the version from pyproject.toml in a checkout, else from the metadata of the installed package.

    The file comes first because an editable installation keeps the metadata of the day of its installation.

    Args:
        root: the folder that holds the package tracker.

    Returns:
        The version, such as "0.1.0"; UNKNOWN if neither states it.
    """
    try:
        text = (root / "pyproject.toml").read_text(encoding="utf-8")  # tomllib is not in Python 3.10
    except (OSError, UnicodeDecodeError):
        text = ""
    if _NAME.search(text) and (found := _VERSION.search(text)):
        return found[1]
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return UNKNOWN
