"""Stability of landmarks in a video: jitter, offset, lag, loss of track.

Convention: points and truth are (T, K, 2) pixels, one row per frame in order of time; a frame without points (or
without truth) is a row of NaN. A measure over several consecutive frames skips windows that contain such a frame, and
is NaN if no window is left. length is (T,), in pixels, the length by which a frame's distances are divided, usually
the truth's distance between the outer eye corners. Results are fractions of it, not percent, unless stated otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_LAG = 5
_RMS_STANDARD_PX = 256.0  # LDEQ's standard face


def acceleration(points: Array, length: Array) -> float:
    """Return the mean over windows and points of |p[t-1] - 2 p[t] + p[t+1]| / length[t].

    For points - truth it is the acceleration error: the jitter without the face's own motion.

    Args:
        points: (T, K, 2) pixels.
        length: (T,) pixels.
    """
    return _mean(np.linalg.norm(np.diff(points, 2, axis=0), axis=2).mean(1) / length[1:-1])


def offset_removed(points: Array, truth: Array, length: Array) -> float:
    """Return the NME after subtracting each point's mean offset over the clip.

    It measures motion, without the constant difference between two definitions of a point.

    Args:
        points: (T, K, 2) pixels.
        truth: (T, K, 2) pixels.
        length: (T,) pixels.
    """
    error = points - truth
    found = _complete(error)
    if not found.any():
        return float("nan")
    return _mean(np.linalg.norm(error - error[found].mean(0), axis=2).mean(1) / length)


def lag_frames(points: Array, reference: Array, most: int = MOST_LAG) -> float:
    """Return by how many frames the points lag behind the reference, with sub-frame resolution.

    The mean squared distance from points[t] to reference[t - s], constant offsets removed, is computed for integer s
    in -most .. most, over the same frames t; a parabola through the minimum and its neighbours gives the fraction. The
    points are not interpolated, because that would smooth noise and bias the lag towards half frames.

    Args:
        points: (T, K, 2) pixels.
        reference: (T, K, 2) pixels.
        most: the largest lag to consider.

    Returns:
        The lag in frames; negative if the points are ahead. NaN if the minimum lies at the end of the range: there are
        too few frames, or nothing moves.
    """
    shifts = range(-most, most + 1)
    if len(points) <= 2 * most:
        return float("nan")
    middle = points[most : len(points) - most]
    errors = [middle - reference[most - s : len(reference) - most - s] for s in shifts]
    used = np.logical_and.reduce([_complete(error) for error in errors])
    if used.sum() < 2:
        return float("nan")
    costs = np.array([error[used].var(0).sum() for error in errors])
    best = int(costs.argmin())
    if best in (0, 2 * most):
        return float("nan")
    before, least, after = costs[best - 1 : best + 2]
    bend = before - 2 * least + after
    return best - most + float((before - after) / (2 * bend)) if bend > 0 else float("nan")


@dataclass(frozen=True)
class FhrStability:
    """The four measures of FHR (Tai et al., AAAI 2019), as means over the frames for which they are defined.

    All but delay are root mean square distances in percent of the larger side of the labels' extent.

    Attributes:
        delay: behind the truth's last motion, in frames.
        accuracy: distance to the truth.
        smoothness: distance to the mean of the frames before and after.
        deviation: distance to the segment between the frames before and after.
    """

    delay: float
    accuracy: float
    smoothness: float
    deviation: float


def fhr_stability(points: Array, truth: Array) -> FhrStability:
    """Compute FHR's measures; a frame in which the truth does not move has no delay.

    Args:
        points: (T, K, 2) pixels.
        truth: (T, K, 2) pixels.
    """
    percent = 100 / np.ptp(truth, axis=1).max(1)
    moved = truth[:-1] - truth[1:]
    squared = (moved**2).sum((1, 2))
    behind = ((points[1:] - truth[1:]) * moved).sum((1, 2))
    delay = np.divide(behind, squared, out=np.full(len(behind), np.nan), where=squared > 0)
    before, middle, after = points[:-2], points[1:-1], points[2:]
    return FhrStability(
        delay=_mean(delay),
        accuracy=_mean(_rms(points - truth) * percent),
        smoothness=_mean(_rms(middle - (before + after) / 2) * percent[1:-1]),
        deviation=_mean(_rms(_from_segment(middle, before, after)) * percent[1:-1]),
    )


def mean_jitter(points: Array, truth: Array) -> float:
    """Return the normalised mean jitter (NMJ) of LDEQ (Micaelli et al., CVPR 2023).

    It is the change of the error from one frame to the next, root mean square over points and frames, in hundredths of
    a pixel of a face whose labels' extent, sqrt(width * height), is 256 pixels.

    Args:
        points: (T, K, 2) pixels.
        truth: (T, K, 2) pixels.
    """
    error = points - truth
    size = np.sqrt(np.ptp(truth, axis=1).prod(1))
    change = _rms(error[1:] - error[:-1]) * _RMS_STANDARD_PX / size[1:]
    return 100 * math.sqrt(_mean(change**2))


@dataclass(frozen=True)
class Losses:
    """When a face was lost, and how soon it was found again.

    Attributes:
        frames: compared.
        lost: those of them without the face.
        first: frames until the face was first found; None: never.
        times: how often it was lost after it had been found.
        recovered: the duration in frames of each loss that ended before the clip.
    """

    frames: int
    lost: int
    first: int | None
    times: int
    recovered: tuple[int, ...]


def losses(lost: Mask, compared: Mask) -> Losses:
    """Find the losses of track in a clip.

    Args:
        lost: (T,) whether the face is lost in a frame.
        compared: (T,) whether a frame counts. One that does not (no label, or excluded) neither starts nor ends a
            loss, but adds to its duration.
    """
    numbers = np.flatnonzero(compared)
    state = lost[numbers]
    found = np.flatnonzero(~state)
    if not len(found):
        return Losses(len(state), int(state.sum()), None, 0, ())
    start = int(found[0])
    change = np.flatnonzero(np.diff(state[start:].astype(int))) + start + 1  # lost, found, lost, ... in turns
    begun, ended = numbers[change[::2]], numbers[change[1::2]]
    recovered = tuple(int(end - begin) for begin, end in zip(begun, ended))
    return Losses(len(state), int(state.sum()), int(numbers[start] - numbers[0]), len(begun), recovered)


def _complete(rows: Array) -> Mask:
    """Return (T,) whether all values of a row of (T, K, 2) are finite."""
    return np.asarray(np.isfinite(rows).all((1, 2)))


def _rms(rows: Array) -> Array:
    """Return (T,) the root mean square length over the points of (T, K, 2)."""
    return np.asarray(np.sqrt((rows**2).sum(2).mean(1)))


def _from_segment(points: Array, start: Array, end: Array) -> Array:
    """Return the vector to each shape, as one point of 2 K numbers, from the nearest point on a segment."""
    along = end - start
    squared = (along**2).sum((1, 2), keepdims=True)
    share = ((points - start) * along).sum((1, 2), keepdims=True) / np.where(squared > 0, squared, 1)
    return np.asarray(points - start - share.clip(0, 1) * along)


def _mean(values: Array) -> float:
    """Return the mean of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
