"""Augmentation keeps the points on the pixels, is pure, and draws what it says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tracker.face.crop import crop, roi_of_landmarks
from tracker.face.schemes import IBUG68
from train.augmentation import Augmentation, Choices, apply, cover_part

Array = np.ndarray[Any, np.dtype[np.float64]]
Image = np.ndarray[Any, np.dtype[np.uint8]]
SIZE = 128
SIGMA = 4.0  # of a spot, in pixels of the picture

geometric = st.builds(
    Choices,
    flip=st.booleans(),
    shift=st.tuples(*[st.floats(-0.1, 0.1)] * 2),
    rotation_rad=st.floats(-0.7, 0.7),
    scale=st.floats(0.6, 1.4),
)
photometric = st.builds(
    Choices,
    flip=st.booleans(),
    occlusion=st.none() | st.tuples(*[st.floats(0, 1)] * 2, *[st.floats(0, 0.5)] * 2),
    blur=st.none() | st.floats(0, 0.05),
    gamma=st.none() | st.floats(0.25, 4),
    noise=st.none() | st.tuples(st.floats(0, 0.5), st.integers(0, 2**32 - 1)),
    gray=st.booleans(),
)
choices = st.builds(
    lambda a, b: replace(b, flip=a.flip, shift=a.shift, rotation_rad=a.rotation_rad, scale=a.scale),
    geometric,
    photometric,
)


@pytest.fixture(scope="module")
def face(face68: Array) -> tuple[Image, Array]:
    """A picture (260, 240, 3) and 68 points in it, between the pixels."""
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(rng.integers(0, 256, (260, 240, 3), dtype=np.uint8), (5, 5), 0)
    return np.asarray(image, np.uint8), face68 * 1.4 + (48.3, 61.8)


def spot(center: Array) -> Image:
    """(260, 240, 3) a red Gaussian spot on green, at a place between the pixels."""
    y, x = np.mgrid[:260, :240]
    weight = np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * SIGMA**2))
    return np.asarray(np.stack([250 * weight, np.full_like(weight, 90), 0 * weight], -1).round(), np.uint8)


def centroid(weights: Array) -> Array:
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([np.average(x, weights=weights), np.average(y, weights=weights)])


def test_no_choice_is_the_crop_of_evaluation(face: tuple[Image, Array]) -> None:
    image, points = face
    shown, moved = apply(image, points, IBUG68, Choices(), SIZE)
    roi = roi_of_landmarks(points)
    assert np.array_equal(shown, crop(image, roi, SIZE))
    matrix = roi.crop_from_image(SIZE)
    assert_allclose(moved, points @ matrix[:, :2].T + matrix[:, 2], atol=1e-9)


class TestPointsFollowThePixels:
    @given(drawn=geometric, landmark=st.integers(0, 67))
    @settings(max_examples=60)
    def test_a_spot_stays_under_its_landmark(self, face68: Array, drawn: Choices, landmark: int) -> None:
        points = face68 * 1.4 + (48.3, 61.8)
        shown, moved = apply(spot(points[landmark]), points, IBUG68, drawn, SIZE)
        there = IBUG68.flip[landmark] if drawn.flip else landmark
        margin = 4 * SIGMA
        if (moved[there] > margin).all() and (moved[there] < SIZE - 1 - margin).all():
            assert_allclose(centroid(shown[..., 0].astype(np.float64)), moved[there], atol=0.04)

    @pytest.mark.parametrize("blur", [0.016, 0.024, 0.032, 0.04, 0.05])
    def test_blurring_does_not_move_the_picture(self, face68: Array, blur: float) -> None:
        points = face68 * 1.4 + (48.3, 61.8)
        shown, moved = apply(spot(points[30]), points, IBUG68, Choices(blur=blur), SIZE)
        plain, _ = apply(spot(points[30]), points, IBUG68, Choices(), SIZE)
        assert_allclose(centroid(shown[..., 0].astype(np.float64)), moved[30], atol=0.04)
        assert shown[..., 0].max() < plain[..., 0].max()

    def test_mirrored_points_change_places(self, face: tuple[Image, Array]) -> None:
        _, plain = apply(*face, IBUG68, Choices(), SIZE)
        shown, mirrored = apply(*face, IBUG68, Choices(flip=True), SIZE)
        assert_allclose(mirrored[36], (SIZE - 1 - plain[45, 0], plain[45, 1]))
        assert mirrored[36, 0] < mirrored[45, 0]  # the right eye's corner is still left in the picture
        difference = np.abs(shown[:, ::-1].astype(int) - apply(*face, IBUG68, Choices(), SIZE)[0])
        assert difference.mean() < 1

    @given(drawn=geometric)
    def test_shape_is_kept(self, face68: Array, drawn: Choices) -> None:
        """Distances between points change by the scale alone, whatever the rest."""
        points = face68 * 1.4 + (48.3, 61.8)
        _, moved = apply(np.zeros((9, 9, 3), np.uint8), points, IBUG68, drawn, SIZE)
        if drawn.flip:
            moved = moved[IBUG68.flip]
        expected = drawn.scale * SIZE / roi_of_landmarks(points).side_px * np.linalg.norm(points - points[0], axis=1)
        assert_allclose(np.linalg.norm(moved - moved[0], axis=1), expected, atol=1e-6)

    def test_shift_and_rotation_have_their_sign(self, face: tuple[Image, Array]) -> None:
        _, plain = apply(*face, IBUG68, Choices(), SIZE)
        _, shifted = apply(*face, IBUG68, Choices(shift=(0.1, -0.05)), SIZE)
        assert_allclose(shifted - plain, np.broadcast_to((0.1 * SIZE, -0.05 * SIZE), (68, 2)), atol=1e-9)
        _, turned = apply(*face, IBUG68, Choices(rotation_rad=math.pi / 2), SIZE)
        middle = (SIZE - 1) / 2
        assert_allclose(turned - middle, np.stack([middle - plain[:, 1], plain[:, 0] - middle], 1), atol=1e-9)


class TestPhotometric:
    def test_occlusion_is_a_black_rectangle_where_it_is_said(self, face: tuple[Image, Array]) -> None:
        image, points = np.full_like(face[0], 200), face[1]
        shown, _ = apply(image, points, IBUG68, Choices(occlusion=(0.25, 0.5, 0.25, 0.5)), SIZE)
        expected = np.full((SIZE, SIZE, 3), 200)
        expected[32:96, 16:48] = 0
        assert np.array_equal(shown, expected)

    @given(x=st.floats(0, 1), y=st.floats(0, 1), width=st.floats(0, 0.6), height=st.floats(0, 0.6))
    def test_occlusion_reaches_over_the_border(self, x: float, y: float, width: float, height: float) -> None:
        white, points = np.full((40, 40, 3), 255, np.uint8), np.array([(4.0, 4.0), (36.0, 36.0)])
        shown, _ = apply(white, points, IBUG68, Choices(occlusion=(x, y, width, height)), 40)
        covered = (min(1, x + width / 2) - max(0, x - width / 2)) * (min(1, y + height / 2) - max(0, y - height / 2))
        assert (shown == 0).all(-1).mean() == pytest.approx(covered, abs=0.05)

    def test_gamma_of_known_values(self, face: tuple[Image, Array]) -> None:
        image = np.full_like(face[0], 64)
        for gamma, value in ((1.0, 64), (2.0, 16), (0.5, 128)):
            shown, _ = apply(image, face[1], IBUG68, Choices(gamma=gamma), SIZE)
            assert np.abs(shown[40:80, 40:80].astype(int) - value).max() <= 1

    def test_gray_is_gray(self, face: tuple[Image, Array]) -> None:
        shown, _ = apply(*face, IBUG68, Choices(gray=True), SIZE)
        assert (shown == shown[..., :1]).all()
        assert shown.std() > 5

    def test_noise_has_its_strength(self, face: tuple[Image, Array]) -> None:
        image = np.full_like(face[0], 100)
        for strength in (0.1, 0.5):
            shown, _ = apply(image, face[1], IBUG68, Choices(noise=(strength, 7)), SIZE)
            assert shown.std() == pytest.approx(strength * 255 / math.sqrt(12), rel=0.03)
            assert shown.mean() == pytest.approx((1 - strength) * 100 + strength * 127.5, abs=1)


class TestPure:
    @given(drawn=choices)
    def test_leaves_its_arguments_and_repeats_itself(self, face68: Array, drawn: Choices) -> None:
        image = np.random.default_rng(0).integers(0, 256, (120, 130, 3), dtype=np.uint8)
        points = face68 * 0.8 + (20, 15)
        before = image.copy(), points.copy()
        first, second = (apply(image, points, IBUG68, drawn, 64) for _ in range(2))
        assert np.array_equal(image, before[0])
        assert np.array_equal(points, before[1])
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])
        assert first[0].shape == (64, 64, 3)
        assert first[0].dtype == np.uint8

    def test_colours_do_not_move_the_points(self, face: tuple[Image, Array]) -> None:
        loud = Choices(occlusion=(0.5, 0.5, 0.3, 0.3), blur=0.05, gamma=2.0, noise=(0.5, 1), gray=True)
        assert np.array_equal(apply(*face, IBUG68, loud, SIZE)[1], apply(*face, IBUG68, Choices(), SIZE)[1])


class TestDraw:
    @given(st.integers(0, 2**32))
    def test_follows_its_seed(self, seed: int) -> None:
        first, second = (
            [Augmentation().draw(rng) for _ in range(3)] for rng in [np.random.default_rng(seed) for _ in "ab"]
        )
        assert first == second
        assert len({repr(drawn) for drawn in first}) == 3

    def test_shares_and_spreads_are_the_stated(self) -> None:
        """Over 4,000 draws; each tolerance is four standard errors."""
        rng, stated = np.random.default_rng(0), Augmentation()
        drawn = [stated.draw(rng) for _ in range(4000)]
        for name in ("flip", "occlusion", "blur", "gamma", "noise", "gray"):
            share = np.mean([getattr(d, name) not in (None, False) for d in drawn])
            expected = getattr(stated, name)
            assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000)), name
        spreads = {
            "shift": (np.array([d.shift for d in drawn]), 0.05, 0.0),
            "rotation": (np.degrees([d.rotation_rad for d in drawn]), 18, 0.0),
            "scale": (np.array([d.scale for d in drawn]), 0.1, 1.0),
        }
        for name, (values, spread, middle) in spreads.items():
            assert values.std() == pytest.approx(spread, rel=0.05), name
            assert values.mean() == pytest.approx(middle, abs=4 * spread / math.sqrt(4000)), name
        assert all(0.25 <= d.gamma <= 4 for d in drawn if d.gamma)
        assert all(d.blur <= 0.05 for d in drawn if d.blur)
        assert all(0 <= side <= 0.5 for d in drawn if d.occlusion for side in d.occlusion[2:])

    def test_none_of_it_is_evaluation(self) -> None:
        nothing = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, 0)
        assert nothing.draw(np.random.default_rng(0)) == Choices()


class TestAsPapersPrintIt:
    """Uniform ranges, shares of faces, colours, and views that are independent of each other."""

    def test_uniform_ranges_end_where_they_say(self) -> None:
        rng = np.random.default_rng(0)
        stated = Augmentation(spread="uniform", rotation_deg=30, scale=0.15, shift=0.1)
        drawn = [stated.draw(rng) for _ in range(4000)]
        for values, middle, end in (
            (np.degrees([d.rotation_rad for d in drawn]), 0, 30),
            (np.array([d.scale for d in drawn]), 1, 0.15),
            (np.array([d.shift for d in drawn]), 0, 0.1),
        ):
            assert np.abs(values - middle).max() <= end
            assert values.std() == pytest.approx(end / math.sqrt(3), rel=0.04)
            assert values.max() > middle + 0.98 * end

    def test_only_a_share_is_shifted_and_turned(self) -> None:
        rng = np.random.default_rng(1)
        drawn = [Augmentation(shifted=0.25, rotated=0.5).draw(rng) for _ in range(4000)]
        for share, of in ((0.25, [d.shift != (0.0, 0.0) for d in drawn]), (0.5, [d.rotation_rad != 0 for d in drawn])):
            assert np.mean(of) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))

    def test_what_was_drawn_before_is_drawn_alike(self) -> None:
        """A training that was started without these options goes on with the same faces."""
        for seed in range(20):
            plain, shared = (Augmentation(**more).draw(np.random.default_rng(seed)) for more in ({}, {"colour": 0.4}))
            assert replace(shared, colour=None) == plain

    def test_colours_are_multiplied_each_by_its_own_factor(self, face: tuple[Image, Array]) -> None:
        image = np.full_like(face[0], 100)
        image[..., 2] = 200
        shown, _ = apply(image, face[1], IBUG68, Choices(colour=(0.6, 1.0, 1.4)), SIZE)
        assert shown[SIZE // 2, SIZE // 2].tolist() == [60, 100, 255]
        drawn = [Augmentation(colour=0.4).draw(np.random.default_rng(i)).colour for i in range(500)]
        factors = np.array(drawn)
        assert 0.6 <= factors.min() < 0.62 and 1.38 < factors.max() <= 1.4
        assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.15

    def test_a_gaussian_blur_has_its_sigma(self, face68: Array) -> None:
        """Variances add: that of a spot grows by sigma squared."""
        points = face68 * 1.4 + (48.3, 61.8)
        widths = []
        for blur in (None, 0.02):
            shown, _ = apply(spot(points[30]), points, IBUG68, Choices(blur=blur, soft=True), SIZE)
            weights = shown[..., 0].astype(np.float64)
            x = np.arange(SIZE)
            mean = np.average(x, weights=weights.sum(0))
            widths.append(np.average((x - mean) ** 2, weights=weights.sum(0)))
        assert widths[1] - widths[0] == pytest.approx((0.02 * SIZE) ** 2, rel=0.1)

    def test_independent_views_share_their_mirroring_alone(self) -> None:
        rng = np.random.default_rng(2)
        augmentation = Augmentation(near="independent", rotation_deg=30, spread="uniform", colour=0.4)
        pairs = [
            (first, augmentation.draw_other(first, rng)) for first in (augmentation.draw(rng) for _ in range(3000))
        ]
        assert all(first.flip == other.flip for first, other in pairs)
        turns = np.degrees([[first.rotation_rad, other.rotation_rad] for first, other in pairs])
        assert abs(np.corrcoef(turns.T)[0, 1]) < 0.06
        assert np.diff(turns, axis=1).std() == pytest.approx(30 * math.sqrt(2 / 3), rel=0.05)  # 24.5 degrees
        assert sum(first.blur is None and other.blur is not None for first, other in pairs) > 300


def test_a_near_view_is_the_same_picture_seen_as_far_away_as_said() -> None:
    augmentation = Augmentation(near=0.4)
    rng = np.random.default_rng(5)
    firsts = [augmentation.draw(rng) for _ in range(2000)]
    nears = [augmentation.draw_other(first, rng) for first in firsts]
    for first, near in zip(firsts, nears, strict=True):
        view = {"shift": first.shift, "rotation_rad": first.rotation_rad, "scale": first.scale}
        assert replace(near, **view) == first
        assert 0.6 <= near.scale <= 1.4
    shifts = np.array([near.shift for near in nears]) - [first.shift for first in firsts]
    turns = [near.rotation_rad - first.rotation_rad for first, near in zip(firsts, nears, strict=True)]
    scales = [near.scale / first.scale for first, near in zip(firsts, nears, strict=True)]
    assert_allclose(shifts.std(0), 0.4 * 0.05, rtol=0.1)
    assert_allclose(np.std(turns), 0.4 * math.radians(18), rtol=0.1)
    assert_allclose(np.std(scales), 0.4 * 0.1, rtol=0.1)


@pytest.mark.parametrize("seed", range(40))
def test_a_cover_changes_the_crop_where_it_says_and_nowhere_else(face: tuple[Image, Array], seed: int) -> None:
    image, points = face
    plain, in_crop = apply(image, points, IBUG68, Choices(), SIZE)
    covered, hidden = cover_part(plain, in_crop, np.random.default_rng(seed))
    assert covered.shape == plain.shape
    assert covered.dtype == np.uint8
    assert hidden.shape == (SIZE, SIZE)
    assert hidden.min() >= 0
    assert hidden.max() <= 1
    assert (covered[hidden == 0] == plain[hidden == 0]).all()
    assert (covered[hidden == 1] != plain[hidden == 1]).any()


def test_covers_hide_a_part_of_the_points_and_rarely_all(face: tuple[Image, Array]) -> None:
    image, points = face
    plain, in_crop = apply(image, points, IBUG68, Choices(), SIZE)
    x, y = in_crop.round().astype(int).T
    shares = [(cover_part(plain, in_crop, np.random.default_rng(i))[1][y, x] > 0.5).mean() for i in range(200)]
    assert 0.15 < np.mean(shares) < 0.5
    assert np.mean(np.array(shares) > 0.8) < 0.05


def test_a_cover_hides_the_same_part_in_another_view(face: tuple[Image, Array]) -> None:
    first = Augmentation(cover=1.0).draw(np.random.default_rng(2))
    other = Augmentation(cover=1.0).draw_other(first, np.random.default_rng(3))
    assert first.cover is not None
    assert other.cover == first.cover


def test_independent_views_of_a_face_differ_by_a_similarity() -> None:
    """As the terms that compare views assume."""
    augmentation = Augmentation(near="independent", stretch=0.1, turn=1.0)
    first = augmentation.draw(np.random.default_rng(0))
    other = augmentation.draw_other(first, np.random.default_rng(1))
    assert (other.flip, other.stretch, other.turn_rad) == (first.flip, first.stretch, first.turn_rad)
    assert other.shift != first.shift


def test_no_crop_without_an_upright_face_shows_a_turned_head() -> None:
    """It would show what lies beside the warped square: black, by which a net could tell it."""
    augmentation = Augmentation(absent=0.5, turn=1.0)
    drawn = [augmentation.draw(np.random.default_rng(i)) for i in range(200)]
    assert {each.turn_rad is None for each in drawn if each.absent} == {True}
    assert {each.turn_rad is None for each in drawn if not each.absent} == {False}
    views = replace(augmentation, near="independent")
    others = [views.draw_other(first, np.random.default_rng(1000 + i)) for i, first in enumerate(drawn)]
    for first, other in zip(drawn, others, strict=True):
        assert other.turn_rad == (None if other.absent else first.turn_rad)
    assert {first.absent for first, other in zip(drawn, others, strict=True) if other.absent} == {True, False}


@pytest.mark.parametrize("stretch", [0.7, 1.0, 1.4])
def test_a_stretch_keeps_the_area_and_widens_the_face(face: tuple[Image, Array], stretch: float) -> None:
    image, points = face
    _, plain = apply(image, points, IBUG68, Choices(), SIZE)
    _, stretched = apply(image, points, IBUG68, Choices(stretch=stretch), SIZE)
    middle = (SIZE - 1) / 2
    assert_allclose(stretched - middle, (plain - middle) * (stretch, 1 / stretch), atol=1e-6)


def test_a_crop_without_an_upright_face_is_turned_or_beside_it(face: tuple[Image, Array]) -> None:
    image, points = face
    augmentation = Augmentation(absent=1.0)
    turned = beside = 0
    for i in range(100):
        drawn = augmentation.draw(np.random.default_rng(i))
        assert drawn.absent
        _, there = apply(image, points, IBUG68, drawn, SIZE)
        eyes = there[45] - there[36]  # from the right eye's outer corner to the left one's
        if ((there > 0) & (there < SIZE)).all(1).mean() < 0.5:
            beside += 1
        else:
            turned += 1
            assert eyes[0] < 0.5 * abs(eyes[1]) or drawn.flip
    assert turned > 50
    assert beside > 15


def test_what_is_not_asked_for_is_drawn_as_before() -> None:
    """Options that came later draw nothing, so that older trainings can go on."""
    rng, later = np.random.default_rng(5), np.random.default_rng(5)
    first, other = Augmentation().draw(rng), Augmentation(cover=0.5, stretch=0.1, absent=0.1, turn=0.9).draw(later)
    assert (first.cover, first.stretch, first.absent, first.turn_rad) == (None, 1.0, False, None)
    assert replace(
        other, cover=None, stretch=1.0, absent=False, turn_rad=None, shift=(0, 0), rotation_rad=0, scale=1
    ) == replace(first, shift=(0, 0), rotation_rad=0, scale=1)
