"""Landmark schemes: what the K points of a face are.

A scheme is a data file, scheme_tables/NAME.json, and its name in _NAMES below. The file holds, with indices from 0:

    source: where the order of the points, the curves and the conversions come from
    points: the number of points
    mirror: the pairs of points that swap when the picture is mirrored; the other points stay
    ocular, pupil: the points of the subject's right and left eye; errors are normalised by their distance
    curves: name; points in drawing order; "closed": true if the last point is joined to the first; "corners": the
        points where the curve turns back, if there are any
    groups: the points of each part of the face; every point is in one group
    conversions: how the points of other schemes are made from these, by the scheme's name, see tracker.face.convert
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).with_name("scheme_tables")
_NAMES = ("ibug68", "wflw98", "cofw29", "aflw19", "ibug51", "ibug49", "lapa106")
_KEYS = {"source", "points", "mirror", "ocular", "pupil", "curves", "groups", "conversions"}
Pair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Curve:
    """A boundary curve through landmarks, such as the outline of an eye.

    Attributes:
        name: of the curve, such as "right_eye".
        indices: of its points, in drawing order.
        closed: whether the last point is joined to the first.
        corners: the points where the curve turns back, such as from the upper lid to the lower one.
    """

    name: str
    indices: tuple[int, ...]
    closed: bool = False
    corners: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Scheme:
    """What the K points of a face are.

    Attributes:
        name: such as "ibug68".
        count: K, the number of points.
        flip: (K,) the index of the point that becomes point k when the picture is mirrored; applied twice it changes
            nothing.
        ocular: the outer eye corner of the subject's right and left eye, as two groups of points; the distance
            between their means normalises the NME.
        pupil: the same for the pupils, or for the points around each eye.
        curves: boundary curves, in the order of STAR's edge channels.
        groups: the indices of the points by part of the face.
    """

    name: str
    count: int
    flip: NDArray[np.intp]
    ocular: Pair
    pupil: Pair
    curves: tuple[Curve, ...]
    groups: Mapping[str, tuple[int, ...]]

    @cached_property
    def ocular_axis(self) -> NDArray[np.float64]:
        """(K,) weights: ocular_axis @ points (K, 2) is the vector from the right outer eye corner to the left one."""
        right, left = (np.isin(np.arange(self.count), group) / len(group) for group in self.ocular)
        return left - right

    def __repr__(self) -> str:
        return f"Scheme({self.name}, {self.count} points)"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and deep-copy one of SCHEMES by its name, so that the copy is the same object.

        The copy of any other scheme is a new object.
        """
        if self is SCHEMES.get(self.name):
            return scheme_named, (self.name,)
        parts = (getattr(self, field.name) for field in fields(self))
        return Scheme, tuple(parts)


def scheme_named(name: str) -> Scheme:
    """Return the scheme of a name.

    Args:
        name: one of SCHEMES, such as "ibug68".

    Returns:
        The scheme.

    Raises:
        ValueError: the name is not known; the message lists the known ones.
    """
    try:
        return SCHEMES[name]
    except KeyError:
        raise ValueError(f"unknown landmark scheme {name!r}; known: {', '.join(SCHEMES)}") from None


def read_scheme(path: Path) -> Scheme:
    """Read a scheme from its data file.

    Args:
        path: NAME.json, as described at the head of this module.

    Returns:
        The scheme, with the name of the file.

    Raises:
        ValueError: the file cannot be read, or its content is inconsistent; the message names the file.
    """
    table = read_table(path)
    try:
        return _checked(path.stem, table)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = error if type(error) is ValueError else f"a part is missing or of another kind ({error!r:.80})"
        raise ValueError(f"{path}: expected a landmark scheme as tracker.face.schemes describes, {reason}") from None


