"""Metrics of one clip: errors by frame, stability, loss of track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.video import MODES, NO_FACE, RAW, SMOOTH, TRUE_BOXES, ClipRun
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
"""A face is lost if the tracker gives none, or one whose mean error is above this fraction of the size of its labels'
extent, sqrt(width * height). The outer-eye distance is not used, because it is short in profiles."""


@dataclass(frozen=True, eq=False)
class ClipFigures:
    """The metrics of a clip, without its landmarks.

    Attributes:
        name: of the clip.
        category: of the clip.
        fps: frames per second.
        frames: how many were compared.
        problems: defects of the clip.
        errors: by mode and number of points, (T,) NME as a fraction; infinite if there is no face, NaN if the frame is
            not compared.
        lost: (T,) whether the tracker had lost the face.
        losses: of track.
        stability: by mode, see stability_figures.
        coasting: frames in which the face was held, not measured.
        identity_changes: how often the id of the nearest face changed.
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
    """Compute the metrics of a clip.

    Stability is over the largest set of points, in frames in which the face is measured and not lost.

    Args:
        run: landmarks and labels of the clip.
    """
    sets = run.clip.labelling.sets
    most = list(next(iter(sets.values())))
    truth = run.truth_px[:, most]
    points = {mode: run.points_px[mode][:, most] for mode in MODES}
    on_face = {mode: _share_of_size(points[mode], truth) <= LOST for mode in MODES}
    lost = run.compared & ~on_face[SMOOTH]
    held = {TRUE_BOXES: np.zeros_like(run.coasting), RAW: run.coasting, SMOOTH: run.coasting}
    steady = {mode: np.where((on_face[mode] & ~held[mode])[:, None, None], points[mode], np.nan) for mode in MODES}
    return ClipFigures(
        name=run.clip.name,
        category=run.clip.category,
        fps=run.clip.fps,
        frames=int(run.compared.sum()),
        problems=tuple(run.clip.problems),
        errors={mode: {number: _errors(run, mode, indices) for number, indices in sets.items()} for mode in MODES},
        lost=lost,
        losses=losses(lost, run.compared),
        stability={mode: stability_figures(steady[mode], truth, run.length_px, run.clip.fps) for mode in MODES},
        coasting=int(run.coasting.sum()),
        identity_changes=_changes(run.ids[run.compared & ~lost]),
    )


def stability_figures(points: Array, truth: Array, length_px: Array, fps: float) -> dict[str, float]:
    """Compute the measures of tracker.metrics.stability.

    Args:
        points: (T, K, 2) pixels; NaN without a face.
        truth: (T, K, 2) pixels; NaN without a label.
        length_px: (T,) the outer-eye distance.
        fps: frames per second.

    Returns:
        The measures by name; those with "percent" are in percent of the outer-eye distance.
    """
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


def _errors(run: ClipRun, mode: str, indices: Sequence[int]) -> Array:
    errors = (run.points_px[mode] - run.truth_px)[:, list(indices)]
    shares = np.linalg.norm(errors, axis=2).mean(1) / run.length_px
    return np.where(run.compared & np.isnan(shares), np.inf, shares)


def _share_of_size(points: Array, truth: Array) -> Array:
    """Return (T,) the mean distance over sqrt(width * height) of the truth's extent; NaN if either is missing."""
    return np.asarray(np.linalg.norm(points - truth, axis=2).mean(1) / np.sqrt(np.ptp(truth, axis=1).prod(1)))


def _changes(ids: NDArray[np.int64]) -> int:
    known = ids[ids != NO_FACE]
    return int((known[1:] != known[:-1]).sum())
