"""Landmark schemes: names, groups, flip permutation, eye pairs, boundary curves.

Indices are 0-based. Tables: 68 points as in iBUG 300-W (Sagonas et al., ICCVW 2013), 98 as in WFLW
(Wu et al., CVPR 2018), 29 as in COFW (Burgos-Artizzu et al., ICCV 2013), 19 as in AFLW (Zhu et al., CVPR 2016); the
boundary curves are those of ADNet and STAR (Huang et al., ICCV 2021; Zhou et al., CVPR 2023), those of AFLW our own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """A boundary curve through landmarks, in drawing order; a closed one returns to its start.

    corners: those of its landmarks where it turns back, as from the upper lid to the lower one.
    """

    name: str
    indices: tuple[int, ...]
    closed: bool = False
    corners: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Scheme:
    """What the K points of a face mean.

    flip: (K,) the point that takes place k when the picture is mirrored; an involution.
    ocular, pupil: two groups of points each; the distance between the groups' means normalises the NME
        (outer eye corners, and pupils or the eyes' means).
    curves: boundary curves, in the order of STAR's edge channels.
    groups: indices by part of the face.
    """

    name: str
    count: int
    flip: NDArray[np.intp]
    ocular: tuple[tuple[int, ...], tuple[int, ...]]
    pupil: tuple[tuple[int, ...], tuple[int, ...]]
    curves: tuple[Curve, ...]
    groups: Mapping[str, tuple[int, ...]]

    @cached_property
    def ocular_axis(self) -> NDArray[np.float64]:
        """(K,) weights: ocular_axis @ points (K, 2) leads from the subject's right outer eye corner to the left one."""
        right, left = (np.isin(np.arange(self.count), group) / len(group) for group in self.ocular)
        return left - right

    def __repr__(self) -> str:
        return f"Scheme({self.name}, {self.count} points)"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled and deeply copied by name where it is one of this module's, so that the copy is the same object.

        Of another scheme the copy is an object of its own.
        """
        if self is _OURS.get(self.name):
            return _ours, (self.name,)
        parts = (getattr(self, field.name) for field in fields(self))
        return Scheme, tuple(parts)


def _flip(count: int, *pairs: str) -> NDArray[np.intp]:
    """The permutation that swaps every "a-b" of the space-separated pairs."""
    permutation = np.arange(count)
    for pair in " ".join(pairs).split():
        left, right = map(int, pair.split("-"))
        permutation[[left, right]] = right, left
    permutation.setflags(write=False)
    return permutation


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _mirror(first: int, last: int, total: int) -> str:
    """Pairs i-(total-i) for i from first to last."""
    return " ".join(f"{i}-{total - i}" for i in range(first, last + 1))


def _groups(**groups: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
    return groups


IBUG68 = Scheme(
    name="ibug68",
    count=68,
    flip=_flip(
        68,
        _mirror(0, 7, 16),
        "17-26 18-25 19-24 20-23 21-22 31-35 32-34 36-45 37-44 38-43 39-42 40-47 41-46",
        "48-54 49-53 50-52 61-63 60-64 67-65 58-56 59-55",
    ),
    ocular=((36,), (45,)),
    pupil=(_span(36, 41), _span(42, 47)),
    curves=(
        Curve("jaw", _span(0, 16)),
        Curve("right_brow", _span(17, 21)),
        Curve("left_brow", _span(22, 26)),
        Curve("nose_bridge", _span(27, 30)),
        Curve("nostrils", _span(31, 35)),
        Curve("right_eye", _span(36, 41), closed=True, corners=(36, 39)),
        Curve("left_eye", _span(42, 47), closed=True, corners=(42, 45)),
        Curve("outer_lips", _span(48, 59), closed=True, corners=(48, 54)),
        Curve("inner_lips", _span(60, 67), closed=True, corners=(60, 64)),
    ),
    groups=_groups(
        jaw=_span(0, 16),
        brows=_span(17, 26),
        nose=_span(27, 35),
        right_eye=_span(36, 41),
        left_eye=_span(42, 47),
        mouth=_span(48, 67),
    ),
)

WFLW98 = Scheme(
    name="wflw98",
    count=98,
    flip=_flip(
        98,
        _mirror(0, 15, 32),
        "33-46 34-45 35-44 36-43 37-42 38-50 39-49 40-48 41-47",
        "60-72 61-71 62-70 63-69 64-68 65-75 66-74 67-73 55-59 56-58",
        "76-82 77-81 78-80 87-83 86-84 88-92 89-91 95-93 96-97",
    ),
    ocular=((60,), (72,)),
    pupil=((96,), (97,)),
    curves=(
        Curve("jaw", _span(0, 32)),
        Curve("right_brow", _span(33, 41), closed=True, corners=(33, 37, 38)),
        Curve("left_brow", _span(42, 50), closed=True, corners=(42, 46, 50)),
        Curve("nose_bridge", _span(51, 54)),
        Curve("nostrils", _span(55, 59)),
        Curve("right_eye", _span(60, 67), closed=True, corners=(60, 64)),
        Curve("left_eye", _span(68, 75), closed=True, corners=(68, 72)),
        Curve("outer_lips", _span(76, 87), closed=True, corners=(76, 82)),
        Curve("inner_lips", _span(88, 95), closed=True, corners=(88, 92)),
    ),
    groups=_groups(
        jaw=_span(0, 32),
        brows=_span(33, 50),
        nose=_span(51, 59),
        right_eye=(*_span(60, 67), 96),
        left_eye=(*_span(68, 75), 97),
        mouth=_span(76, 95),
    ),
)

COFW29 = Scheme(
    name="cofw29",
    count=29,
    flip=_flip(29, "0-1 4-6 2-3 5-7 8-9 10-11 12-14 16-17 13-15 18-19 22-23"),
    ocular=((8,), (9,)),
    pupil=((16,), (17,)),
    curves=(
        Curve("right_brow", (0, 4, 2, 5), closed=True, corners=(0, 2)),
        Curve("left_brow", (1, 6, 3, 7), closed=True, corners=(1, 3)),
        Curve("right_eye", (8, 12, 10, 13), closed=True, corners=(8, 10)),
        Curve("left_eye", (9, 14, 11, 15), corners=(9, 11)),  # open in STAR's table, unlike the right eye
        Curve("nose", (18, 20, 19, 21), closed=True, corners=(18, 19)),
        Curve("outer_lips", (22, 26, 23, 27), closed=True, corners=(22, 23)),
        Curve("inner_lips", (22, 24, 23, 25), closed=True, corners=(22, 23)),
    ),
    groups=_groups(
        brows=_span(0, 7),
        right_eye=(8, 10, 12, 13, 16),
        left_eye=(9, 11, 14, 15, 17),
        nose=_span(18, 21),
        mouth=_span(22, 27),
        chin=(28,),
    ),
)

AFLW19 = Scheme(
    name="aflw19",
    count=19,
    flip=_flip(19, "0-5 1-4 2-3 6-11 7-10 8-9 12-14 15-17"),
    ocular=((6,), (11,)),
    pupil=((7,), (10,)),
    curves=(
        Curve("right_brow", _span(0, 2)),
        Curve("left_brow", _span(3, 5)),
        Curve("right_eye", _span(6, 8)),
        Curve("left_eye", _span(9, 11)),
        Curve("nose", _span(12, 14)),
        Curve("mouth", _span(15, 17)),
    ),
    groups=_groups(
        brows=_span(0, 5),
        right_eye=_span(6, 8),
        left_eye=_span(9, 11),
        nose=_span(12, 14),
        mouth=_span(15, 17),
        chin=(18,),
    ),
)


def _part(scheme: Scheme, name: str, dropped: tuple[int, ...]) -> Scheme:
    """The scheme without some points; the others keep their order."""
    kept = [index for index in range(scheme.count) if index not in dropped]
    new = {old: index for index, old in enumerate(kept)}

    def renumbered(indices: Iterable[int]) -> tuple[int, ...]:
        return tuple(new[index] for index in indices if index in new)

    return Scheme(
        name=name,
        count=len(kept),
        flip=np.array(renumbered(scheme.flip[kept].tolist())),
        ocular=(renumbered(scheme.ocular[0]), renumbered(scheme.ocular[1])),
        pupil=(renumbered(scheme.pupil[0]), renumbered(scheme.pupil[1])),
        curves=tuple(
            Curve(c.name, renumbered(c.indices), c.closed, renumbered(c.corners))
            for c in scheme.curves
            if renumbered(c.indices)
        ),
        groups={part: renumbered(indices) for part, indices in scheme.groups.items() if renumbered(indices)},
    )


IBUG51 = _part(IBUG68, "ibug51", _span(0, 16))
"""The inner points: without the jaw, as 300W and 300VW report them too."""

IBUG49 = _part(IBUG68, "ibug49", (*_span(0, 16), 60, 64))
"""The 51 without the inner corners of the mouth, as 300VW reports them."""

_OURS: Mapping[str, Scheme] = {s.name: s for s in (IBUG68, WFLW98, COFW29, AFLW19, IBUG51, IBUG49)}


def _ours(name: str) -> Scheme:
    return _OURS[name]


SCHEMES: Mapping[str, Scheme] = {s.name: s for s in (IBUG68, WFLW98, COFW29, AFLW19)}


def scheme_named(name: str) -> Scheme:
    """The scheme of that name. Raises ValueError naming the known ones."""
    try:
        return SCHEMES[name]
    except KeyError:
        raise ValueError(f"unknown landmark scheme {name!r}; known: {', '.join(SCHEMES)}") from None
