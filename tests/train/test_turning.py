"""Turned heads against heads that are turned in space, and pictures whose pixels say where they come from."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tracker.analysis.head_pose import mean_head_mm
from tracker.face.crop import Roi, warp
from tracker.face.geometry import Array, extent, transform_points
from tracker.face.schemes import IBUG68
from train.augmentation import Augmentation, Choices, apply
from train.turning import AROUND, PIVOT_MM, SIDE, turn_head

Image = NDArray[np.uint8]
SIZE = 128
PX_PER_MM = 0.7


def photographed(*turns_deg: tuple[float, float, float]) -> Array:
    """The mean head's landmarks (68, 2) from afar, after turns by pitch, yaw and roll, the last first."""
    head = mean_head_mm()
    for turn_deg in reversed(turns_deg):
        head = head @ cv2.Rodrigues(np.radians(turn_deg))[0].T
    return np.asarray((128, 100) + PX_PER_MM * head[:, :2])


def places() -> Image:
    """A picture (256, 256, 3) whose red says how far right a pixel is, and whose green how far down."""
    y, x = np.mgrid[:256, :256]
    return np.asarray(np.stack([x, y, 0 * x], -1), np.uint8)


@given(yaw=st.floats(-10, 10), pitch=st.floats(-8, 8), start=st.floats(-10, 10), roll=st.floats(-40, 40))
@settings(max_examples=30, deadline=None)
def test_the_head_is_turned_by_the_angles(yaw: float, pitch: float, start: float, roll: float) -> None:
    before = photographed((0, 0, roll), (0, start, 0))
    _, turned = turn_head(places(), before, math.radians(yaw), math.radians(pitch), SIZE)
    expected = photographed((0, 0, roll), (0, start, 0), (pitch, yaw, 0))
    scale = SIDE * SIZE / (AROUND * max(extent(before)[2:]))
    assert_allclose((turned - turned.mean(0)) / scale, expected - expected.mean(0), atol=1.5)


def test_positive_yaw_is_to_the_left_and_positive_pitch_down() -> None:
    before = photographed()
    _, plain = turn_head(places(), before, 0.0, 0.0, SIZE)
    nose, ears = 30, [0, 16]
    _, left = turn_head(places(), before, 0.2, 0.0, SIZE)
    assert (left - plain)[nose, 0] < -5 and abs((left - plain)[nose, 1]) < 1
    _, down = turn_head(places(), before, 0.0, 0.2, SIZE)
    assert (down - plain)[nose, 1] > 5 and abs((down - plain)[nose, 0]) < 1
    assert ((left - plain)[ears, 0] > 0).all() and ((down - plain)[ears, 1] < 0).all()


def test_the_head_turns_about_a_point_inside_it() -> None:
    before = photographed()
    _, plain = turn_head(places(), before, 0.0, 0.0, SIZE)
    _, left = turn_head(places(), before, 0.2, 0.0, SIZE)
    scale = SIDE * SIZE / (AROUND * max(extent(before)[2:])) * PX_PER_MM
    depths = mean_head_mm()[:, 2] - PIVOT_MM[2]
    expected = scale * (math.sin(0.2) * depths + (math.cos(0.2) - 1) * mean_head_mm()[:, 0])
    assert_allclose((left - plain)[:, 0], expected, atol=1.5)


def test_the_forehead_turns_with_the_head() -> None:
    before = photographed()
    scale = SIDE * SIZE / (AROUND * max(extent(before)[2:])) * PX_PER_MM
    shown, _ = turn_head(places(), before, 0.2, 0.0, SIZE)
    plain, _ = turn_head(places(), before, 0.0, 0.0, SIZE)
    forehead, depth = np.array([0.0, -60.0]), -3.0
    middle = (SIDE * SIZE - 1) / 2 + scale * (forehead - np.array([0, 39.2]))
    moved = middle + [scale * math.sin(0.2) * (depth - PIVOT_MM[2]), 0]
    there, source = (image[round(y), round(x), :2].astype(int) for image, (x, y) in ((shown, moved), (plain, middle)))
    assert np.abs(there - source).max() <= 3


def test_a_turn_that_would_fold_the_face_is_halved_and_halved_again() -> None:
    before = photographed()
    for yaw_deg, done_deg in ((35, 17.5), (70, 17.5)):
        _, turned = turn_head(places(), before, math.radians(yaw_deg), 0.0, SIZE)
        _, expected = turn_head(places(), before, math.radians(done_deg), 0.0, SIZE)
        assert_allclose(turned, expected, atol=1e-6)


