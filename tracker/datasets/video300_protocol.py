"""What 300VW is (Shen et al., ICCVW 2015): its clips by category, the frames left out, the points compared.

A clip is a folder CLIP with vid.avi and annot/000001.pts, a label a frame, numbered from 1. Category A is filmed in
good light, B in uneven light, C in anything; the frames left out are those the challenge's ReadMe names, because their
labels are broken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

Category = Literal["train", "A", "B", "C"]
_CLIPS: Mapping[Category, str] = {
    "train": (
        "001 002 003 004 007 009 010 011 013 015 016 017 018 019 020 022 025 027 028 029 031 033 034 035 037 039 041 "
        "043 044 046 047 048 049 053 057 059 112 113 115 119 120 123 138 143 144 160 204 205 223 225"
    ),
    "A": (
        "114 124 125 126 150 158 401 402 505 506 507 508 509 510 511 514 515 518 519 520 521 522 524 525 537 538 540 "
        "541 546 547 548"
    ),
    "B": "203 208 211 212 213 214 218 224 403 404 405 406 407 408 409 412 550 551 553",
    "C": "410 411 516 517 526 528 529 530 531 533 557 558 559 562",
}
CLIPS: Mapping[Category, tuple[str, ...]] = {category: tuple(clips.split()) for category, clips in _CLIPS.items()}

_INNER = tuple(range(17, 68))
POINTS: Mapping[int, tuple[int, ...]] = {
    68: tuple(range(68)),
    51: _INNER,
    49: tuple(index for index in _INNER if index not in (60, 64)),
}
"""Which of the 68 points are compared, by their number: all, those inside the face, and these without the inner
corners of the mouth."""


@cache
def excluded_frames() -> Mapping[str, frozenset[int]]:
    """The 2,127 test frames that the challenge leaves out, counted from 1, by clip; clips without any are not named."""
    runs = json.loads(Path(__file__).with_name("video300_excluded.json").read_text(encoding="ascii"))
    return {clip: frozenset(frame for run in runs[clip].split() for frame in _frames(run)) for clip in runs}


def _frames(run: str) -> Iterator[int]:
    """The frames of "722-724" or of "792"."""
    first, _, last = run.partition("-")
    yield from range(int(first), int(last or first) + 1)
