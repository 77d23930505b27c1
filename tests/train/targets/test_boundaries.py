"""Curves and edge maps: against slow twins, at their limits, and on real faces."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.interpolate import CubicSpline

from tracker.datasets.pts_files import read_pts
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import similarity, transform_points
from tracker.face.schemes import COFW29, IBUG68, WFLW98, Curve, Scheme
from train.targets.boundaries import SAMPLES, EdgeProcedure, boundary_curves, curve_through, edge_maps

Array = np.ndarray[Any, np.dtype[np.float64]]
PROCEDURES: tuple[EdgeProcedure, ...] = get_args(EdgeProcedure)
seeds = st.integers(0, 10**6)


def blob(seed: int, count: int = 7) -> Array:
    """(count, 2) points in order around a wobbly circle in a crop of 64 pixels."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False)
    radius = rng.uniform(14, 22, count)
    return np.asarray(rng.uniform(28, 36, 2) + radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]))


def one_curve(count: int, closed: bool = False) -> Scheme:
    """A scheme of one curve through all its points."""
    curves = (Curve("all", tuple(range(count)), closed),)
    nobody = ((0,), (0,))
    return Scheme("test", count, np.arange(count), nobody, nobody, curves, {})


def straight(first: tuple[float, float], last: tuple[float, float]) -> Array:
    return np.linspace(first, last, 5)


@pytest.fixture(scope="session")
def faces(shared: Path) -> list[Array]:
    """Real faces in crops of 256 pixels."""
    labels = sorted((shared / "data/300w").glob("*/*set/*.pts"))[::150]
    assert len(labels) > 3
    points = [read_pts(path) for path in labels]
    return [transform_points(roi_of_landmarks(p).crop_from_image(256), p) for p in points]


class TestCurves:
    @pytest.mark.parametrize("scheme", [IBUG68, WFLW98, COFW29], ids=lambda s: s.name)
    def test_pass_through_their_landmarks_in_order(self, scheme: Scheme) -> None:
        points = np.random.default_rng(0).uniform(0, 255, (scheme.count, 2))
        curves = boundary_curves(points, scheme)
        assert len(curves) == len(scheme.curves)
        for curve, shape in zip(curves, scheme.curves, strict=True):
            assert len(curve) == SAMPLES * len(shape.indices) - (0 if shape.closed else SAMPLES - 1)
            assert_allclose(curve[::SAMPLES], points[list(shape.indices)], atol=1e-8)

    @given(seed=seeds, count=st.integers(4, 17), closed=st.booleans())
    @settings(max_examples=30)
    def test_are_cubic_splines_by_chord_length(self, seed: int, count: int, closed: bool) -> None:
        points = blob(seed, count)
        knots = np.vstack([points, points[:1]]) if closed else points
        u = np.concatenate([[0], np.linalg.norm(np.diff(knots, axis=0), axis=1).cumsum()])
        slow = CubicSpline(u, knots, bc_type="periodic" if closed else "not-a-knot")
        at = [a + (b - a) * i / SAMPLES for a, b in pairwise(u) for i in range(SAMPLES)]
        at += [] if closed else [u[-1]]
        assert_allclose(curve_through(points, closed), slow(at), atol=1e-8)

    @given(seed=seeds, by=st.integers(1, 6))
    @settings(max_examples=20)
    def test_a_closed_one_has_no_start(self, seed: int, by: int) -> None:
        points = blob(seed)
        expected = np.roll(curve_through(points, True), by * SAMPLES, axis=0)
        assert_allclose(curve_through(np.roll(points, by, axis=0), True), expected, atol=1e-8)

    def test_a_closed_one_is_round_where_its_landmarks_are(self) -> None:
        angle = np.linspace(0, 2 * math.pi, 8, endpoint=False)
        curve = curve_through(10 * np.column_stack([np.cos(angle), np.sin(angle)]), True)
        assert_allclose(np.linalg.norm(curve, axis=1), 10, rtol=0.003)
        gaps = np.linalg.norm(np.diff(curve, axis=0, append=curve[:1]), axis=1)
        assert_allclose(gaps, gaps.mean(), rtol=0.02)  # from the last sample to the first as between others

    @given(seed=seeds, closed=st.booleans(), scale=st.floats(0.1, 9), turn=st.floats(-3, 3))
    @settings(max_examples=20)
    def test_move_with_their_landmarks(self, seed: int, closed: bool, scale: float, turn: float) -> None:
        moved = similarity(scale, turn, (30, 30), (7, -50))
        expected = transform_points(moved, curve_through(blob(seed), closed))
        assert_allclose(curve_through(transform_points(moved, blob(seed)), closed), expected, atol=1e-7)

    @pytest.mark.parametrize("closed", [False, True])
    @pytest.mark.parametrize(
        "points",
        [
            [(3, 4)],
            [(3, 4), (9, 4)],
            [(3, 4), (3, 4)],
            [(3, 4)] * 7,
            [(0, 0), (5, 1), (5, 1), (9, 4), (9, 9), (2, 9)],
        ],
    )
    def test_without_a_spline_are_their_landmarks(self, points: list[tuple[float, float]], closed: bool) -> None:
        with warnings.catch_warnings(record=True) as leaked:
            warnings.simplefilter("always")
            curve = curve_through(points, closed)
        assert curve.tolist() == [list(point) for point in points]
        assert leaked == []

    def test_a_closed_one_that_repeats_its_start_is_its_landmarks(self) -> None:
        points = np.vstack([blob(0), blob(0)[:1]])
        assert np.array_equal(curve_through(points, True), points)
        assert len(curve_through(points, False)) == SAMPLES * 7 + 1