def read_table(path: Path) -> dict[str, Any]:
    """Read the JSON object in a scheme's data file.

    Args:
        path: of the file.

    Returns:
        The object, with all the required keys; their values are not checked.

    Raises:
        ValueError: the file does not hold such an object; the message names the file.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a landmark scheme in JSON, reading it gave {error!r:.120}") from None
    if not isinstance(table, dict) or set(table) != _KEYS:
        raise ValueError(f"{path}: expected a JSON object with {', '.join(sorted(_KEYS))}")
    return table


def _checked(name: str, table: Mapping[str, Any]) -> Scheme:
    """Build a scheme from a table. Raises ValueError for inconsistent values, and other errors for wrong types."""
    count = table["points"]
    if type(count) is not int or count < 2:
        raise ValueError(f"points must be a whole number of at least 2, got {count!r:.40}")
    if not isinstance(table["source"], str) or not table["source"].strip():
        raise ValueError("source must be a text that says where the scheme comes from")
    flip = _flip(table["mirror"], count)
    curves = tuple(_curve(entry, count) for entry in table["curves"])
    _expect_once("curves", [curve.name for curve in curves])
    _expect_mirrored_curves(curves, flip)
    groups = {str(part): _indices(part, points, count) for part, points in table["groups"].items()}
    _expect_once("groups", [index for group in groups.values() for index in group])
    if missing := sorted(set(range(count)).difference(*groups.values())):
        raise ValueError(f"the points {missing} are in no group")
    _expect_mirrored_groups(groups, flip)
    ocular, pupil = (_pair(key, table[key], flip) for key in ("ocular", "pupil"))
    return Scheme(name, count, flip, ocular, pupil, curves, groups)


def _flip(pairs: Sequence[Sequence[int]], count: int) -> NDArray[np.intp]:
    """Make the permutation (count,) that swaps each pair."""
    _expect_once("mirror", [index for pair in pairs for index in _indices("mirror", pair, count)])
    permutation = np.arange(count)
    for one, other in pairs:
        permutation[[one, other]] = other, one
    permutation.setflags(write=False)
    return permutation


def _curve(entry: Mapping[str, Any], count: int) -> Curve:
    if not {"name", "points"} <= set(entry) <= {"name", "points", "closed", "corners"}:
        raise ValueError(f"a curve needs name and points, and may have closed and corners, got {sorted(entry)}")
    indices, closed = _indices(entry["name"], entry["points"], count), entry.get("closed", False)
    if len(indices) < 2 or type(closed) is not bool:
        raise ValueError(f"the curve {entry['name']} needs at least two points, and closed must be true or false")
    corners = _indices(entry["name"], entry.get("corners", []), count)
    if not set(corners) <= set(indices):
        raise ValueError(f"the curve {entry['name']} has corners that are not its points: {list(corners)}")
    return Curve(entry["name"], indices, closed, corners)


def _pair(key: str, groups: Sequence[Sequence[int]], flip: NDArray[np.intp]) -> Pair:
    """Check the points of the right and of the left eye: each must be the mirror image of the other."""
    right, left = (_indices(key, group, len(flip)) for group in groups)
    if not right or set(right) & set(left) or set(flip[list(right)].tolist()) != set(left):
        raise ValueError(f"{key} must be points of the right eye and, mirrored, of the left one")
    return right, left


def _indices(what: object, points: Sequence[Any], count: int) -> tuple[int, ...]:
    """Check a list of points: each occurs once and is in range."""
    if not isinstance(what, str) or not isinstance(points, list):
        raise ValueError(f"{what!r:.40} must be a name with a list of points")
    for index in points:
        if type(index) is not int or not 0 <= index < count:
            raise ValueError(f"{what} has the point {index!r:.40}, which is not in 0..{count - 1}")
    _expect_once(what, points)
    return tuple(points)


def _expect_once(what: str, items: Sequence[object]) -> None:
    if more := [item for item, times in Counter(items).items() if times > 1]:
        raise ValueError(f"{what} has {more[0]} more than once")


def _expect_mirrored_curves(curves: Sequence[Curve], flip: NDArray[np.intp]) -> None:
    """Check that neighbours on a curve are neighbours when mirrored, too.

    A curve may be closed and its mirror image open, as COFW's eyes are.
    """
    lines = {frozenset(line) for curve in curves for line in zip(curve.indices, curve.indices[1:] + curve.indices[:1])}
    for curve in curves:
        for line in zip(curve.indices, curve.indices[1:]):
            if frozenset(flip[list(line)].tolist()) not in lines:
                raise ValueError(f"the curve {curve.name} is not a curve when mirrored")
    corners = {corner for curve in curves for corner in curve.corners}
    if lone := [corner for corner in sorted(corners) if int(flip[corner]) not in corners]:
        raise ValueError(f"the corner {lone[0]} is not a corner when mirrored")


def _expect_mirrored_groups(groups: Mapping[str, tuple[int, ...]], flip: NDArray[np.intp]) -> None:
    sets = [set(group) for group in groups.values()]
    for part, group in groups.items():
        if set(flip[list(group)].tolist()) not in sets:
            raise ValueError(f"the group {part} is not a group when mirrored")


SCHEMES: Mapping[str, Scheme] = {name: read_scheme(FOLDER.joinpath(f"{name}.json")) for name in _NAMES}
"""All schemes by name: those of models, of labels, and of conversions."""

IBUG68, WFLW98, COFW29, AFLW19, IBUG51, IBUG49 = (
    SCHEMES[name] for name in ("ibug68", "wflw98", "cofw29", "aflw19", "ibug51", "ibug49")
)
