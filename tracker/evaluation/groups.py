"""Metrics of a group of clips, such as a category or a single clip.

Accuracy as in the papers on 300VW: NME by the outer-eye distance, failures above 8 % and the AUC up to it, over all
frames of a category ("per_frame"), or as the mean over its videos ("per_video"). A frame without a face is a failure;
the NME is over the frames with one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tracker.evaluation.clip_metrics import ClipFigures
from tracker.evaluation.video import MODES, RAW, SMOOTH
from tracker.face.geometry import Array
from tracker.metrics.nme import auc, failure_rate

THRESHOLD = 0.08


def group_figures(clips: Sequence[ClipFigures]) -> dict[str, Any]:
    """Compute accuracy by mode and number of points, stability as the mean over videos, tracking over all frames.

    Args:
        clips: at least one, each with a compared frame.

    Returns:
        Nested by metric and mode; NaN for undefined values.
    """
    return {
        "clips": len(clips),
        "frames": sum(clip.frames for clip in clips),
        "accuracy": {mode: {n: _accuracies(clips, mode, n) for n in clips[0].errors[mode]} for mode in MODES},
        "stability": {mode: means(clip.stability[mode] for clip in clips) for mode in MODES},
        "tracking": tracking_figures(clips),
    }


def _accuracies(clips: Sequence[ClipFigures], mode: str, number: int) -> dict[str, dict[str, float]]:
    errors = [clip.errors[mode][number] for clip in clips]
    return {"per_frame": accuracy(np.concatenate(errors)), "per_video": means(map(accuracy, errors))}


def accuracy(errors: Array) -> dict[str, float]:
    """Compute the accuracy over frames.

    Args:
        errors: (T,) NME as fractions; infinite without a face, NaN in frames that do not count.
    """
    compared = errors[~np.isnan(errors)]
    found = compared[np.isfinite(compared)]
    return {
        "nme_percent": 100 * float(found.mean()) if len(found) else math.nan,
        "failure_percent": 100 * failure_rate(compared, THRESHOLD),
        "auc": auc(compared, THRESHOLD),
        "found_percent": 100 * len(found) / len(compared),
    }


def tracking_figures(clips: Sequence[ClipFigures]) -> dict[str, float]:
    """Compute loss of track and identity changes over all frames; recovery over losses that ended before the clip.

    Args:
        clips: at least one.
    """
    frames = sum(clip.frames for clip in clips)
    times = sum(clip.losses.times for clip in clips)
    recovery_s = [frames / clip.fps for clip in clips for frames in clip.losses.recovered]
    first_s = [clip.losses.first / clip.fps for clip in clips if clip.losses.first is not None]
    return {
        "first_found_s": _mean(first_s),
        "never_found": len(clips) - len(first_s),
        "lost_percent": 100 * sum(clip.losses.lost for clip in clips) / frames,
        "losses": times,
        "not_recovered": times - len(recovery_s),
        "recovery_mean_s": _mean(recovery_s),
        "recovery_max_s": max(recovery_s, default=math.nan),
        "coasting_percent": 100 * sum(clip.coasting for clip in clips) / frames,
        "identity_changes": sum(clip.identity_changes for clip in clips),
        **means(map(_smoothing_lag, clips)),
    }


def _smoothing_lag(clip: ClipFigures) -> dict[str, float]:
    raw, smooth = clip.stability[RAW], clip.stability[SMOOTH]
    return {f"smoothing_{name}": smooth[name] - raw[name] for name in ("lag_frames", "lag_ms")}


def means(records: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Average records key by key over the finite values; NaN if there are none.

    Args:
        records: at least one, with the same keys.
    """
    rows = list(records)
    return {key: _mean([row[key] for row in rows if math.isfinite(row[key])]) for key in rows[0]}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