def slow_star(points: Array, scheme: Scheme, size: int) -> Array:
    """STAR's steps as the code has them, on whole canvases of floats, for stride 4."""
    maps = []
    for curve, shape in zip(boundary_curves(points, scheme), scheme.curves, strict=True):
        canvas = np.zeros((4 * size, 4 * size), np.float32)
        corners = (4 * np.clip(curve, 0, size - 1) + 0.5).astype(np.int32)
        cv2.polylines(canvas, [corners], shape.closed, 255, 4, cv2.LINE_AA)
        maps.append(torch.from_numpy(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA) / 255))
    return interpolated(torch.stack(maps))


def interpolated(maps: torch.Tensor) -> Array:
    """Maps (K, S, S) a quarter as large, as STAR's code does it."""
    return torch.nn.functional.interpolate(maps[None], scale_factor=0.25, mode="bilinear")[0].double().numpy()


def slow_distance(points: Array, scheme: Scheme, cells: int, stride: int) -> Array:
    """The distance to every point of the polyline, walked in small steps, cell by cell."""
    maps = np.zeros((len(scheme.curves), cells, cells))
    for image, curve, shape in zip(maps, boundary_curves(points, scheme), scheme.curves, strict=True):
        corners = (curve + 0.5) / stride - 0.5
        ends = np.vstack([corners, corners[:1]]) if shape.closed else corners
        walked = np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(ends)])
        for row in range(cells):
            for column in range(cells):
                d = np.hypot(*(walked - (column, row)).T).min()
                image[row, column] = math.exp(-d * d / 2) if d < 3 else 0
    return maps


def center(image: Array) -> tuple[float, float]:
    """The mean (x, y) of a map."""
    x, y = ((image.sum(axis) * np.arange(len(image))).sum() / image.sum() for axis in (0, 1))
    return x, y


