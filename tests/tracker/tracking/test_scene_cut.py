"""A cut is told from motion, noise and light."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tracker.sources import open_source
from tracker.sources.demo import DemoClip
from tracker.tracking.scene_cut import SceneCutDetector


def test_the_demo_clip_has_one() -> None:
    clip, cut = DemoClip(), SceneCutDetector()
    assert [frame.index for frame in clip if cut.is_cut(frame.image_rgb)] == [0, clip.cut]


def test_a_talking_head_has_none(shared: Path) -> None:
    cut = SceneCutDetector()
    with open_source(shared / "data/video/talking_face/vid.avi") as source:
        assert sum(cut.is_cut(frame.image_rgb) for frame, _ in zip(source, range(100))) == 1  # the first


@pytest.mark.parametrize(("level", "expected"), [(29, False), (31, True)])
def test_light_that_changes_all_of_it(level: int, expected: bool) -> None:
    cut = SceneCutDetector()
    cut.is_cut(np.full((48, 64, 3), 100, np.uint8))
    assert cut.is_cut(np.full((48, 64, 3), 100 + level, np.uint8)) == expected
    assert not cut.is_cut(np.full((48, 64, 3), 100 + level, np.uint8))


def test_a_pan_over_fine_patterns_is_none() -> None:
    noise, cut = np.random.default_rng(0).integers(0, 256, (640, 1000, 3), dtype=np.uint8), SceneCutDetector()
    assert [cut.is_cut(noise[:, 7 * n : 7 * n + 640]) for n in range(20)] == [True] + [False] * 19


def test_another_size_is_one_and_the_smallest_pictures_are_no_fault() -> None:
    cut = SceneCutDetector()
    for shape, expected in (((1, 1, 3), True), ((1, 1, 3), False), ((33, 1, 3), True), ((480, 640, 3), True)):
        assert cut.is_cut(np.zeros(shape, np.uint8)) == expected


def test_what_the_caller_does_to_a_picture_later_does_not_matter() -> None:
    cut, image = SceneCutDetector(), np.zeros((48, 64, 3), np.uint8)
    cut.is_cut(image)
    image[:] = 255
    assert cut.is_cut(image)
