"""The figures of one clip: errors by frame, stability, loss of track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.video import NO_FACE, RAW, SMOOTH, TRUE_BOXES, WAYS, ClipRun
from tracker.face.geometry import Array
from tracker.metrics.stability import (
    Losses,
    acceleration,
    fhr_stability,
    lag_frames,
    losses,
    mean_jitter,
    offset_removed,
)

LOST = 0.10
"""A face is lost where the tracker gives none, or one whose mean error is above this share of the size of its labels'
extent, sqrt(width * height); not of the outer-eye distance, which is short in profiles."""


@dataclass(frozen=True, eq=False)
class ClipFigures:
    """What is kept of a clip when its landmarks are let go.

    frames: how many were compared. errors: by way and number of points, (T,)
    NME as a fraction, infinite where there is no face and NaN where the frame is not compared. lost: (T,) whether the
    tracker had lost the face. stability: by way, see stability_figures. coasting: frames in which the face was held,
    not measured. identity_changes: how often the nearest face was another than before.
    """

    name: str
    category: str
    fps: float
    frames: int
    problems: tuple[str, ...]
    errors: dict[str, dict[int, Array]]
    lost: NDArray[np.bool_]
    losses: Losses
    stability: dict[str, dict[str, float]]
    coasting: int
    identity_changes: int


def clip_figures(run: ClipRun) -> ClipFigures:
    """Reduce a clip's landmarks to figures; stability over its largest set of points, while measured and not lost."""
    sets = run.clip.labelling.sets
    most = list(next(iter(sets.values())))
    truth = run.truth_px[:, most]
    points = {way: run.points_px[way][:, most] for way in WAYS}
    on_face = {way: _share_of_size(points[way], truth) <= LOST for way in WAYS}
    lost = run.compared & ~on_face[SMOOTH]
    held = {TRUE_BOXES: np.zeros_like(run.coasting), RAW: run.coasting, SMOOTH: run.coasting}
    steady = {way: np.where((on_face[way] & ~held[way])[:, None, None], points[way], np.nan) for way in WAYS}
    return ClipFigures(
        name=run.clip.name,
        category=run.clip.category,
        fps=run.clip.fps,
        frames=int(run.compared.sum()),
        problems=tuple(run.clip.problems),
        errors={way: {number: _errors(run, way, indices) for number, indices in sets.items()} for way in WAYS},
        lost=lost,
        losses=losses(lost, run.compared),
        stability={way: stability_figures(steady[way], truth, run.length_px, run.clip.fps) for way in WAYS},
        coasting=int(run.coasting.sum()),
        identity_changes=_changes(run.ids[run.compared & ~lost]),
    )


def stability_figures(points: Array, truth: Array, length_px: Array, fps: float) -> dict[str, float]:
    """The measures of tracker.metrics.stability, percent of the outer-eye distance where a name says so."""
    lag = lag_frames(points, truth)
    return {
        "offset_removed_percent": 100 * offset_removed(points, truth, length_px),
        "acceleration_error_percent": 100 * acceleration(points - truth, length_px),
        "acceleration_percent": 100 * acceleration(points, length_px),
        "truth_acceleration_percent": 100 * acceleration(truth, length_px),
        "lag_frames": lag,
        "lag_ms": 1000 * lag / fps,
        **{f"fhr_{name}": value for name, value in asdict(fhr_stability(points, truth)).items()},
        "mean_jitter": mean_jitter(points, truth),
    }


def _errors(run: ClipRun, way: str, indices: Sequence[int]) -> Array:
    errors = (run.points_px[way] - run.truth_px)[:, list(indices)]
    shares = np.linalg.norm(errors, axis=2).mean(1) / run.length_px
    return np.where(run.compared & np.isnan(shares), np.inf, shares)


def _share_of_size(points: Array, truth: Array) -> Array:
    """(T,) mean distance over sqrt(width * height) of the truth's extent; NaN where either is missing."""
    return np.asarray(np.linalg.norm(points - truth, axis=2).mean(1) / np.sqrt(np.ptp(truth, axis=1).prod(1)))


def _changes(ids: NDArray[np.int64]) -> int:
    known = ids[ids != NO_FACE]
    return int((known[1:] != known[:-1]).sum())