class TestEdgeMaps:
    @pytest.mark.parametrize("procedure", PROCEDURES)
    @pytest.mark.parametrize("scheme", [IBUG68, WFLW98, COFW29], ids=lambda s: s.name)
    def test_one_for_each_curve(self, scheme: Scheme, procedure: EdgeProcedure) -> None:
        points = np.random.default_rng(1).uniform(0, 63, (scheme.count, 2))
        maps = edge_maps(points, scheme, 64, procedure=procedure)
        assert maps.shape == (len(scheme.curves), 16, 16)
        assert maps.dtype == np.float32
        assert maps.min() >= 0
        assert maps.max() <= 1
        assert (maps.max((1, 2)) > 0.3).all()

    @given(seed=seeds, closed=st.booleans(), out=st.sampled_from([0, 40, -40]))
    @settings(max_examples=25)
    def test_star_is_stars(self, seed: int, closed: bool, out: float) -> None:
        points, scheme = blob(seed) + (out, 0), one_curve(7, closed)
        got = edge_maps(points, scheme, 64, procedure="star")
        assert_allclose(got, slow_star(points, scheme, 64), atol=0.5 / 255 + 1e-5)  # whole steps of 1 / 255

    def test_stars_antialiasing_does_nothing(self) -> None:
        """Its canvas holds floats. Should OpenCV learn to, the twin above differs, and this says why."""
        canvas = np.zeros((64, 64), np.float32)
        cv2.polylines(canvas, [blob(0).astype(np.int32)], True, 255, 4, cv2.LINE_AA)
        assert set(np.unique(canvas)) == {0, 255}

    @given(x=st.floats(14, 50), y=st.floats(14, 50))
    @settings(max_examples=25)
    def test_a_polyline_lies_on_its_curve_and_stars_does_not(self, x: float, y: float) -> None:
        points, scheme = straight((x - 12, y), (x + 12, y)), one_curve(5)
        (exact,) = edge_maps(points, scheme, 64, 1, "polyline").astype(np.float64)
        assert_allclose(center(exact), (x, y), atol=0.13)  # half a pixel of the canvas
        (star,) = edge_maps(points, scheme, 64, 1, "star").astype(np.float64)
        assert_allclose(center(star), (x - 0.375, y - 0.375), atol=0.25)

    @given(x=st.floats(12, 52), turn=st.floats(-1.5, 1.5))
    @settings(max_examples=25)
    def test_a_polyline_is_as_wide_in_all_directions(self, x: float, turn: float) -> None:
        """A pixel by name; of OpenCV's 4 pixels of the canvas come 5.4, and a round end."""
        points = transform_points(similarity(1, turn, (0, 0), (32, x)), straight((-8, 0), (8, 0)))
        (image,) = edge_maps(points, one_curve(5), 64, 1)
        assert image.sum() == pytest.approx((16 + 1.36) * 1.36, rel=0.06)
        assert image.max() > 0.7

    @given(seed=seeds, closed=st.booleans())
    @settings(max_examples=20)
    def test_a_cell_is_the_mean_of_its_inner_pixels(self, seed: int, closed: bool) -> None:
        scheme = one_curve(7, closed)
        pixels = edge_maps(blob(seed) * 1.5, scheme, 64, 1).astype(np.float64)
        expected = interpolated(torch.from_numpy(pixels))
        assert_allclose(edge_maps(blob(seed) * 1.5, scheme, 64, 4), expected, atol=1e-6)

    @given(seed=seeds, closed=st.booleans())
    @settings(max_examples=8)
    def test_distance_is_that_of_a_walk_along_the_curve(self, seed: int, closed: bool) -> None:
        """Up to the cells by which the drawn curve stands for the true one."""
        scheme = one_curve(5, closed)
        got = edge_maps(blob(seed, 5), scheme, 64, 4, "distance").astype(np.float64)
        slow = slow_distance(blob(seed, 5), scheme, 16, 4)
        both = (got > 0) & (slow > 0)
        apart = np.abs(np.sqrt(-2 * np.log(got[both])) - np.sqrt(-2 * np.log(slow[both])))
        assert apart.max() < 1
        assert apart.mean() < 0.35
        assert np.maximum(got, slow)[~both].max(initial=0) < math.exp(-(2**2) / 2)

    def test_distance_around_a_straight_line(self) -> None:
        (image,) = edge_maps(straight((1.5, 33.5), (61.5, 33.5)), one_curve(5), 64, 4, "distance")
        expected = [math.exp(-d * d / 2) if d < 3 else 0.0 for d in (abs(8 - row) for row in range(16))]
        assert_allclose(image, np.repeat(np.array(expected)[:, None], 16, 1), atol=1e-6)

    @pytest.mark.parametrize("procedure", PROCEDURES)
    @given(seed=seeds, stride=st.sampled_from([1, 2, 4]))
    @settings(max_examples=10)
    def test_are_mirrored_with_their_landmarks(self, seed: int, stride: int, procedure: EdgeProcedure) -> None:
        """All but STAR's own, which are moved to one side."""
        points, scheme = blob(seed), one_curve(7, True)
        here = edge_maps(points, scheme, 64, stride, procedure)
        there = edge_maps(np.array([63, 0]) + points * (-1, 1), scheme, 64, stride, procedure)[..., ::-1]
        apart = np.abs(here - there).mean() / here.mean()
        if procedure == "star":
            assert apart > 0.2 / stride
        else:
            assert apart < (0.1 if procedure == "polyline" else 0.25)

    @pytest.mark.parametrize("procedure", PROCEDURES)
    def test_a_curve_out_of_sight_is_drawn_by_star_alone(self, procedure: EdgeProcedure) -> None:
        image = edge_maps(blob(3) + (0, 500), one_curve(7, True), 64, 4, procedure)[0]
        if procedure == "star":
            assert image[-1].max() > 0.2
            assert (image[:-1] == 0).all()
        else:
            assert (image == 0).all()

    @pytest.mark.parametrize("procedure", PROCEDURES)
    def test_landmarks_on_one_spot_are_a_dot(self, procedure: EdgeProcedure) -> None:
        (image,) = edge_maps(np.full((7, 2), 33.5), one_curve(7, True), 64, 4, procedure)
        assert image[8, 8] == image.max() > 0.15
        assert (image[:5] == 0).all()


