"""Transforms, mirrors and boxes against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from tracker.face.crop import Roi
from tracker.face.geometry import (
    box_iou,
    compose,
    extent,
    flip_points,
    invert,
    scale_of,
    similarity,
    transform_covariances,
    transform_points,
)
from tracker.face.schemes import COFW29, IBUG68, WFLW98, Scheme

Array = np.ndarray[Any, np.dtype[np.float64]]
Point = tuple[float, float]

coordinates = st.floats(-2000, 2000)
pairs = st.tuples(coordinates, coordinates)
points = arrays(np.float64, (7, 2), elements=coordinates)
scales = st.floats(0.05, 20)
angles = st.floats(-4, 4)
similarities = st.builds(similarity, scales, angles, pairs, pairs)
mirrors = st.builds(lambda width: np.array([[-1.0, 0, width - 1], [0, 1, 0]]), st.integers(1, 2000))
transforms = st.one_of(similarities, st.builds(compose, similarities, mirrors))
boxes = st.tuples(*[st.integers(-4, 12)] * 2, *[st.integers(0, 9)] * 2)


def full(covariance: Array) -> Array:
    xx, xy, yy = covariance
    return np.array([[xx, xy], [xy, yy]])


class TestTransforms:
    @given(scales, angles, pairs, pairs, pairs)
    def test_similarity_puts_source_on_target_and_keeps_shape(
        self, scale: float, angle: float, source: Point, target: Point, other: Point
    ) -> None:
        moved = similarity(scale, angle, source, target)
        assert_allclose(transform_points(moved, source), target, atol=1e-8)
        before, after = (np.subtract(*pair) for pair in ((other, source), (transform_points(moved, other), target)))
        cos, sin = np.cos(angle), np.sin(angle)
        assert_allclose(
            after,
            scale * np.array([cos * before[0] - sin * before[1], sin * before[0] + cos * before[1]]),
            atol=1e-7,
        )
        assert scale_of(moved) == pytest.approx(scale)

    def test_positive_rotation_turns_x_towards_y(self) -> None:
        quarter = similarity(2.0, np.pi / 2, (10, 20), (1, 1))
        assert_allclose(transform_points(quarter, [(13, 20), (10, 25)]), [(1, 7), (-9, 1)], atol=1e-12)

    @given(transforms, transforms, points)
    def test_compose_is_one_after_the_other(self, a_from_b: Array, b_from_c: Array, in_c: Array) -> None:
        expected = transform_points(a_from_b, transform_points(b_from_c, in_c))
        assert_allclose(transform_points(compose(a_from_b, b_from_c), in_c), expected, atol=1e-6)

    @given(transforms, points)
    def test_invert_undoes(self, a_from_b: Array, in_b: Array) -> None:
        b_from_a = invert(a_from_b)
        assert_allclose(transform_points(b_from_a, transform_points(a_from_b, in_b)), in_b, atol=1e-6)
        assert_allclose(compose(a_from_b, b_from_a), np.eye(2, 3), atol=1e-6)
        assert scale_of(b_from_a) == pytest.approx(1 / scale_of(a_from_b))

    def test_a_flattening_transform_has_no_inverse(self) -> None:
        with pytest.raises(np.linalg.LinAlgError):
            invert(np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]))

    @given(transforms)
    def test_takes_one_point_or_many(self, moved: Array) -> None:
        grid = np.arange(12.0).reshape(2, 3, 2)
        expected = [[transform_points(moved, point) for point in row] for row in grid]
        assert_allclose(transform_points(moved, grid), expected, atol=1e-9)  # where a sum cancels, its rounding is left

    @given(st.integers(1, 4000), st.integers(1, 512), coordinates)
    def test_resizing_maps_pixel_edges_to_pixel_edges(self, width: int, size: int, x: float) -> None:
        """The convention (p + 0.5) * s - 0.5, through the view that covers a square picture."""
        middle = (width - 1) / 2
        resized = Roi((middle, middle), width).crop_from_image(size)
        expected = (np.array([x, -0.5]) + 0.5) * (size / width) - 0.5
        assert_allclose(transform_points(resized, (x, -0.5)), expected, atol=1e-7)


class TestCovariances:
    @given(transforms, st.integers(0, 10**6))
    def test_are_those_of_the_moved_points(self, a_from_b: Array, seed: int) -> None:
        cloud = np.random.default_rng(seed).normal(0, 1, (2, 5, 2)).cumsum(1)
        before, after = (
            np.array([np.cov(c.T, bias=True)[[0, 0, 1], [0, 1, 1]] for c in clouds])
            for clouds in (cloud, transform_points(a_from_b, cloud))
        )
        assert_allclose(transform_covariances(a_from_b, before), after, rtol=1e-6, atol=1e-6)

    @given(transforms, arrays(np.float64, 3, elements=st.floats(0.1, 50)))
    def test_area_grows_with_the_square_of_the_scale(self, moved: Array, covariance: Array) -> None:
        area = np.linalg.det(full(transform_covariances(moved, covariance)))
        assert area == pytest.approx(np.linalg.det(full(covariance)) * scale_of(moved) ** 4, rel=1e-6, abs=1e-3)

    def test_a_mirror_turns_the_mixed_entry(self) -> None:
        mirror = np.array([[-1.0, 0, 99], [0, 1, 0]])
        assert_allclose(transform_covariances(mirror, [[4, 1.5, 2]]), [[4, -1.5, 2]])


class TestFlip:
    @pytest.mark.parametrize("scheme", [IBUG68, WFLW98, COFW29], ids=lambda scheme: scheme.name)
    @given(width=st.integers(1, 500), seed=st.integers(0, 10**6))
    def test_twice_is_nothing(self, scheme: Scheme, width: int, seed: int) -> None:
        face = np.random.default_rng(seed).uniform(-50, 550, (scheme.count, 2))
        before = face.copy()
        twice = flip_points(flip_points(face, width, scheme.flip), width, scheme.flip)
        assert_allclose(twice, face, atol=1e-9)
        assert np.array_equal(face, before)

    def test_follows_the_pixels_and_the_permutation(self) -> None:
        """Each landmark marks a pixel; in the mirrored picture its mirror landmark must lie on that pixel."""
        rng, width = np.random.default_rng(0), 40
        places = rng.choice(width * 30, IBUG68.count, replace=False)
        picture = np.full((30, width), -1)
        picture.flat[places] = np.arange(IBUG68.count)
        face = np.stack([places % width, places // width], 1)
        x, y = flip_points(face, width, IBUG68.flip).astype(int).T
        assert np.array_equal(picture[:, ::-1][y, x], IBUG68.flip)


class TestBoxes:
    @given(points)
    def test_extent_holds_every_point_and_is_tight(self, cloud: Array) -> None:
        x, y, width, height = extent(cloud)
        assert (cloud >= (x, y)).all()
        assert (cloud <= (x + width + 1e-9, y + height + 1e-9)).all()
        assert_allclose((x, y, x + width, y + height), (*cloud.min(0), *cloud.max(0)), atol=1e-9)

    @given(boxes, boxes)
    def test_iou_counts_unit_squares(self, a: tuple[int, ...], b: tuple[int, ...]) -> None:
        in_a, in_b = ({(x, y) for x in range(u, u + w) for y in range(v, v + h)} for u, v, w, h in (a, b))
        expected = len(in_a & in_b) / len(in_a | in_b) if in_a | in_b else 0.0
        assert box_iou(a, b) == pytest.approx(expected)
        assert box_iou(b, a) == pytest.approx(expected)
