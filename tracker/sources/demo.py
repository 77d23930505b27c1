"""A synthetic clip with ground truth: one face, moved by a known motion, rendered on demand.

The picture is scikit-image's packaged astronaut (NASA, public domain); the face's landmarks are labelled by
hand in demo_landmarks.csv. The motion is exact, but the labels are one annotator's: no tracker reaches an error of 0
against them. Jitter does not depend on the labels.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.geometry import Array, scale_of, similarity, transform_points
from tracker.face.schemes import IBUG68
from tracker.metrics.nme import nme, normaliser
from tracker.sources import Frame, Source
from tracker.system.extras import describe_missing

Image = NDArray[np.uint8]

FOUND_PERCENT = 10.0
"""A face counts as found when its mean error is below this, in percent of the outer eye corners' distance."""

_FACE_PX = (223.5, 135.0)  # the middle of the face in the astronaut picture
_OCCLUSION_AT, _CUT_AT = 0.55, 0.75  # as fractions of the clip
_OCCLUSION_S = 0.4


class DemoClip(Source):
    """The astronaut under smooth pan, zoom and roll, with one occlusion of the face and one cut.

    Frames are rendered when they are read; none is kept.

    Args:
        size: (width, height) of the frames in pixels.
        fps: frames per second.
        seconds: the duration.
        seed: of the sensor noise.

    Attributes:
        count: the number of frames.
        covered: indices of the frames in which the face is covered.
        cut: index of the first frame after the cut.

    Raises:
        TrackerError: if scikit-image is not installed.
    """

    def __init__(
        self, size: tuple[int, int] = (640, 480), fps: float = 30.0, seconds: float = 10.0, seed: int = 0
    ) -> None:
        self.count = round(seconds * fps)
        self.size = size
        self.cut = round(_CUT_AT * self.count)
        covered = round(_OCCLUSION_AT * self.count)
        self.covered = range(covered, covered + round(_OCCLUSION_S * fps))
        self._rate = fps
        self._source_rgb = _astronaut()
        self._landmarks_px = np.loadtxt(Path(__file__).with_name("demo_landmarks.csv"), delimiter=",")
        generator = np.random.default_rng(seed)
        self._cloth = (generator.integers(70, 210, (12, 10, 1)) * (0.75, 0.9, 1)).astype(np.uint8)
        self._shifts = generator.integers(0, 65, (self.count, 2))
        self._noise = generator.normal(0, 2, (size[1] + 64, size[0] + 64, 3)).round().astype(np.int8)
        super().__init__("the demo clip", self.count, fps)

    def frame_from_source(self, index: int) -> Array:
        """Return the similarity transform (2, 3) from the astronaut picture to a frame, pixel centres at integers."""
        turns = 2 * np.pi * index / self._rate
        x, tilt, zoom = (0.27, -10.0, 1.3) if index >= self.cut else (0.6, 4.0, 1.4)
        zoom *= np.exp(0.17 * np.sin(turns / 7))
        x += 0.09 * np.sin(turns / 5)
        y = zoom / 4 + 0.03 * np.sin(turns / 3.5)  # near the top, so that the reflected border shows no second face
        roll = np.radians(tilt + 14 * np.sin(turns / 6))
        zoom *= min(self.size[0] / 640, self.size[1] / 480)
        return similarity(zoom, roll, _FACE_PX, (x * self.size[0], y * self.size[1]))

    def truth_px(self, index: int) -> Array:
        """Return the ground truth (68, 2) in pixels of a frame, in iBUG order, visible or covered."""
        return transform_points(self.frame_from_source(index), self._landmarks_px)

    def occluded(self, index: int) -> bool:
        """Tell whether the face is covered in a frame."""
        return index in self.covered

    def picture(self, index: int) -> Image:
        """Render a frame, (height, width, 3) uint8 RGB; the result depends only on the index."""
        matrix = self.frame_from_source(index)
        source = _blurred(self._source_rgb, scale_of(matrix))
        image: Image = np.empty((self.size[1], self.size[0], 3), np.uint8)
        cv2.warpAffine(source, matrix, self.size, image, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
        if self.occluded(index):
            self._cover(image, self.truth_px(index))
        x, y = self._shifts[index]
        noise = self._noise[y : y + self.size[1], x : x + self.size[0]]
        cv2.add(image, noise, dst=image, dtype=cv2.CV_8U)
        return image

    def _cover(self, image: Image, points_px: Array) -> None:
        """Draw a patterned rectangle over the face, a sixth larger on every side."""
        low, high = points_px.min(0), points_px.max(0)
        (x, y), (right, bottom) = (
            np.clip([low - (high - low) / 6, high + (high - low) / 6], 0, self.size).round().astype(int)
        )
        image[y:bottom, x:right] = cv2.resize(self._cloth, (right - x, bottom - y), interpolation=cv2.INTER_CUBIC)

    def _read(self) -> Generator[Frame, None, None]:
        for index in range(self.count):
            yield Frame(self.picture(index), index / self._rate, index)


@dataclass(frozen=True)
class DemoSummary:
    """How well the demo clip was tracked.

    Attributes:
        visible: frames in which the face is not covered.
        found: those of them in which it was found.
        error_percent: mean distance from the truth over the frames found, in percent of the distance between the
            outer eye corners; NaN if none was found.
        jitter_percent: mean norm of the error's second difference, in the same unit, over all three consecutive
            frames found without occlusion or cut between; NaN if there are none.
        after_occlusion: frames until the face was found again after the occlusion; 0: at once, None: never.
        after_cut: the same after the cut.
    """

    visible: int
    found: int
    error_percent: float
    jitter_percent: float
    after_occlusion: int | None
    after_cut: int | None


class DemoReport:
    """Compares tracked landmarks with the ground truth, frame by frame in order.

    Args:
        clip: the demo clip that is tracked.
    """

    def __init__(self, clip: DemoClip) -> None:
        self._clip = clip
        self._visible = 0
        self._errors: list[float] = []
        self._jitters: list[float] = []
        self._run: list[Array] = []  # the last errors in pixels, over consecutive frames found
        self._found_after: dict[int, int] = {}

    def add(self, index: int, points_px: Array | None) -> None:
        """Add the next frame.

        Args:
            index: of the frame.
            points_px: (68, 2) its tracked landmarks, in iBUG order; None if there is no face.
        """
        if index == self._clip.cut:
            self._run = []
        self._visible += not self._clip.occluded(index)
        if points_px is None or self._clip.occluded(index) or not self._compare(index, points_px):
            self._run = []

    def _compare(self, index: int, points_px: Array) -> bool:
        """Add the errors of a frame; return whether the face was found in it."""
        truth_px = self._clip.truth_px(index)
        percent = 100 / normaliser(truth_px, IBUG68)
        error = 100 * nme(points_px, truth_px, IBUG68)
        if error >= FOUND_PERCENT:
            return False
        self._errors.append(error)
        for start in (self._clip.covered.stop, self._clip.cut):
            if index >= start:
                self._found_after.setdefault(start, index - start)
        self._run = [*self._run[-2:], points_px - truth_px]
        if len(self._run) == 3:
            shake = self._run[2] - 2 * self._run[1] + self._run[0]
            self._jitters.append(percent * float(np.linalg.norm(shake, axis=1).mean()))
        return True

    def summary(self) -> DemoSummary:
        """Return the figures over all frames added so far."""
        return DemoSummary(
            visible=self._visible,
            found=len(self._errors),
            error_percent=float(np.mean(self._errors)) if self._errors else float("nan"),
            jitter_percent=float(np.mean(self._jitters)) if self._jitters else float("nan"),
            after_occlusion=self._found_after.get(self._clip.covered.stop),
            after_cut=self._found_after.get(self._clip.cut),
        )


def _astronaut() -> Image:
    """Load scikit-image's picture, (512, 512, 3) uint8 RGB."""
    try:
        data = import_module("skimage.data")
    except ImportError as error:
        raise TrackerError(f"the demo clip {describe_missing('scikit-image', 'demo', error)}") from error
    return np.asarray(data.astronaut(), dtype=np.uint8)


def _blurred(image: Image, zoom: float) -> Image:
    """Low-pass filter an image before it is shrunk; return it unchanged if it is enlarged."""
    if zoom >= 1:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(zoom**-2 - 1)), dtype=np.uint8)