class TestRealFaces:
    def test_distance_is_greatest_on_every_landmark_of_a_curve(self, faces: list[Array]) -> None:
        for points in faces:
            maps = edge_maps(points, IBUG68, 256, 4, "distance")
            for image, curve in zip(maps, IBUG68.curves, strict=True):
                column, row = np.rint((points[list(curve.indices)] + 0.5) / 4 - 0.5).astype(int).T
                assert (image[row, column] == 1).all()

    @pytest.mark.parametrize(("procedure", "moved"), [("polyline", 0.0), ("star", 0.375)])
    def test_lines_pass_through_every_landmark(
        self, faces: list[Array], procedure: EdgeProcedure, moved: float
    ) -> None:
        """In pixels, where lines have no gaps; the corner of a pixel of a thin line is not all covered."""
        for points in faces:
            maps = edge_maps(points, IBUG68, 256, 1, procedure)
            for image, curve in zip(maps, IBUG68.curves, strict=True):
                column, row = np.rint(points[list(curve.indices)] - moved).astype(int).T
                assert image[row, column].min() > 0.3

    def test_stars_maps_are_stars(self, faces: list[Array]) -> None:
        got = edge_maps(faces[0], IBUG68, 256, procedure="star")
        assert_allclose(got, slow_star(faces[0], IBUG68, 256), atol=0.5 / 255 + 1e-5)

    def test_lines_have_gaps_in_cells(self, faces: list[Array]) -> None:
        """The known weakness of reading lines off without averaging: some landmarks lie where nothing is drawn."""
        image = edge_maps(faces[0], IBUG68, 256, 4).max(0)
        column, row = np.rint((faces[0] + 0.5) / 4 - 0.5).astype(int).T
        assert image[row, column].min() < 0.1
        assert image[row, column].mean() > 0.3
