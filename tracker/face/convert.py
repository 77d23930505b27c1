"""Conversion of landmarks from one scheme to another.

Schemes are the nodes of a graph. A conversion is an entry under "conversions" in the data file of the scheme that it
starts from (tracker.face.schemes): the name of the target scheme, and for each of its points the index of a source
point, or a list of [index, weight] whose weights add up to 1. Conversions are chained; the shortest chain is taken.

A conversion that only leaves points out is exact. From 98 to 68 points, the points of the eyelids are interpolated
between labelled ones, with weights that are not fitted to data. On 1,896 faces of 300W, whose lids were resampled by
splines at WFLW's positions, this costs 0.14 % of the outer eye distance over all 68 points (1.15 % on the eight points
of the lids); taking the nearest point instead costs 0.29 % (2.46 %). In addition, the annotators of the two sets
disagree, mostly about the jaw: a model trained on 300W is 4.6 % away from the converted labels of four faces of WFLW
(jaw 8.2 %, eyes 2.7 %, the rest 3.6 %), which includes its own error of 3.2 % on 300W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import FOLDER, SCHEMES, Scheme, read_table

Graph = Mapping[Scheme, Mapping[Scheme, Array]]
"""The weights of each conversion, (K of the target, K of the source), by source and target; every row adds up to 1."""


def convert(landmarks: Landmarks, scheme: Scheme) -> Landmarks:
    """Convert the landmarks of a face to another scheme, such as from WFLW98 to IBUG68 or IBUG49.

    Args:
        landmarks: of a scheme from which a conversion leads to the wanted one.
        scheme: the wanted scheme.

    Returns:
        Landmarks in pixels of the same picture. Each point, its score and its visibility are those of a source point,
        or a weighted mean of several; its covariance is that of the mean, with the errors of the points taken as
        independent.

    Raises:
        ValueError: there is no such conversion; the message names the schemes that can be reached.
    """
    if scheme is landmarks.scheme:
        return landmarks
    weights = conversion_weights(landmarks.scheme, scheme)
    covariances_px2 = np.square(weights) @ landmarks.covariances_px2
    visibility = None if landmarks.visibility is None else weights @ landmarks.visibility
    return Landmarks(weights @ landmarks.points_px, weights @ landmarks.scores, covariances_px2, scheme, visibility)


def reachable(source: Scheme) -> list[Scheme]:
    """List the schemes that landmarks can be converted to.

    Args:
        source: the scheme of the landmarks.

    Returns:
        The source itself, then the others, those with the fewest conversions first.
    """
    return list(_paths(source))


def common_scheme(first: Scheme, second: Scheme) -> Scheme:
    """Find the scheme with the most points that landmarks of two schemes can both be converted to.

    Args:
        first: a scheme.
        second: another scheme, or the same one.

    Returns:
        The common scheme; it may be one of the two.

    Raises:
        ValueError: there is none; the message names the schemes that each of the two can become.
    """
    found = [scheme for scheme in reachable(first) if scheme in reachable(second)]
    if not found:
        raise ValueError(
            f"landmarks of {first.name} and {second.name} cannot be compared; "
            f"{_possibilities(first)}, and {_possibilities(second)}"
        )
    return max(found, key=lambda scheme: scheme.count)


@cache
def conversion_weights(source: Scheme, target: Scheme) -> Array:
    """Compute the matrix that makes points of one scheme from points of another.

    Args:
        source: the scheme that the points have.
        target: the scheme that is wanted.

    Returns:
        (K of the target, K of the source) weights, read-only; every row adds up to 1.

    Raises:
        ValueError: there is no such conversion, see convert.
    """
    try:
        path = _paths(source)[target]
    except KeyError:
        raise ValueError(f"convert: {source.name} cannot become {target.name}; {_possibilities(source)}") from None
    weights = np.eye(source.count)
    for step, following in pairwise(path):
        weights = _graph()[step][following] @ weights
    weights.setflags(write=False)
    return weights


def _possibilities(source: Scheme) -> str:
    names = [scheme.name for scheme in reachable(source)[1:]]
    return f"{source.name} can become {', '.join(names) or 'no other scheme'}"


def _paths(source: Scheme) -> dict[Scheme, tuple[Scheme, ...]]:
    """Find the shortest path from the source to each scheme, both ends included, by a breadth-first search."""
    paths: dict[Scheme, tuple[Scheme, ...]] = {source: (source,)}
    queue = [source]
    for scheme in queue:
        for target in _graph().get(scheme, ()):
            if target not in paths:
                paths[target] = (*paths[scheme], target)
                queue.append(target)
    return paths


@cache
def _graph() -> Graph:
    return {scheme: read_conversions(FOLDER / f"{scheme.name}.json", scheme) for scheme in SCHEMES.values()}


def read_conversions(path: Path, source: Scheme) -> dict[Scheme, Array]:
    """Read the conversions in a scheme's data file.

    Args:
        path: the data file, see tracker.face.schemes.
        source: the scheme of that file.

    Returns:
        The weights (K of the target, K of the source) by target scheme.

    Raises:
        ValueError: an entry is not as described at the head of this module, or two mirrored points are not made from
            mirrored points.
    """
    try:
        entries = read_table(path)["conversions"].items()
        return {SCHEMES[name]: _weights(source, SCHEMES[name], rows) for name, rows in entries}
    except KeyError as error:
        raise ValueError(f"{path}: a conversion leads to {error}; known: {', '.join(SCHEMES)}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: a conversion is wrong: {error}") from None


def _weights(source: Scheme, target: Scheme, rows: Sequence[Any]) -> Array:
    if len(rows) != target.count:
        raise ValueError(f"expected {target.count} points of {target.name}, got {len(rows)}")
    weights = np.zeros((target.count, source.count))
    for point, row in enumerate(rows):
        for index, weight in [(row, 1.0)] if type(row) is int else row:
            if type(index) is not int or not 0 <= index < source.count or not 0 < weight <= 1 or weights[point, index]:
                raise ValueError(f"{target.name} {point} is made from {index!r:.40} with the weight {weight!r:.40}")
            weights[point, index] = weight
    if not np.allclose(weights.sum(1), 1, rtol=0, atol=1e-12):
        raise ValueError(f"the weights of {target.name} {int(np.abs(weights.sum(1) - 1).argmax())} do not add up to 1")
    mirrored = weights[target.flip][:, source.flip]
    if not np.array_equal(weights, mirrored):
        point = int(np.abs(weights - mirrored).max(1).argmax())
        raise ValueError(f"{target.name} {point} and the point mirrored to it are not made from mirrored points")
    return weights
