"""Clips that the tests make with the ffmpeg program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

Make = Callable[..., Path]
SOURCE = "-f lavfi -i testsrc=s=64x48:r=25:d=2"
TONE = "-f lavfi -i sine=440:d=2.6"  # longer than the pictures, as in most files


def find_program() -> str:
    """The ffmpeg that imageio-ffmpeg carries, or the system's, which may lack options of newer versions."""
    try:
        return str(import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        if found := shutil.which("ffmpeg"):
            return found
    pytest.skip("needs pip install imageio-ffmpeg, or ffmpeg 6 or newer")


def make_clip(path: Path, arguments: str) -> Path:
    """Run ffmpeg with these arguments and the path as its output."""
    command = [find_program(), "-nostdin", "-v", "error", "-y", *arguments.split(), f"file:{path}"]
    subprocess.run(command, check=True, capture_output=True)
    return path
