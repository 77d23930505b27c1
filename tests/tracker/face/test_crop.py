"""The crop shows what its transform says, to hundredths of a pixel, and does not alias."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from tracker.face.crop import VIEW, Roi, crop, eye_rotation_rad, roi_of_landmarks, warp
from tracker.face.geometry import compose, extent, invert, similarity, transform_points
from tracker.face.schemes import SCHEMES

Array = np.ndarray[Any, np.dtype[np.float64]]
Image = np.ndarray[Any, np.dtype[np.uint8]]

SHRINKS = (0.5, 1.0, 1.7, 2.0, 3.3, 6.0)
SIZE = 64
MIRROR = np.array([[-1.0, 0.0, SIZE - 1.0], [0.0, 1.0, 0.0]])  # of a crop


def slopes() -> Image:
    """(256, 256, 3): red is x, green is y, blue is 255 - x."""
    y, x = np.mgrid[:256, :256]
    return np.stack([x, y, 255 - x], -1).astype(np.uint8)


def seen_from(crop_from_image: Array, size: int = SIZE) -> Array:
    """(size, size, 2) where in the picture each pixel of the crop lies."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    return transform_points(invert(crop_from_image), np.stack([x, y], -1))


def blob(height: int, width: int, center: tuple[float, float], sigma: float) -> Image:
    """(H, W) a Gaussian spot drawn at a place between the pixels."""
    y, x = np.mgrid[:height, :width]
    squared = (x - center[0]) ** 2 + (y - center[1]) ** 2
    return np.asarray(np.round(250 * np.exp(-squared / (2 * sigma**2))), np.uint8)


def centroid(image: Image) -> Array:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weights = image.astype(np.float64)
    return np.array([np.average(x, weights=weights), np.average(y, weights=weights)])


class TestPixels:
    @given(
        st.tuples(st.floats(80, 170), st.floats(80, 170)),
        st.floats(4, 200),
        st.floats(-4, 4),
        st.integers(4, 64),
    )
    def test_a_linear_picture_comes_out_at_the_predicted_values(
        self, center: tuple[float, float], side: float, rotation: float, size: int
    ) -> None:
        roi = Roi(center, side, rotation)
        place = seen_from(roi.crop_from_image(size), size)
        margin = 1.5 * max(1.0, side / size)  # the last block of pixels fades into the black around
        inside = ((place > margin) & (place < 255 - margin)).all(-1)
        expected = np.stack([place[..., 0], place[..., 1], 255 - place[..., 0]], -1)
        # half a grey level of rounding, twice where blocks are averaged first; 1/32 px steps in OpenCV 4
        rounding = (0.55 if side / size < 2 else 1.05) + side / size / 32
        assert np.abs(crop(slopes(), roi, size) - expected)[inside].max(initial=0) <= rounding

    @pytest.mark.parametrize(
        ("shrink", "rotation", "mirrored"), list(itertools.product(SHRINKS, (0.0, 0.4, -2.0), (False, True)))
    )
    def test_a_spot_lands_where_the_transform_says(self, shrink: float, rotation: float, mirrored: bool) -> None:
        center = (301.37, 262.81)
        image = blob(560, 620, center, sigma=2.5 * max(1.0, shrink))
        crop_from_image = Roi(
            (center[0] + 7.3 * shrink, center[1] - 4.9 * shrink), SIZE * shrink, rotation
        ).crop_from_image(SIZE)
        if mirrored:
            crop_from_image = compose(MIRROR, crop_from_image)
        found = centroid(warp(image, crop_from_image, SIZE))
        assert_allclose(found, transform_points(crop_from_image, center), atol=0.04)

    @pytest.mark.parametrize("shrink", SHRINKS)
    def test_mirroring_the_transform_mirrors_the_crop(self, shrink: float) -> None:
        image = blob(400, 400, (207.3, 190.2), 30)
        crop_from_image = Roi((200.2, 199.1), SIZE * shrink, 0.3).crop_from_image(SIZE)
        plain = warp(image, crop_from_image, SIZE).astype(int)
        mirrored = warp(image, compose(MIRROR, crop_from_image), SIZE).astype(int)
        assert np.abs(plain[:, ::-1] - mirrored).max() <= 2

    @pytest.mark.parametrize("shrink", [2.0, 2.7, 4.0, 6.0])
    @pytest.mark.parametrize("rotation", [0.0, 0.6])
    def test_a_checkerboard_shrunk_is_flat(self, shrink: float, rotation: float) -> None:
        y, x = np.mgrid[:512, :512]
        board = ((x + y) % 2 * 255).astype(np.uint8)
        shrunk = crop(board, Roi((250.3, 261.9), 50 * shrink, rotation), 50)
        assert np.abs(shrunk.astype(float) - 127.5).max() <= 1
        # without the averaging it would not be
        naive = cv2.warpAffine(board, Roi((250.3, 261.9), 50 * shrink, rotation).crop_from_image(50), (50, 50))
        assert np.abs(naive.astype(float) - 127.5).max() > 10

    @pytest.mark.parametrize("factor", [2, 4, 6])
    def test_a_whole_factor_is_taken_whole(self, factor: int) -> None:
        """Shrunk by 6 in every size and roll, and never by 5.9999999: of 5 x 5 blocks the board is not flat."""
        y, x = np.mgrid[:512, :512]
        board = ((x + y) % 2 * 255).astype(np.uint8)
        for size in range(10, 50):
            shrunk = crop(board, Roi((250.3, 261.9), factor * size, 0.1 * size), size)
            assert np.abs(shrunk.astype(float) - 127.5).max() <= 1, size

    def test_is_bilinear_where_it_enlarges(self) -> None:
        edge = np.zeros((9, 9), np.uint8)
        edge[:, 5:] = 200
        enlarged = crop(edge, Roi((4.5, 4.0), 4.0), 16)  # 4 crop pixels to one: quarters from the edge's middle
        assert np.abs(enlarged[8].astype(int)[4:12] - [0, 0, 25, 75, 125, 175, 200, 200]).max() <= 1


