"""The demo clip, short and small, and a detector that knows its truth: what the tests of the tracker share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker import Frame, Roi, Tracker
from tracker.detectors.base import Detection
from tracker.detectors.yunet import CALIBRATION
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources.demo import DemoClip
from tracker.tracking.estimator import next_roi

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


class FakeDetector:
    """Looks a picture up among the clip's frames and gives the true box and eyes, in its size; else nothing."""

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self, clip: DemoClip) -> None:
        self.clip = clip
        self.calls = 0
        self._small = np.stack([_shrunk(clip.picture(index)) for index in range(clip.count)])

    def detect(self, image_rgb: Image) -> list[Detection]:
        self.calls += 1
        differences = np.abs(self._small - _shrunk(image_rgb)).mean((1, 2))
        index = int(differences.argmin())
        if differences[index] > 8 or self.clip.occluded(index):
            return []
        return [self.truth(index, image_rgb.shape[1] / self.clip.size[0])]

    def truth(self, index: int, scale: float = 1.0) -> Detection:
        """What YuNet would say of that frame: its box spans more than the landmarks."""
        points = (self.clip.truth_px(index) + 0.5) * scale - 0.5
        eyes = np.stack([points[36:42].mean(0), points[42:48].mean(0)])
        return Detection(box_of_view(next_roi(Landmarks.from_points(points, IBUG68))), 0.9, eyes)


def _shrunk(image_rgb: Image) -> NDArray[np.float32]:
    """(18, 24) grey."""
    small = cv2.resize(image_rgb, (24, 18), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def box_of_view(roi: Roi) -> Array:
    """(4,) the box that YuNet would draw for a face with that view."""
    side = roi.side_px / CALIBRATION.side
    down = CALIBRATION.down * side
    x = roi.center_px[0] + math.sin(roi.rotation_rad) * down
    y = roi.center_px[1] - math.cos(roi.rotation_rad) * down
    return np.array([x - side / 2, y - side / 2, side, side])


@pytest.fixture(scope="session")
def clip() -> DemoClip:
    """Three seconds of the demo: frames 0 to 89, covered from 50 to 61 (.4 s), the cut before 68."""
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    return DemoClip(size=(320, 240), seconds=3)


@pytest.fixture(scope="session")
def frames(clip: DemoClip) -> list[Frame]:
    return list(DemoClip(clip.size, clip.fps or 0, seconds=3))


@pytest.fixture(scope="session")
def video(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip as a file."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    height, width = frames[0].image_rgb.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="session")
def fake_detector(clip: DemoClip) -> FakeDetector:
    return FakeDetector(clip)


@pytest.fixture(scope="session")
def make_tracker(fake_detector: FakeDetector) -> Callable[..., Tracker]:
    """A Tracker with the detector that knows the demo clip, or the one given: make_tracker(detector, max_faces=2)."""

    def make(detector: Any = None, **options: Any) -> Tracker:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tracker.tracking.tracker.load_detector", lambda *_: detector or fake_detector)
            return Tracker(**options)

    return make
