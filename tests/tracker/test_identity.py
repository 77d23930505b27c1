"""A face keeps its id while it is followed; none is given twice, whatever happens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.face.geometry import box_iou, extent
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.identity import SAME_FACE_IOU, Identities

OUTLINE = np.random.default_rng(0).uniform(0, 100, (68, 2))
OUTLINE[:2] = (0, 0), (100, 100)


def at(x: float, y: float = 0.0) -> Landmarks:
    """A face of 100 x 100 px with its corner there."""
    return Landmarks.from_points(OUTLINE + (x, y), IBUG68)


def ids(identities: Identities) -> list[int]:
    return [face.id for face in identities.faces]


@pytest.fixture
def one() -> Identities:
    """Face 1 at 0, 0, seen at 0 s; up to two faces are followed."""
    identities = Identities(max_faces=2)
    identities.found(at(0), 0.9, 0.0)
    return identities


def test_a_face_that_is_measured_again_keeps_its_id(one: Identities) -> None:
    for step in range(1, 30):
        one.next_frame(step / 30)
        (face,) = one.faces
        assert not face.measured
        one.seen(face, at(10 * step), 0.5 + step / 100, step / 30)
        (face,) = one.faces
        assert (face.id, face.measured, face.seen_s, face.score) == (1, True, step / 30, 0.5 + step / 100)
        np.testing.assert_allclose(face.box_px, [10 * step, 0, 100, 100])


@pytest.mark.parametrize(("timestamp_s", "held"), [(0.5, True), (0.501, False), (-0.001, False), (9, False)])
def test_a_face_coasts_for_half_a_second(one: Identities, timestamp_s: float, held: bool) -> None:
    one.next_frame(timestamp_s)
    assert ids(one) == ([1] if held else [])


def test_how_long_it_coasts_can_be_said() -> None:
    identities = Identities(1, coast_s=2.0)
    identities.found(at(0), 0.9, 0.0)
    identities.next_frame(2.0)
    assert ids(identities) == [1]
    identities.next_frame(2.01)
    assert ids(identities) == []


def test_found_where_one_coasts_is_that_one_again(one: Identities) -> None:
    one.next_frame(0.4)
    one.found(at(30), 0.8, 0.4)  # overlaps by 70 %
    (face,) = one.faces
    assert (face.id, face.measured, face.seen_s, face.score) == (1, True, 0.4, 0.8)


def test_found_elsewhere_or_too_late_is_a_new_one(one: Identities) -> None:
    one.next_frame(0.4)
    one.found(at(200), 0.8, 0.4)
    assert ids(one) == [1, 2]
    one.next_frame(0.9)
    assert ids(one) == [2]
    one.found(at(0), 0.8, 0.9)
    assert ids(one) == [2, 3]


def test_the_coasting_face_nearest_to_what_was_found_is_taken() -> None:
    identities = Identities(max_faces=3)
    for x in (0, 45, 200):
        identities.found(at(x), 0.9, 0.0)
    identities.next_frame(0.1)
    identities.found(at(35), 0.8, 0.1)  # overlaps the first by 48 %, the second by 82 %
    assert [(face.id, face.measured) for face in identities.faces] == [(1, False), (2, True), (3, False)]


def test_found_beside_a_measured_face_is_the_coasting_one() -> None:
    identities = Identities(max_faces=2)
    for x in (0, 45):
        identities.found(at(x), 0.9, 0.0)
    identities.next_frame(0.1)
    identities.seen(identities.faces[0], at(0), 0.9, 0.1)
    identities.found(at(20), 0.8, 0.1)  # lies nearer to the first, which has been seen already
    assert [(face.id, face.box_px[0]) for face in identities.faces] == [(1, 0), (2, 20)]


def test_known_is_what_was_measured_in_this_frame(one: Identities) -> None:
    box = extent(at(20).points_px)
    assert one.known(box)
    assert not one.known(extent(at(60).points_px))
    one.next_frame(0.0)  # the clock stands still, the frame is another one
    assert not one.known(box)
    one.seen(one.faces[0], at(0), 0.9, 0.0)
    assert one.known(box)


class TestPrune:
    def test_of_two_that_lie_on_each_other_the_older_stays(self) -> None:
        identities = Identities(max_faces=2)
        identities.found(at(0), 0.9, 0.0)
        identities.found(at(300), 0.9, 0.0)
        identities.next_frame(0.1)
        for face in list(identities.faces):  # both have slid onto one face
            identities.seen(face, at(150), 0.9, 0.1)
        identities.prune(0.1)
        assert ids(identities) == [1]

    @pytest.mark.parametrize("timestamp_s", [0.0, 0.1])
    def test_the_measured_one_stays_rather_than_the_coasting_one(self, timestamp_s: float) -> None:
        identities = Identities(max_faces=2)
        identities.found(at(0), 0.9, 0.0)
        identities.found(at(300), 0.9, 0.0)
        identities.next_frame(timestamp_s)
        identities.seen(identities.faces[1], at(20), 0.9, timestamp_s)
        identities.prune(timestamp_s)
        assert ids(identities) == [2]

    def test_neighbours_that_touch_both_stay(self) -> None:
        identities = Identities(max_faces=2)
        identities.found(at(0), 0.9, 0.0)
        identities.found(at(50), 0.9, 0.0)  # a third of their union
        identities.prune(0.0)
        assert ids(identities) == [1, 2]

    def test_one_that_is_seen_displaces_one_that_coasts(self) -> None:
        identities = Identities(max_faces=1)
        identities.found(at(0), 0.9, 0.0)
        identities.next_frame(0.1)
        identities.found(at(300), 0.2, 0.1)
        identities.prune(0.1)
        assert ids(identities) == [2]

    def test_the_one_that_has_coasted_longest_goes_first(self) -> None:
        identities = Identities(max_faces=2)
        identities.found(at(0), 0.9, 0.0)
        identities.found(at(300), 0.9, 0.0)
        identities.next_frame(0.1)
        identities.seen(identities.faces[0], at(0), 0.9, 0.1)
        identities.next_frame(0.2)
        identities.found(at(600), 0.9, 0.2)
        identities.prune(0.2)
        assert ids(identities) == [1, 3]

    def test_as_many_as_wanted_the_oldest_first(self) -> None:
        identities = Identities(max_faces=3)
        for x in range(0, 1000, 200):
            identities.found(at(x), 0.9, 0.0)
        identities.prune(0.0)
        assert ids(identities) == [1, 2, 3]


steps = st.tuples(st.floats(-0.3, 0.6), st.lists(st.integers(0, 12), max_size=5))


@given(st.integers(1, 4), st.lists(steps, max_size=25))
def test_whatever_comes_and_goes(max_faces: int, script: list[tuple[float, list[int]]]) -> None:
    """Faces appear at places 30 px apart at odd times: ids only grow, and what is held keeps the rules."""
    identities, now_s, highest = Identities(max_faces), 0.0, 0
    for elapsed_s, places in script:
        now_s += elapsed_s
        identities.next_frame(now_s)
        before = set(ids(identities))
        for face in list(identities.faces):
            if places and face.id % 2:  # some are measured where they were
                identities.seen(face, face.landmarks, 0.9, now_s)
        for place in places:
            if not identities.known(extent(at(30 * place).points_px)):
                identities.found(at(30 * place), 0.9, now_s)
        new = set(ids(identities)) - before
        assert all(number > highest for number in new)
        highest = max(new, default=highest)
        identities.prune(now_s)
        assert ids(identities) == sorted(set(ids(identities)))
        assert len(identities.faces) <= max_faces
        assert all(0 <= now_s - face.seen_s <= identities.coast_s for face in identities.faces)
        boxes = [face.box_px for face in identities.faces]
        assert all(box_iou(a, b) <= SAME_FACE_IOU for i, a in enumerate(boxes) for b in boxes[:i])