class TestBorders:
    @pytest.mark.parametrize("shrink", SHRINKS)
    @pytest.mark.parametrize("center", [(-400, 50), (500, 50), (50, -400), (50, 500), (1e6, -1e6)])
    def test_a_view_outside_is_black(self, shrink: float, center: tuple[float, float]) -> None:
        white = np.full((100, 100, 3), 255, np.uint8)
        assert not crop(white, Roi(center, 60 * shrink, 0.2), 60).any()

    @pytest.mark.parametrize("shrink", SHRINKS)
    @given(st.tuples(st.floats(-60, 160), st.floats(-60, 130)), st.floats(-4, 4))
    @settings(max_examples=25)
    def test_a_view_partly_outside_is_the_picture_and_black(
        self, shrink: float, center: tuple[float, float], rotation: float
    ) -> None:
        white = np.full((71, 103), 200, np.uint8)
        roi = Roi(center, 40 * shrink, rotation)
        place, shown = seen_from(roi.crop_from_image(40), 40), crop(white, roi, 40)
        reach = 2 * max(1.0, shrink)  # of a crop pixel, and of the blocks averaged into one
        beyond = np.maximum(-0.5 - place, place - (102.5, 70.5)).max(-1)
        assert (shown[beyond < -reach] == 200).all()
        assert (shown[beyond > reach] == 0).all()

    @pytest.mark.parametrize("shrink", SHRINKS)
    def test_a_picture_of_one_pixel(self, shrink: float) -> None:
        one = np.array([[[10, 120, 250]]], np.uint8)
        shown = crop(one, Roi((0.0, 0.0), 9 * shrink), 9)
        assert shown.shape == (9, 9, 3)
        assert (shown <= one).all()
        assert shown[4, 4, 2] > 0  # a pixel a fraction of the crop's: what surrounds it is black
        assert shrink >= 2 or np.abs(shown[4, 4].astype(int) - one[0, 0]).max() <= 1

    @given(st.integers(1, 40), st.integers(1, 40), st.floats(0.2, 90), st.tuples(*[st.floats(-50, 90)] * 2))
    def test_any_picture_and_any_view_give_a_crop(
        self, height: int, width: int, side: float, center: tuple[float, float]
    ) -> None:
        shown = crop(np.full((height, width, 3), 77, np.uint8), Roi(center, side, 0.7), 8)
        assert shown.shape == (8, 8, 3)
        assert shown.dtype == np.uint8
        assert shown.max() <= 77

    @pytest.mark.parametrize("shrink", [1.0, 4.0])
    @pytest.mark.parametrize("channels", [(), (3,), (4,)])
    def test_channels_stay_as_they_come(self, shrink: float, channels: tuple[int, ...]) -> None:
        picture = np.broadcast_to(slopes()[..., :1], (256, 256, 4))[..., : channels[0] if channels else 1]
        picture = picture.reshape(256, 256, *channels)
        roi = Roi((120.0, 130.0), 30 * shrink, 0.5)
        shown = crop(picture, roi, 30)
        assert shown.shape == (30, 30, *channels)
        grey = crop(slopes()[..., 0].copy(), roi, 30)
        assert np.array_equal(shown, grey if not channels else np.broadcast_to(grey[..., None], shown.shape))

    @pytest.mark.parametrize("shrink", [1.0, 4.0])
    def test_takes_views_of_arrays_and_leaves_them_alone(self, shrink: float) -> None:
        picture = slopes()
        turned = picture[:, ::-1].swapaxes(0, 1)
        before, roi = turned.copy(), Roi((100.0, 140.0), 30 * shrink)
        assert np.array_equal(crop(turned, roi, 30), crop(before, roi, 30))
        assert np.array_equal(turned, before)


