"""Which faces are tracked first if there are more of them than max_faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from tracker.detectors.base import Detection
from tracker.errors import expect_choice
from tracker.face.geometry import Array

Follow = Literal["largest", "central", "confident"]
Ranking = Callable[[Detection, Array], float]
"""The rank of a detection in a picture of that size (2,) width, height: the higher, the earlier the face is tracked."""

NEAR = 0.1  # a fraction of the longer side; smaller distances from the middle rank about equally


class Ranked(NamedTuple):
    """A detection and its rank, above 0."""

    rank: float
    detection: Detection


def _area(face: Detection, size_px: Array) -> float:
    return float(face.box_px[2] * face.box_px[3])


def _nearness(face: Detection, size_px: Array) -> float:
    """1 / (d^2 + r^2): four times as much is at most half the distance d from the middle of the picture."""
    away = face.box_px[:2] + face.box_px[2:] / 2 - (size_px - 1) / 2
    return 1 / float(away @ away + (NEAR * size_px.max()) ** 2)


def _score(face: Detection, size_px: Array) -> float:
    return face.score


RANKINGS: Mapping[Follow, Ranking] = {"largest": _area, "central": _nearness, "confident": _score}


def ranking_of(follow: Follow) -> Ranking:
    """Return the ranking of that name.

    Raises:
        TrackerError: for an unknown name.
    """
    expect_choice("follow", follow, RANKINGS)
    return RANKINGS[follow]


def rank_detections(detections: Sequence[Detection], ranking: Ranking, shape: tuple[int, ...]) -> list[Ranked]:
    """Return the detections in a picture of that shape (H, W, ...), the one to track first at the front."""
    size_px = np.array([shape[1], shape[0]], np.float64)
    return sorted((Ranked(ranking(each, size_px), each) for each in detections), key=lambda each: -each.rank)
