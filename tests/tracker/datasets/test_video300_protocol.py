"""The clips of 300VW, its excluded frames and its points are those of the challenge."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

from tracker.datasets.video300 import CLIPS, POINTS, excluded_frames
from tracker.face.schemes import IBUG68

# Published: frames with labels, and frames left out, of each category.
EXCLUDED = {"train": 0, "A": 711, "B": 67, "C": 1349}


def test_clips_are_those_of_the_challenge() -> None:
    assert {category: len(clips) for category, clips in CLIPS.items()} == {"train": 50, "A": 31, "B": 19, "C": 14}
    assert len(set(chain(*CLIPS.values()))) == 114


def test_as_many_frames_are_left_out_as_was_published() -> None:
    left_out = excluded_frames()
    assert {c: sum(len(left_out.get(clip, ())) for clip in clips) for c, clips in CLIPS.items()} == EXCLUDED
    assert set(left_out) <= set(chain(*CLIPS.values()))


def test_the_frames_left_out_are_those_of_the_list(shared: Path) -> None:
    given = json.loads((shared / "spec/300vw_excluded_frames.json").read_text())
    assert excluded_frames() == {clip: frozenset(frames) for clip, frames in given.items()}


def test_points_are_those_inside_the_face_and_49_has_no_inner_corners() -> None:
    assert {number: len(indices) for number, indices in POINTS.items()} == {68: 68, 51: 51, 49: 49}
    assert set(POINTS[68]) - set(POINTS[51]) == set(IBUG68.groups["jaw"])
    assert set(POINTS[51]) - set(POINTS[49]) == {60, 64}  # the ends of the upper and the lower inner lip