class TestRoi:
    @given(st.tuples(*[st.floats(-500, 1500)] * 2), st.floats(0.5, 2000), st.floats(-4, 4), st.integers(1, 300))
    def test_the_views_edges_meet_the_crops(
        self, center: tuple[float, float], side: float, rotation: float, size: int
    ) -> None:
        roi = Roi(center, side, rotation)
        image_from_upright = similarity(side, rotation, (0, 0), center)
        corners = transform_points(image_from_upright, [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5)])
        edge = size - 0.5
        expected = [(-0.5, -0.5), (edge, -0.5), (edge, edge)]
        assert_allclose(transform_points(roi.crop_from_image(size), corners), expected, atol=1e-6)

    @pytest.mark.parametrize("side", [0, -3, np.nan, np.inf])
    def test_refuses_a_side_that_is_none(self, side: float) -> None:
        with pytest.raises(ValueError, match="a Roi needs a side of"):
            Roi((1.0, 2.0), side)

    def test_refuses_what_is_not_finite(self) -> None:
        with pytest.raises(ValueError, match="finite"):
            Roi((np.nan, 2.0), 5.0)
        with pytest.raises(ValueError, match="finite"):
            Roi((1.0, 2.0), 5.0, np.inf)

    @given(arrays(np.float64, (9, 2), elements=st.integers(-900, 900), unique=True), st.floats(-4, 4))
    def test_of_landmarks_holds_the_face_with_its_margin(self, points: Array, rotation: float) -> None:
        roi = roi_of_landmarks(points, rotation)
        inside = transform_points(roi.crop_from_image(100), points)
        x, y, width, height = extent(inside)
        assert max(width, height) == pytest.approx(100 / VIEW)
        assert_allclose((x + width / 2, y + height / 2), (49.5, 49.5), atol=1e-6)

    def test_of_landmarks_is_1_25_times_the_larger_extent(self) -> None:
        roi = roi_of_landmarks([(10, 10), (110, 30), (60, 70)])
        assert (roi.center_px, roi.side_px, roi.rotation_rad) == ((60, 40), 125, 0)

    @given(st.floats(-3, 3), st.floats(0.3, 4))
    def test_a_face_moved_and_turned_gives_the_same_crop(self, rotation: float, scale: float) -> None:
        points = np.random.default_rng(5).uniform(0, 100, (68, 2))
        moved_from_image = similarity(scale, rotation, (50, 50), (300, 200))
        plain = roi_of_landmarks(points).crop_from_image(64)
        turned = roi_of_landmarks(transform_points(moved_from_image, points), rotation).crop_from_image(64)
        assert_allclose(compose(turned, moved_from_image), plain, atol=1e-6)

    def test_of_landmarks_in_one_place_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a Roi needs a side of"):
            roi_of_landmarks(np.full((68, 2), 5.0))

    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    @given(angle=st.floats(-3.1, 3.1))
    def test_eye_rotation_is_the_faces(self, scheme: Any, angle: float) -> None:
        face = np.zeros((scheme.count, 2))
        face[list(scheme.ocular[1]), 0] = 60  # the subject's left eye is on the right
        moved = transform_points(similarity(1.7, angle, (0, 0), (200, 100)), face)
        assert eye_rotation_rad(moved, scheme) == pytest.approx(angle)
        roi = roi_of_landmarks(moved, eye_rotation_rad(moved, scheme))
        right, left = (transform_points(roi.crop_from_image(64), moved[list(g)].mean(0)) for g in scheme.ocular)
        assert left[1] == pytest.approx(right[1], abs=1e-6)
        assert left[0] > right[0]


@pytest.mark.parametrize("side_px", [1e5, 1e7, 1e9])
def test_a_view_much_larger_than_any_picture_takes_no_memory(side_px: float) -> None:
    """As a damaged model may ask for: it took half a terabyte."""
    picture = np.full((20, 30, 3), 200, np.uint8)
    seen = crop(picture, Roi((1000.0, 500.0), side_px), 32)
    assert seen.shape == (32, 32, 3) and np.count_nonzero(seen) <= 3 * 4  # the picture is a point in it
