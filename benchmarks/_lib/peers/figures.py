"""The figures of benchmarks.peers: loss of track, errors, jitter, lag and times of systems on the same frames."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_accuracy import in_eyes_frame
from tracker.evaluation.clip_metrics import LOST, stability_figures
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68

RIGHT, LEFT = 36, 45  # the outer eye corners
MOST_LOST = 0.5
"""A system that lost the face in a larger share of the frames has no errors: those of the others are over the frames in
which all that are left have the face."""


@dataclass
class Track:
    """What one output of a system gave for a clip.

    Attributes:
        points: (68, 2) a frame, of the face nearest to the labels, in our convention; NaN where there is none.
        ms: of each frame's step; NaN if it was not timed.
        turns: how many frames each turn had.
    """

    points: list[Array] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)


@dataclass
class ClipTracks:
    """The labels of a clip (68, 2) a frame, and the tracks by name."""

    fps: float
    truths: list[Array] = field(default_factory=list)
    tracks: dict[str, Track] = field(default_factory=dict)


def convert(points: Array, numbers: NDArray[np.intp], shift_px: float) -> Array:
    """Return our 68 points of a face (K, 2) of a system, NaN for those that it does not have.

    Raises:
        IndexError: if the face has fewer points than numbers says.
    """
    ours = np.full((len(numbers), 2), np.nan)
    there = numbers >= 0
    ours[there] = points[numbers[there]] + shift_px
    return ours


def nearest_face(faces: Sequence[Array], truth: Array) -> Array:
    """Return the face (68, 2) with the least mean distance to the labels; the first if there are none."""
    if not faces:
        return np.full((IBUG68.count, 2), np.nan)
    if np.isnan(truth).all():
        return faces[0]
    return min(faces, key=lambda face: float(np.nanmean(np.linalg.norm(face - truth, axis=1))))


def figures(
    clips: Sequence[ClipTracks], names: Sequence[str], indices: Sequence[int], still: bool
) -> dict[str, dict[str, Any]]:
    """Return the figures of some tracks.

    Args:
        clips: with these tracks in each.
        names: of the tracks to compare; all of them have these points.
        indices: of the points to compare.
        still: single pictures: there is no jitter and no lag, and an offset is along and across the line of the eyes.

    Returns:
        By track: frames, lost, of these no_face and wrong_face (one farther from the labels than LOST of their extent),
        common (frames that the errors are over), the errors in percent of the outer eye corners' distance, lag_frames
        and milliseconds; None where there is no such figure.
    """
    compared = [_complete(_of(clip.truths, indices)) for clip in clips]
    found = {name: [np.asarray(_share_of_size(clip, name, indices) <= LOST) for clip in clips] for name in names}
    count = sum(int(mask.sum()) for mask in compared)
    fair = [name for name in names if _count(found[name], compared) >= (1 - MOST_LOST) * count]
    common = [np.logical_and.reduce([mask, *(found[name][i] for name in fair)]) for i, mask in enumerate(compared)]
    result = {}
    for name in names:
        tracks = [_of(clip.tracks[name].points, indices) for clip in clips]
        seen = [_complete(track) for track in tracks]
        values: dict[str, Any] = {
            "frames": count,
            "lost": count - _count(found[name], compared),
            "no_face": count - _count(seen, compared),
            "wrong_face": _count(seen, compared) - _count(found[name], compared),
        }
        if name in fair:
            values["common"] = sum(int(mask.sum()) for mask in common)
            values.update(_errors(clips, tracks, common, indices, still))
        values.update(times([clip.tracks[name] for clip in clips]))
        result[name] = {key: _rounded(value) for key, value in values.items()}
    return result


def times(tracks: Sequence[Track]) -> dict[str, Any]:
    """Return the median and the 95th percentile of the milliseconds, and the least and largest median of a turn."""
    ms = np.concatenate([track.ms for track in tracks])
    if not len(ms) or np.isnan(ms).any():
        return {"ms_p50": None, "ms_p95": None, "ms_p50_by_turn": None}
    edges = np.cumsum([length for track in tracks for length in track.turns])[:-1]
    medians = [float(np.median(turn)) for turn in np.split(ms, edges)]
    return {
        "ms_p50": float(np.median(ms)),
        "ms_p95": float(np.percentile(ms, 95)),
        "ms_p50_by_turn": [min(medians), max(medians)],
    }


def _errors(
    clips: Sequence[ClipTracks],
    tracks: Sequence[Array],
    common: Sequence[NDArray[np.bool_]],
    indices: Sequence[int],
    still: bool,
) -> dict[str, Any]:
    """Errors over the common frames; over several clips the stability is their mean."""
    truths = [_of(clip.truths, indices) for clip in clips]
    lengths = [_length(clip.truths) for clip in clips]
    each = [np.linalg.norm(a - b, axis=2).mean(1) / c for a, b, c in zip(tracks, truths, lengths)]
    values: dict[str, Any] = {"nme_percent": 100 * float(np.concatenate([e[m] for e, m in zip(each, common)]).mean())}
    if still:
        vectors = [
            in_eyes_frame(point - label, whole, IBUG68)
            for clip, track, truth, mask in zip(clips, tracks, truths, common)
            for point, label, whole, used in zip(track, truth, clip.truths, mask)
            if used
        ]
        errors = np.stack(vectors)
        values["offset_removed_percent"] = 100 * float(np.linalg.norm(errors - errors.mean(0), axis=2).mean())
        return {**values, "acceleration_error_percent": None, "lag_frames": None}
    stable = []
    for clip, track, truth, length, mask in zip(clips, tracks, truths, lengths, common):
        kept = np.where(mask[:, None, None], track, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # means over no frames; they are NaN, and None below
            stable.append(stability_figures(kept, truth, length, clip.fps))
    for key in ("offset_removed_percent", "acceleration_error_percent", "lag_frames", "truth_acceleration_percent"):
        per_clip = [figure[key] for figure in stable if math.isfinite(figure[key])]
        values[key] = float(np.mean(per_clip)) if per_clip else None
    return values


def _share_of_size(clip: ClipTracks, name: str, indices: Sequence[int]) -> Array:
    """(T,) the mean distance over sqrt(width * height) of the labels' extent; NaN if either is missing."""
    distances = np.linalg.norm(_of(clip.tracks[name].points, indices) - _of(clip.truths, indices), axis=2).mean(1)
    labelled = [truth[np.isfinite(truth).all(1)] for truth in clip.truths]
    sizes = [math.sqrt(np.ptp(points, axis=0).prod()) if len(points) else math.nan for points in labelled]
    return np.asarray(distances / np.array(sizes))


def _of(rows: Sequence[Array], indices: Sequence[int]) -> Array:
    return np.stack(list(rows))[:, list(indices)]


def _complete(rows: Array) -> NDArray[np.bool_]:
    """(T,) whether all values of a row are there."""
    return np.asarray(~np.isnan(rows).any((1, 2)))


def _length(truths: Sequence[Array]) -> Array:
    whole = np.stack(list(truths))
    return np.asarray(np.linalg.norm(whole[:, LEFT] - whole[:, RIGHT], axis=1))


def _count(masks: Sequence[NDArray[np.bool_]], compared: Sequence[NDArray[np.bool_]]) -> int:
    return sum(int((mask & used).sum()) for mask, used in zip(masks, compared))


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value
