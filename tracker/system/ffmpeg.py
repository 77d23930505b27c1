"""Finds and runs the ffmpeg program."""

from __future__ import annotations

import shutil
import subprocess
from importlib import import_module


def find_ffmpeg() -> str | None:
    """Return the ffmpeg program on the path, else that of imageio-ffmpeg; None if there is neither."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        return str(import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def run_ffmpeg(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg to its end and capture its messages.

    Args:
        program: the path of ffmpeg.
        arguments: its arguments.
    """
    command = [program, "-nostdin", "-v", "error", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
