"""The figures of several clips: of a category, by frame and by video; of one clip, as a group of one.

Accuracy as the papers on 300VW give it: NME by the outer-eye distance, failures above 8 % and the AUC up to it, over
all frames of a category ("per_frame"), or as the mean over its videos ("per_video"). A frame without a face is a
failure; the NME is over the frames with one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tracker.evaluation.clip_metrics import ClipFigures
from tracker.evaluation.video import RAW, SMOOTH, WAYS
from tracker.face.geometry import Array
from tracker.metrics.nme import auc, failure_rate

THRESHOLD = 0.08


def group_figures(clips: Sequence[ClipFigures]) -> dict[str, Any]:
    """Accuracy by way and number of points, stability by way as the mean over videos, tracking over all frames.

    clips: at least one, each with a compared frame. A figure that is not defined is NaN.
    """
    return {
        "clips": len(clips),
        "frames": sum(clip.frames for clip in clips),
        "accuracy": {way: {n: _accuracies(clips, way, n) for n in clips[0].errors[way]} for way in WAYS},
        "stability": {way: means(clip.stability[way] for clip in clips) for way in WAYS},
        "tracking": tracking_figures(clips),
    }


def _accuracies(clips: Sequence[ClipFigures], way: str, number: int) -> dict[str, dict[str, float]]:
    errors = [clip.errors[way][number] for clip in clips]
    return {"per_frame": accuracy(np.concatenate(errors)), "per_video": means(map(accuracy, errors))}


def accuracy(errors: Array) -> dict[str, float]:
    """Over frames (T,), of which those that are NaN do not count."""
    compared = errors[~np.isnan(errors)]
    found = compared[np.isfinite(compared)]
    return {
        "nme_percent": 100 * float(found.mean()) if len(found) else math.nan,
        "failure_percent": 100 * failure_rate(compared, THRESHOLD),
        "auc": auc(compared, THRESHOLD),
        "found_percent": 100 * len(found) / len(compared),
    }


def tracking_figures(clips: Sequence[ClipFigures]) -> dict[str, float]:
    """Loss of track and identity over all frames; recovery over the losses that ended before their clip did."""
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
    """By key over those records in which it is finite; NaN where it is in none."""
    rows = list(records)
    return {key: _mean([row[key] for row in rows if math.isfinite(row[key])]) for key in rows[0]}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
