"""Runs a clip frame by frame in the boxes of its labels, and through the tracker with its detector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tracker.datasets.clips import LabelledClip, Truth
from tracker.evaluation.comparison import Comparison
from tracker.face.convert import convert
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68, Scheme
from tracker.result import TrackedFace
from tracker.sources import Frame
from tracker.tracking.estimator import LandmarkEstimator
from tracker.tracking.tracker import Tracker

TRUE_BOXES, RAW, SMOOTH = "true boxes", "tracker, raw", "tracker, smooth"
MODES = (TRUE_BOXES, RAW, SMOOTH)
"""In the ROI of the frame's label, as in 300VW's protocol; measured by the tracker; smoothed by the tracker."""

NO_FACE = 0


@dataclass(frozen=True, eq=False)
class ClipRun:
    """Landmarks and labels of a clip, by frame from the first to the last compared one.

    Attributes:
        clip: the clip.
        truth_px: (T, K, 2) labels; NaN in frames that are not compared, and for points that are not labelled.
        points_px: (T, K, 2) landmarks by mode; NaN without a face.
        ids: (T,) of the tracked face; 0 for none.
        coasting: (T,) whether the face was held, not measured.
    """

    clip: LabelledClip
    truth_px: Array
    points_px: dict[str, Array]
    ids: NDArray[np.int64]
    coasting: NDArray[np.bool_]

    @cached_property
    def compared(self) -> NDArray[np.bool_]:
        """(T,) whether a frame has a label."""
        return np.asarray(np.isfinite(self.truth_px).any((1, 2)))

    @cached_property
    def length_px(self) -> Array:
        """(T,) the labels' outer-eye distance; NaN in frames without a label."""
        right, left = (self.truth_px[:, list(group)].mean(1) for group in self.clip.labelling.scheme.ocular)
        return np.asarray(np.linalg.norm(right - left, axis=1))


class _Compared(NamedTuple):
    """A frame with a label: its index in the clip, (K, 2) points each, and the tracked face nearest to the label."""

    place: int
    truth_px: Array
    true_box_px: Array
    face: TrackedFace | None


class VideoEvaluation:
    """Runs clips through a tracker; of several tracked faces the one nearest to the label is compared.

    Args:
        tracker: with the model and the detectors to measure.
        labels: the scheme of the labels.

    Raises:
        TrackerError: if the model's landmarks cannot be compared with labels of that scheme.
    """

    def __init__(self, tracker: Tracker, labels: Scheme = IBUG68) -> None:
        self.tracker = tracker
        self.estimator = LandmarkEstimator(tracker.engine)
        self.comparison = Comparison.of_partial_labels(self.estimator.scheme, labels)

    def run(self, clip: LabelledClip) -> ClipRun:
        """Run one clip after a reset; its pictures are read once, and none is kept. The tracker gets every frame."""
        self.tracker.reset()
        rows = list[_Compared]()
        for frame, truth in tqdm(clip.read(), clip.name, len(clip), unit=" frames", disable=None, leave=False):
            faces = self.tracker.step(frame).faces
            if truth is not None:
                rows.append(self._compare(frame, truth, faces))
        return _run(clip, rows)

    def _compare(self, frame: Frame, truth: Truth, faces: Sequence[TrackedFace]) -> _Compared:
        landmarks, _ = self.comparison.estimate(self.estimator, frame.image_rgb, truth.labels_px)
        true_box_px = self.comparison.of_model(landmarks).points_px
        nearest = nearest_face(faces, truth.points_px, self.comparison.scheme)
        return _Compared(frame.index, truth.points_px, true_box_px, nearest)


def nearest_face(faces: Sequence[TrackedFace], truth_px: Array, scheme: Scheme) -> TrackedFace | None:
    """Return the face whose landmarks are nearest to the label; None if there are no faces.

    Args:
        faces: to choose from.
        truth_px: (K, 2); NaN for points that are not labelled.
        scheme: of the label.
    """

    def distance(face: TrackedFace) -> float:
        return float(np.nanmean(np.linalg.norm(convert(face.landmarks, scheme).points_px - truth_px, axis=1)))

    return min(faces, key=distance, default=None)


def _run(clip: LabelledClip, rows: Sequence[_Compared]) -> ClipRun:
    places = [row.place for row in rows]
    count = places[-1] + 1 if rows else 0
    scheme = clip.labelling.scheme

    def spread(points: Iterable[Array | None]) -> Array:
        table = np.full((count, scheme.count, 2), np.nan)
        for place, row in zip(places, points):
            if row is not None:
                table[place] = row
        return table

    faces = [row.face for row in rows]
    points = {
        TRUE_BOXES: spread(row.true_box_px for row in rows),
        RAW: spread(convert(face.raw, scheme).points_px if face else None for face in faces),
        SMOOTH: spread(convert(face.landmarks, scheme).points_px if face else None for face in faces),
    }
    ids, coasting = np.full(count, NO_FACE, np.int64), np.zeros(count, np.bool_)
    ids[places] = [face.id if face else NO_FACE for face in faces]
    coasting[places] = [face is not None and face.state == "coasting" for face in faces]
    return ClipRun(clip, spread(row.truth_px for row in rows), points, ids, coasting)