def test_two_points_at_one_place_are_no_error() -> None:
    before = photographed((0, 90, 0))
    shown, turned = turn_head(places(), before, 0.0, 0.0, SIZE)
    assert shown.shape == (SIDE * SIZE, SIDE * SIZE, 3) and np.isfinite(turned).all()


@given(yaw=st.floats(-0.4, 0.4), pitch=st.floats(-0.2, 0.2), start=st.floats(-20, 20))
@example(yaw=-0.1875, pitch=-0.1875, start=-19.0)  # 4.3 pixels if cells may show more than three times their width
@settings(max_examples=30, deadline=None)
def test_pixels_move_with_their_landmarks(yaw: float, pitch: float, start: float) -> None:
    """The picture shows at each landmark what was there before."""
    before = photographed((0, start, 0))
    shown, turned = turn_head(places(), before, yaw, pitch, SIZE)
    x, y = turned.astype(np.float32).T[:, :, None]
    there = cv2.remap(shown.astype(np.float32), x, y, cv2.INTER_LINEAR)[:, 0, :2]
    errors = np.linalg.norm(there - before, axis=1)  # pixels of a face that is 106 wide; colours are rounded to 1
    assert errors.max() < 4 and errors.mean() < 0.8


def test_no_turn_moves_nothing(face68: Array) -> None:
    points = face68 + (60, 40)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8), (0, 0), 3)
    shown, turned = turn_head(np.asarray(image, np.uint8), points, 0.0, 0.0, SIZE)
    x, y, width, height = extent(points)
    plain = Roi((x + width / 2, y + height / 2), AROUND * max(width, height)).crop_from_image(SIDE * SIZE)
    assert_allclose(turned, transform_points(plain, points), atol=1e-6)
    difference = np.abs(shown.astype(int) - warp(np.asarray(image, np.uint8), plain, SIDE * SIZE))
    assert difference[2:-2, 2:-2].max() <= 2


@given(yaw=st.floats(-90, 90), pitch=st.floats(-60, 60), start=st.floats(-50, 50))
@settings(max_examples=60, deadline=None)
def test_no_face_is_folded_over_itself(yaw: float, pitch: float, start: float) -> None:
    """In a picture that is brighter to the right in red and downwards in green, each small square keeps its sense."""
    shown, turned = turn_head(places(), photographed((0, start, 0)), math.radians(yaw), math.radians(pitch), SIZE)
    blurred = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), 3)[..., :2]
    right, down = np.diff(blurred, axis=1)[:-1], np.diff(blurred, axis=0)[:, :-1]
    areas = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    assert (areas[16:-16, 16:-16] > 0).all()
    assert np.isfinite(turned).all()


@pytest.mark.parametrize("points", [np.tile(np.arange(68.0), (2, 1)).T, np.random.default_rng(1).random((68, 2)) * 200])
def test_what_is_no_head_is_not_turned(points: Array) -> None:
    _, plain = turn_head(places(), points, 0.0, 0.0, SIZE)
    _, turned = turn_head(places(), points, 0.5, 0.2, SIZE)
    assert_allclose(turned, plain)


def test_a_crop_shows_the_turned_head() -> None:
    image, points = places(), photographed((0, -5, 0))
    choices = Choices(turn_rad=(0.2, 0.1))
    shown, there = apply(image, points, IBUG68, choices, SIZE)
    expected, expected_points = apply(*turn_head(image, points, 0.2, 0.1, SIZE), IBUG68, Choices(), SIZE)
    assert np.array_equal(shown, expected)
    assert_allclose(there, expected_points)
    _, mirrored = apply(image, points, IBUG68, replace(choices, flip=True), SIZE)
    assert_allclose(mirrored[IBUG68.flip], np.column_stack([SIZE - 1 - there[:, 0], there[:, 1]]))


def test_the_share_and_the_angles_of_turned_heads() -> None:
    augmentation = Augmentation(turn=0.3, turn_deg=15)
    drawn = [augmentation.draw(np.random.default_rng(i)).turn_rad for i in range(2000)]
    angles = np.degrees([each for each in drawn if each is not None])
    assert len(angles) / 2000 == pytest.approx(0.3, abs=0.04)
    assert_allclose(angles.std(0), [15, 7.5], rtol=0.1)
    assert_allclose(angles.mean(0), [0, 0], atol=2.0)


def test_all_views_of_a_face_show_the_same_turn() -> None:
    augmentation = Augmentation(turn=1.0)
    first = augmentation.draw(np.random.default_rng(0))
    assert first.turn_rad is not None
    assert augmentation.draw_other(first, np.random.default_rng(1)).turn_rad == first.turn_rad
