"""Blinks and closures are told from squints and from lids that may be a look down."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tracker import Blink, Blinks, Tracker
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68

FPS = 25.0


def face_with(opening: float, lower: float = 0.1) -> Landmarks:
    """Eyes 30 px wide, open by a share of it, the lower lids so far below the corners; the other points at 0."""
    points = np.zeros((68, 2))
    for first, x in ((36, 0), (42, 60)):
        points[first : first + 6, 0] = x + np.array([0, 10, 20, 30, 20, 10])
        points[first : first + 6, 1] = 30 * np.array([0, lower - opening, lower - opening, 0, lower, lower])
    return Landmarks.from_points(points, IBUG68)


def blinks_of(
    ratios: Iterable[float], fps: float = FPS, found: Blinks | None = None, start_s: float = 0, lower: float = 0.1
) -> list[Blink]:
    found = found or Blinks()
    steps = (found.step(face_with(ratio, lower), start_s + i / fps) for i, ratio in enumerate(ratios))
    return [blink for blink in steps if blink]


@settings(max_examples=30, deadline=None)
@given(
    open_ratio=st.floats(0.24, 0.45),
    fps=st.sampled_from((15.0, 25.0, 30.0, 60.0)),
    start=st.floats(0.5, 2),
    lasts=st.floats(0.14, 0.4),
    noise=st.integers(0, 99),
)
def test_a_blink_is_found_at_any_rate_and_opening(
    open_ratio: float, fps: float, start: float, lasts: float, noise: int
) -> None:
    """Eyes half closed for a while, with as much noise as a still face has: one event, to the frame."""
    seconds = np.arange(round(3 * fps)) / fps
    shares = np.where((seconds >= start) & (seconds < start + lasts), 0.5, 1)
    ratios = open_ratio * (shares + np.random.default_rng(noise).normal(0, 0.015, len(shares)))
    (blink,) = blinks_of(ratios, fps)
    assert blink.told
    assert 0 <= blink.start_s - start < 1 / fps + 1e-9
    assert abs(blink.duration_s - lasts) < 1 / fps + 1e-9


@settings(max_examples=30, deadline=None)
@given(level=st.floats(0.3, 0.45), share=st.floats(0.3, 1))
def test_a_squint_is_no_blink(level: float, share: float) -> None:
    assume(not 0.69 < share < 0.71)
    assert len(blinks_of(level * np.array([1.0] * 50 + [share] * 10 + [1.0] * 5))) == (share < 0.7)


def test_a_slow_narrowing_is_not_told() -> None:
    """A smile takes a second to narrow the eyes to two thirds."""
    ratios = [0.3] * 200 + list(np.linspace(0.3, 0.2, 25)) + [0.2] * 4 + list(np.linspace(0.2, 0.3, 10))
    (blink,) = blinks_of(ratios)
    assert not blink.told


@pytest.mark.parametrize(("lower", "state", "told"), [(0.1, "untold", False), (0.04, "closed", True)])
def test_lids_down_for_long_are_told_by_the_lower_one(lower: float, state: str, told: bool) -> None:
    """At rest as in a look down; raised as in eyes pressed shut."""
    found = Blinks()
    blinks_of([0.3] * 250, found=found)
    blinks_of([0.15] * 10, found=found, start_s=10, lower=lower)
    assert found.closed  # it may still be a blink
    blinks_of([0.15] * 40, found=found, start_s=10.4, lower=lower)
    assert found.state == state
    (blink,) = blinks_of([0.3], found=found, start_s=12)
    assert blink == Blink(10, 2, told)


def test_who_begins_with_closed_eyes_is_untold_until_they_open() -> None:
    """The first blink after it is found."""
    found = Blinks()
    blinks_of([0.15] * 50, found=found)
    assert found.state == "untold"
    first, second = blinks_of([0.3] * 25 + [0.15] * 4 + [0.3] * 10, found=found, start_s=2)
    assert not first.told and second == Blink(pytest.approx(3.0), pytest.approx(0.16))  # type: ignore[arg-type]


def test_narrow_eyes_are_learned_and_never_called_closed() -> None:
    found = Blinks()
    states = []
    for frame in range(round(18 * FPS)):
        found.step(face_with(0.18), frame / FPS)
        states.append(found.state)
    assert "closed" not in states
    assert set(states[round(15.5 * FPS) :]) == {"open"}
    (blink,) = blinks_of([0.1] * 5 + [0.18] * 5, found=found, start_s=18)
    assert blink.told


def test_a_long_closure_does_not_become_the_new_level() -> None:
    found = Blinks()
    blinks_of([0.3] * 250, found=found)
    blinks_of([0.15] * 25 * 40, found=found, start_s=10)
    assert found.since_s == 10
    blinks_of([0.15] * 25 * 20, found=found, start_s=50)
    assert found.since_s is None  # stuck: the face has changed


def test_a_gap_or_another_face_ends_no_blink() -> None:
    found = Blinks()
    blinks_of([0.3] * 10 + [0.15] * 3, found=found)
    assert blinks_of([0.3] * 5, found=found, start_s=2) == [] and not found.closed
    blinks_of([0.15] * 3, found=found, start_s=3)
    found.reset()
    assert not found.closed
    assert blinks_of([0.25] * 50, found=found, start_s=1) == []  # a clock that began anew


def test_time_that_stands_still_or_runs_back_is_left_out() -> None:
    found = Blinks()
    blinks_of([0.3] * 10, found=found)
    for late in (0.36, 0.2, -1.0):
        assert found.step(face_with(0.1), late) is None
    assert found.step(Landmarks.from_points(np.zeros((68, 2)), IBUG68), 1.0) is None  # eyes without a width
    assert not found.closed


@pytest.mark.parametrize(("clip", "closed_frames"), [("lbax4n.mpg", [(27, 31)]), ("bbaf2n.mpg", [(43, 46), (51, 57)])])
def test_real_blinks(shared: Path, clip: str, closed_frames: list[tuple[int, int]]) -> None:
    """Seen by eye in the pictures: from the first frame with the lids over the pupils to the first without."""
    found = Blinks()
    results = Tracker(max_faces=1).run(shared / "data/video/clips" / clip)
    steps = [found.step(face.raw, result.timestamp_s) for result in results for face in result.faces]
    blinks = [(25 * b.start_s, 25 * (b.start_s + b.duration_s)) for b in steps if b]
    assert blinks == [(pytest.approx(a, abs=1.5), pytest.approx(b, abs=4)) for a, b in closed_frames]
