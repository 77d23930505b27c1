"""Clips that the tests make with the ffmpeg program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

Make = Callable[..., Path]
SOURCE = "-f lavfi -i testsrc=s=64x48:r=25:d=2"
TONE = "-f lavfi -i sine=440:d=2.6"  # longer than the pictures, as in most files


def find_program() -> str:
    """The ffmpeg that imageio-ffmpeg carries, else the system's, which may be too old for some options."""
    if find_spec("imageio_ffmpeg") is None and (found := shutil.which("ffmpeg")):
        return found
    carried = pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg, or pip install imageio-ffmpeg")
    return str(carried.get_ffmpeg_exe())


def make_clip(path: Path, arguments: str) -> Path:
    """Run ffmpeg with these arguments and the path as its output."""
    command = [find_program(), "-nostdin", "-v", "error", "-y", *arguments.split(), f"file:{path}"]
    subprocess.run(command, check=True, capture_output=True)
    return path
