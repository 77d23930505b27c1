"""A face keeps its id while it is followed; none is given twice, whatever happens."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.face.geometry import box_iou, extent
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.result import Measured
from tracker.tracking.association import FARTHEST, FLASH, GHOST, LEAP, SAME_FACE_IOU, Identities

OUTLINE = np.random.default_rng(0).uniform(0, 100, (68, 2))
OUTLINE[:2] = (0, 0), (100, 100)


def at(x: float, y: float = 0.0) -> Measured:
    """A face of 100 x 100 px with its corner there."""
    return Measured(Landmarks.from_points(OUTLINE + (x, y), IBUG68), 0.9)


def start(*places: float, max_faces: int = 3) -> Identities:
    """Faces 1, 2, ... there, seen at 0 s."""
    identities = Identities(max_faces)
    identities.found([at(x) for x in places])
    return identities


def follow(identities: Identities, timestamp_s: float, *places: float | None) -> None:
    """The next frame, in which the faces held are seen there, in their order; None: not seen."""
    identities.next_frame(timestamp_s)
    pairs = zip(list(identities.faces), places, strict=True)
    identities.followed([(face, at(x)) for face, x in pairs if x is not None])


def ids(identities: Identities) -> list[int]:
    return [face.id for face in identities.faces]


def states(identities: Identities) -> list[tuple[int, bool]]:
    return [(face.id, face.measured) for face in identities.faces]


def test_a_face_that_is_measured_again_keeps_its_id() -> None:
    identities = start(0)
    for step in range(1, 30):
        identities.next_frame(step / 30)
        assert states(identities) == [(1, False)]
        identities.followed([(identities.faces[0], Measured(at(10 * step).landmarks, 0.5 + step / 100))])
        (face,) = identities.faces
        assert (face.id, face.measured, face.seen_s, face.score) == (1, True, step / 30, 0.5 + step / 100)
        np.testing.assert_allclose(face.box_px, [10 * step, 0, 100, 100])


@pytest.mark.parametrize(("timestamp_s", "held"), [(0.5, True), (0.501, False), (-0.001, False), (9, False)])
def test_a_face_coasts_for_half_a_second(timestamp_s: float, held: bool) -> None:
    identities = start(0)
    identities.next_frame(timestamp_s)
    assert ids(identities) == ([1] if held else [])
    assert [(lost.id, lost.reason) for lost in identities.lost] == ([] if held else [(1, "last seen at 0.000 s")])
    identities.next_frame(timestamp_s)
    assert identities.lost == []  # is said once


def test_how_long_it_coasts_can_be_said() -> None:
    identities = Identities(1, coast_s=2.0)
    identities.found([at(0)])
    identities.next_frame(2.0)
    assert ids(identities) == [1]
    identities.next_frame(2.01)
    assert ids(identities) == []


@pytest.mark.parametrize("interval_s", [0.6, 1.0, 60.0])
def test_of_a_slow_source_it_coasts_for_two_frames(interval_s: float) -> None:
    identities = Identities(1, coast_frames=2)
    identities.found([at(0)])
    for frame in (1, 2):
        identities.next_frame(frame * interval_s, interval_s)
        assert ids(identities) == [1]
    identities.next_frame(3 * interval_s, interval_s)
    assert ids(identities) == []


class TestMotion:
    def test_where_it_is_expected(self) -> None:
        identities = start(0)
        for step in range(1, 40):
            follow(identities, step / 30, 4.0 * step)
        (face,) = identities.faces
        ahead_px = [face.expected_px(39 / 30 + wait)[0, 0] - 156 for wait in (0, 1 / 30, 0.1, 0.2, 0.5)]
        np.testing.assert_allclose(ahead_px, [0, 4, 12, 24, 24], atol=0.1)  # .2 s is as far as it goes

    def test_timestamps_that_jitter_do_not_make_it_fast(self) -> None:
        identities, rng = start(0), np.random.default_rng(0)
        times = np.cumsum(rng.uniform(0.001, 0.066, 60))
        for step, time in enumerate(times.tolist(), 1):
            follow(identities, time, 1.0 * step)
            (face,) = identities.faces
            assert abs(float(face.expected_px(time + 1 / 30)[0, 0]) - step - 1) < 3

    def test_a_leap_is_another_face(self) -> None:
        identities = start(0)
        follow(identities, 1 / 30, 100 * LEAP + 1)
        assert states(identities) == [(1, False)]
        follow(identities, 2 / 30, 100 * LEAP - 1)
        assert states(identities) == [(1, True)]


class TestFound:
    def test_where_one_coasts_it_is_that_one_again(self) -> None:
        identities = start(0)
        identities.next_frame(0.4)
        assert identities.found([at(30)]) == [1]  # overlaps by 54 %
        (face,) = identities.faces
        assert (face.id, face.measured, face.seen_s) == (1, True, 0.4)

    def test_elsewhere_or_too_late_it_is_a_new_one(self) -> None:
        identities = start(0)
        identities.next_frame(0.4)
        assert identities.found([at(100 * FARTHEST + 1)]) == [2]
        assert states(identities) == [(1, False), (2, True)]
        identities.next_frame(0.9)
        assert ids(identities) == [2]
        assert identities.found([at(300)]) == [3]

    def test_the_nearest_of_several_that_coast(self) -> None:
        identities = start(0, 45, 200)
        identities.next_frame(0.1)
        identities.found([at(35)])
        assert states(identities) == [(1, False), (2, True), (3, False)]

    def test_beside_a_measured_one_it_is_the_one_that_coasts(self) -> None:
        identities = start(0, 45)
        identities.next_frame(0.1)
        identities.followed([(identities.faces[0], at(0))])
        identities.found([at(45 + 10)])
        assert [(face.id, round(face.box_px[0])) for face in identities.faces] == [(1, 0), (2, 55)]

    def test_pairs_are_the_nearest_together(self) -> None:
        """The nearest first would give the sighting at 30 to the face at 45, and leave none for that at 0."""
        identities = start(0, 45)
        identities.next_frame(0.1)
        identities.found([at(70), at(25)])
        assert [(face.id, round(face.box_px[0])) for face in identities.faces] == [(1, 25), (2, 70)]

    @given(st.lists(st.integers(-30, 30), min_size=3, max_size=3), st.permutations(range(3)))
    def test_pairs_against_all_that_are_possible(self, shifts: list[int], order: list[int]) -> None:
        """Three faces, three sightings near them in any order: the assignment with the least distance in all."""
        places = [0, 62, 124]
        identities = start(*places)
        identities.next_frame(0.1)
        seen = [places[i] + shifts[i] for i in order]
        boxes = [extent(at(x).landmarks.points_px) for x in seen]
        if any(box_iou(a, b) > SAME_FACE_IOU for a, b in permutations(boxes, 2)):
            return
        identities.found([at(x) for x in seen])
        now = {face.id: face.box_px[0] for face in identities.faces if face.measured and face.id <= 3}
        moved = sum(abs(now[number] - places[number - 1]) for number in now)
        best = min(sum(abs(a - b) for a, b in zip(places, p)) for p in permutations(seen))
        if len(now) == 3:
            assert moved == pytest.approx(best)

    def test_one_that_the_detector_gives_twice_is_one(self) -> None:
        assert ids(start(0, 10, 300)) == [1, 2]

    def test_what_has_been_measured_already_is_left_out(self) -> None:
        identities = start(0)
        assert identities.found([at(20)]) == []
        assert identities.known(extent(at(20).landmarks.points_px))
        assert not identities.known(extent(at(60).landmarks.points_px))
        identities.next_frame(0.0)  # the clock stands still, the frame is another one
        assert not identities.known(extent(at(20).landmarks.points_px))


class TestUnsure:
    def test_a_sure_one_in_its_place_is_the_same_face(self) -> None:
        identities = start(300)
        identities.found([at(0)], sure=False)
        assert [face.sure for face in identities.faces] == [True, False]
        assert identities.unsure_at((0, 60, 100, 100)) is identities.faces[1]  # overlaps by a quarter
        assert identities.unsure_at((300, 0, 100, 100)) is None
        assert identities.found([at(0, 60)], sure=False) == [3]
        assert identities.found([at(0, -60), at(310)]) == [2]  # the sure one at 300 stays as it was measured
        assert [(f.id, f.sure, round(f.box_px[1])) for f in identities.faces] == [
            (1, True, 0),
            (2, True, -60),
            (3, False, 60),
        ]


class TestOneFaceIsNotTwo:
    def test_who_was_expected_there_has_it(self) -> None:
        """The second stands at 150 where both have been measured; the first has slid over."""
        for places in ((100, 150), (150, 100)):
            identities = start(*places)
            follow(identities, 0.1, 150, 150)
            assert states(identities) == [(1, places[0] == 150), (2, places[1] == 150)]

    @pytest.mark.parametrize("speed", [6, 12, 20])
    def test_two_that_cross_keep_their_ids(self, speed: float) -> None:
        """The first goes right in front of the second, which goes left; where they overlap, both are measured as the
        one in front, until the other is found again behind it."""
        identities, overlaps = start(0, 300), 0
        for frame in range(1, int(300 / speed)):
            front, behind = speed * frame, 300 - speed * frame
            covered = box_iou((front, 0, 100, 100), (behind, 0, 100, 100)) > 0.25
            overlaps += covered
            follow(identities, frame / 30, *(front, front) if covered else (front, behind))
            if not covered:
                identities.found([at(front), at(behind)])
        where = {face.id: face.box_px[0] for face in identities.faces}
        assert overlaps > 1
        assert where == {1: front, 2: behind}

    def test_neighbours_that_touch_both_stay(self) -> None:
        identities = start(0, 50)  # a third of their union
        follow(identities, 0.1, 0, 50)
        assert states(identities) == [(1, True), (2, True)]


class TestCut:
    def test_who_stayed_is_the_same_and_who_moved_is_not(self) -> None:
        identities = start(0, 200)
        identities.doubt()
        follow(identities, 0.1, 100 * FLASH - 1, 200 + 100 * FLASH + 1)
        assert states(identities) == [(1, True), (2, False)]

    def test_another_face_near_by_is_a_new_one(self) -> None:
        identities = start(0)
        identities.doubt()
        identities.next_frame(0.1)
        assert identities.found([at(20)]) == [2]


class TestTooMany:
    def test_one_that_coasts_keeps_its_place(self) -> None:
        """However many others there are: none of them is taken before it is given up."""
        identities = start(0, 300, max_faces=2)
        follow(identities, 0.1, 0, None)
        identities.next_frame(0.5)
        assert identities.room() == 0
        assert identities.found([at(600), at(900)]) == []
        assert identities.found([at(310), at(600)]) == [2]  # it is there again, under its id
        identities.next_frame(1.01)
        assert identities.found([at(600), at(900), at(1200)]) == [3, 4]

    def test_only_a_box_at_its_place_is_awaited(self) -> None:
        identities = start(0, 300, max_faces=2)
        follow(identities, 0.1, 0, None)
        assert identities.awaited((310, 20, 100, 100))
        assert not identities.awaited((450, 0, 100, 100))
        assert not identities.awaited((10, 0, 100, 100))  # that one is measured

    def test_after_a_cut_the_place_is_free_in_the_second_frame(self) -> None:
        identities = start(0, max_faces=1)
        identities.next_frame(0.03)
        identities.doubt()
        assert identities.found([at(300)]) == []
        identities.next_frame(0.06)
        assert identities.found([at(300)]) == [2]
        assert [(lost.id, lost.reason) for lost in identities.lost] == [(1, "there are others to follow")]

    def test_one_that_gives_way_is_lost(self) -> None:
        identities = start(0, max_faces=1)
        (face,) = identities.faces
        identities.give_way(face)
        assert identities.found([at(300)]) == [2]
        assert [(lost.id, lost.reason) for lost in identities.lost] == [(1, "another face comes before it")]

    def test_as_many_as_wanted_the_oldest_first(self) -> None:
        assert ids(start(0, 200, 400, 600, max_faces=3)) == [1, 2, 3]

    def test_a_ghost_makes_room(self) -> None:
        """What the detector does not see for some time is kept, unless there is another face to follow."""
        identities = start(0, max_faces=1)
        for run in range(GHOST):
            assert identities.room() == 0
            follow(identities, float(run + 1) / 30, 0)
            identities.confirm([(300, 0, 100, 100)])
        assert identities.room() == 1
        assert ids(identities) == [1]
        identities.found([at(300)])
        assert ids(identities) == [2]

    def test_a_face_that_is_confirmed_once_is_no_ghost(self) -> None:
        identities = start(0, max_faces=1)
        for run in range(3 * GHOST):
            follow(identities, float(run + 1) / 30, 0)
            identities.confirm([(10, 0, 100, 100)] if run % GHOST == GHOST - 1 else [])
            assert identities.room() == 0


steps = st.tuples(st.floats(-0.3, 0.6), st.lists(st.integers(0, 12), max_size=5), st.booleans())


@given(st.integers(1, 4), st.lists(steps, max_size=25))
def test_whatever_comes_and_goes(max_faces: int, script: list[tuple[float, list[int], bool]]) -> None:
    """Faces appear at places 30 px apart at odd times: ids only grow, and what is held keeps the rules."""
    identities, now_s, highest = Identities(max_faces), 0.0, 0
    for elapsed_s, places, cut in script:
        now_s += elapsed_s
        identities.next_frame(now_s)
        before = set(ids(identities))
        if cut:
            identities.doubt()
        odd = [face for face in identities.faces if places and face.id % 2]  # some are measured where they were
        identities.followed([(face, Measured(face.landmarks, 0.9)) for face in odd])
        identities.confirm([(30 * place, 0, 100, 100) for place in places])
        assert 0 <= identities.room() <= max_faces
        identities.found([at(30 * place) for place in places])
        new = set(ids(identities)) - before
        assert all(number > highest for number in new)
        highest = max([highest, *new, *(lost.id for lost in identities.lost)])
        assert ids(identities) == sorted(set(ids(identities)))
        assert not {lost.id for lost in identities.lost} & set(ids(identities))
        assert len(identities.faces) <= max_faces
        assert all(0 <= now_s - face.seen_s <= identities.coast_s for face in identities.faces)
        boxes = [face.box_px for face in identities.faces if face.measured]
        assert all(box_iou(a, b) <= SAME_FACE_IOU for i, a in enumerate(boxes) for b in boxes[:i])
