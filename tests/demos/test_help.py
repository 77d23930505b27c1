"""Every demo says how it is called, and says in one sentence what is missing or where it wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.conftest import ROOT
from tracker.sources.demo import DemoClip

LIBRARIES = ("desktop_run", "desktop_view")  # parts of desktop.py
DEMOS = sorted(path.stem for path in (ROOT / "demos").glob("[a-z]*.py") if path.stem not in LIBRARIES)
VIDEOS = ("driver_monitor", "head_pose")


def run(demo: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"demos.{demo}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("demo", DEMOS)
def test_help(demo: str) -> None:
    """A demo whose packages are not installed says so instead."""
    done = run(demo, "--help")
    if done.returncode == 2:
        assert done.stderr.startswith(f"{demo}: needs ") and "pip install" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert demo in done.stdout


@pytest.mark.parametrize("demo", VIDEOS)
def test_a_video_says_where_it_is(demo: str, tmp_path: Path) -> None:
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    clip, output = tmp_path / "clip.mp4", tmp_path / "made/drawn.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
    for frame, _ in zip(DemoClip((320, 240), seconds=1), range(4)):
        writer.write(cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    done = run(demo, str(clip), "--output", str(output))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"written: {output}"
    assert cv2.VideoCapture(str(output)).read()[0]


@pytest.mark.parametrize("demo", VIDEOS)
def test_a_clip_that_does_not_exist(demo: str, tmp_path: Path) -> None:
    done = run(demo, "none.mp4", "--output", str(tmp_path / "drawn.mp4"))
    assert (done.returncode, done.stderr) == (2, f"{demo}: expected a video file, but none.mp4 does not exist\n")
