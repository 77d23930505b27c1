"""The ffmpeg program: where it is, and how it is run."""

from __future__ import annotations

import shutil
import subprocess
from importlib import import_module


def find_ffmpeg() -> str | None:
    """The ffmpeg program on the path, else the one that imageio-ffmpeg carries; None where neither is."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        return str(import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def run_ffmpeg(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it says is kept."""
    command = [program, "-nostdin", "-v", "error", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
