"""How steadily landmarks follow a face through a video: jitter, offset, lag, loss of track.

Convention: points and truth are (T, K, 2) pixels, one row a frame in order of time; a frame without points (or without
truth) is a row of NaN. A measure that needs several consecutive frames leaves out those windows that contain such a
frame, and is NaN where nothing is left. length is (T,), in pixels, what a frame's distances are divided by, as a rule
the truth's outer-eye distance. Results are fractions of it, not percent, where nothing else is said.
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
    """Mean over windows and points of |p[t-1] - 2 p[t] + p[t+1]| / length[t].

    Given points - truth it is the acceleration error: the jitter that is not in the face's own motion.
    """
    return _mean(np.linalg.norm(np.diff(points, 2, axis=0), axis=2).mean(1) / length[1:-1])


def offset_removed(points: Array, truth: Array, length: Array) -> float:
    """NME after each point's mean offset over the clip, in pixels, has been taken off: what moves, not what differs in
    the two definitions of a point."""
    error = points - truth
    found = _complete(error)
    if not found.any():
        return float("nan")
    return _mean(np.linalg.norm(error - error[found].mean(0), axis=2).mean(1) / length)


def lag_frames(points: Array, reference: Array, most: int = MOST_LAG) -> float:
    """By how many frames the points come after the reference, to parts of a frame; negative: before it.

    The mean squared distance from points[t] to reference[t - s], constant offsets removed, is taken for whole s up to
    most, all over the same frames t; a parabola through the least and its neighbours gives the part. Nothing is
    interpolated, for that would smooth noise away and draw the lag to half frames. NaN where the least lies at the end
    of the range: too few frames, or nothing moves.
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
    """The four measures of FHR (Tai et al., AAAI 2019), means over the frames that have them.

    delay: how far behind the truth's last motion, in frames. accuracy, smoothness: root mean square distances to the
    truth, and to the mean of the frames before and after. deviation: the same to the segment between these two.
    The last three are percent of the larger side of the labels' extent.
    """

    delay: float
    accuracy: float
    smoothness: float
    deviation: float


def fhr_stability(points: Array, truth: Array) -> FhrStability:
    """FHR's measures. A frame in which the truth does not move has no delay."""
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
    """LDEQ's NMJ (Micaelli et al., CVPR 2023), the normalised mean jitter: how much the error changes from one frame to
    the next, root mean square over points and frames, in hundredths of a pixel of a face whose labels' extent,
    sqrt(width * height), is 256 pixels."""
    error = points - truth
    size = np.sqrt(np.ptp(truth, axis=1).prod(1))
    change = _rms(error[1:] - error[:-1]) * _RMS_STANDARD_PX / size[1:]
    return 100 * math.sqrt(_mean(change**2))


@dataclass(frozen=True)
class Losses:
    """When a face was lost and how soon it was found again.

    frames: compared. lost: of these, without the face. first: how many frames passed until it was found at all, None:
    never. times: how often it was lost after it had been found. recovered: the frames each loss took, of those that
    ended before the clip did.
    """

    frames: int
    lost: int
    first: int | None
    times: int
    recovered: tuple[int, ...]


def losses(lost: Mask, compared: Mask) -> Losses:
    """The losses of a track. lost, compared: (T,), whether a frame has lost the face, and whether it counts.

    A frame that does not count (no label, or left out) neither starts nor ends a loss, but takes its time.
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
    """(T,) whether nothing is missing in a row (T, K, 2)."""
    return np.asarray(np.isfinite(rows).all((1, 2)))


def _rms(rows: Array) -> Array:
    """(T,) root mean square length over the points of (T, K, 2)."""
    return np.asarray(np.sqrt((rows**2).sum(2).mean(1)))


def _from_segment(points: Array, start: Array, end: Array) -> Array:
    """The vector to each shape, taken as one point of 2 K numbers, from the nearest one between two others."""
    along = end - start
    squared = (along**2).sum((1, 2), keepdims=True)
    share = ((points - start) * along).sum((1, 2), keepdims=True) / np.where(squared > 0, squared, 1)
    return np.asarray(points - start - share.clip(0, 1) * along)


def _mean(values: Array) -> float:
    """Over those that are finite; NaN where none is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
