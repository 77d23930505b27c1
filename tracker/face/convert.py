"""Landmarks of one scheme from those of another.

Schemes are the nodes of a graph. A conversion is an entry under "conversions" in the data file of the scheme that it
starts from (tracker.face.schemes): the target's name, and for each of the target's points the index of a source point,
or a list of [index, weight] whose weights add up to 1. Conversions are chained, the fewest that lead to the target.

Leaving points out costs nothing. From 98 to 68 the eyelids' points are put between labelled ones. Nothing is fitted. As
measured on 1,896 faces of 300W, whose lids were drawn as splines and read at WFLW's places, this costs 0.14 % of the
outer eye distance over all 68 points (1.15 % on the eight of the lids), without it 0.29 % (2.46 %). Beyond that the two
sets' annotators disagree, mostly about the jaw: a model made from 300W is 4.6 % from the converted labels of the four
faces of WFLW at hand (jaw 8.2, eyes 2.7, the rest 3.6 %), its own error included, which is 3.2 % on 300W.
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
"""By source and target the weights (K of the target, K of the source); every row adds up to 1."""


def convert(landmarks: Landmarks, scheme: Scheme) -> Landmarks:
    """Return the same face in another scheme, such as WFLW98 to IBUG68 or to IBUG49.

    A new point is an old one or a weighted mean of several, and so are its score and visibility; its covariance is
    that of the mean if they err independently. Pixels stay those of the same picture.

    Raises:
        ValueError: no conversion leads there; the sentence names the schemes that can be reached.
    """
    if scheme is landmarks.scheme:
        return landmarks
    weights = conversion_weights(landmarks.scheme, scheme)
    covariances_px2 = np.square(weights) @ landmarks.covariances_px2
    visibility = None if landmarks.visibility is None else weights @ landmarks.visibility
    return Landmarks(weights @ landmarks.points_px, weights @ landmarks.scores, covariances_px2, scheme, visibility)


def reachable(source: Scheme) -> list[Scheme]:
    """Return the schemes that landmarks of the source can be converted to, itself first, then the nearest."""
    return list(_paths(source))


def common_scheme(first: Scheme, second: Scheme) -> Scheme:
    """Return the scheme with the most points that landmarks of both can be converted to.

    Raises:
        ValueError: there is none; the sentence names what each of them leads to.
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
    """Return the (K of the target, K of the source) weights; every row adds up to 1. Raises ValueError as convert."""
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
    """By scheme the shortest path from the source to it, both ends included: a search in breadth."""
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
    """Read the conversions in a scheme's data file, by target.

    Raises:
        ValueError: an entry is not as described at the head of this file, or does not keep the sides of a face apart.
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
