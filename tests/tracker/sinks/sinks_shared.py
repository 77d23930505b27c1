"""What the tests of the sinks share: results to write, and processes to end in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.result import FrameResult, TrackedFace
from tracker.sources import Frame

ROOT = Path(__file__).parents[3]
BLACK = np.zeros((48, 64, 3), np.uint8)


def result(index: int, faces: int = 1) -> FrameResult:
    points = np.random.default_rng(index).uniform(0, 640, (68, 2))
    landmarks = Landmarks.from_points(points, IBUG68)
    tracked = tuple(TrackedFace(i, "tracking", 0.5, landmarks, landmarks) for i in range(faces))
    return FrameResult(index, index / 30, tracked)


def frame(index: int, image_rgb: np.ndarray[Any, Any] = BLACK) -> Frame:
    return Frame(image_rgb, index / 30, index)


def play(path: Path) -> list[np.ndarray[Any, Any]]:
    """All pictures of a video, BGR."""
    capture, pictures = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        pictures.append(got[1])
    return pictures


def run_until_interrupted(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code that prints "ready" and goes on for ever; press Ctrl-C a moment later."""
    script = (
        "from tests.tracker.sinks.sinks_shared import *\nfrom tracker.sinks import *\nfolder = Path(sys.argv[1])\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        + textwrap.dedent(code)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(code, process.returncode, out, err)


def run_on_full_disk(code: str, folder: Path, stdout: Any = subprocess.DEVNULL) -> str:
    """Run code in a process whose files may not grow beyond 100 kB; its standard error."""
    pytest.importorskip("resource")
    script = (
        "from tests.tracker.sinks.sinks_shared import *\nfrom tracker.sinks import *\n"
        "import resource\nfolder = Path(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + textwrap.dedent(code)
    )
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 1
    return done.stderr
