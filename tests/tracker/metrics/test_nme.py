"""Error measures against slow loops and known values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tracker.face.geometry import similarity, transform_points
from tracker.face.schemes import COFW29, IBUG68, SCHEMES, WFLW98, Scheme
from tracker.metrics.nme import Normaliser, auc, ced, failure_rate, nme, normaliser

Array = np.ndarray[Any, np.dtype[np.float64]]
NORMALISERS: tuple[Normaliser, ...] = ("ocular", "pupil", "box", "diagonal")

errors = st.lists(st.one_of(st.floats(0, 0.3), st.just(np.inf)), min_size=1, max_size=30)


def slow_nme(points: Array, truth: Array, scheme: Scheme, by: Normaliser) -> float:
    """The definition, point by point."""
    distances = []
    for p, t in zip(points.tolist(), truth.tolist(), strict=True):
        distances.append(((p[0] - t[0]) ** 2 + (p[1] - t[1]) ** 2) ** 0.5)
    if by in ("ocular", "pupil"):
        ends = []
        for group in scheme.ocular if by == "ocular" else scheme.pupil:
            ends.append([sum(truth[i][axis] for i in group) / len(group) for axis in (0, 1)])
        length = ((ends[0][0] - ends[1][0]) ** 2 + (ends[0][1] - ends[1][1]) ** 2) ** 0.5
    else:
        width, height = (max(truth[:, axis]) - min(truth[:, axis]) for axis in (0, 1))
        length = (width * height) ** 0.5 if by == "box" else (width**2 + height**2) ** 0.5
    return float(sum(distances) / len(distances) / length)


class TestNme:
    @pytest.mark.parametrize("by", NORMALISERS)
    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    @given(seed=st.integers(0, 10**6))
    def test_is_the_definition(self, scheme: Scheme, by: Normaliser, seed: int) -> None:
        rng = np.random.default_rng(seed)
        truth = rng.uniform(0, 300, (scheme.count, 2))
        points = truth + rng.normal(0, 5, truth.shape)
        assert nme(points, truth, scheme, by) == pytest.approx(slow_nme(points, truth, scheme, by))

    def test_of_a_known_face(self) -> None:
        truth = np.zeros((68, 2))
        truth[36], truth[45] = (10, 20), (50, 50)  # 50 px apart
        truth[36:42, 1] += 6  # the eyes' means: the right one is at (10/6, 26/6 + 20/6 ...)
        truth[36, 1] = 20
        points = truth + np.array((3, 4))  # every point is 5 px off
        assert nme(points, truth, IBUG68) == pytest.approx(0.1)
        assert normaliser(truth, IBUG68, "box") == pytest.approx(50)
        assert normaliser(truth, IBUG68, "diagonal") == pytest.approx(np.hypot(50, 50))
        right, left = (10 / 6, (20 + 5 * 6) / 6), (50 / 6, 50 / 6)
        assert normaliser(truth, IBUG68, "pupil") == pytest.approx(np.hypot(right[0] - left[0], right[1] - left[1]))

    @pytest.mark.parametrize(("scheme", "pupils"), [(WFLW98, (96, 97)), (COFW29, (16, 17))])
    def test_pupils_are_points_of_their_own(self, scheme: Scheme, pupils: tuple[int, int]) -> None:
        truth = np.zeros((scheme.count, 2))
        truth[list(pupils)] = (0, 7), (24, 0)
        assert normaliser(truth, scheme, "pupil") == pytest.approx(25)

    @pytest.mark.parametrize("by", ["ocular", "pupil"])
    @given(st.floats(0.2, 5), st.floats(-3, 3))
    def test_size_place_and_roll_do_not_matter(self, by: Normaliser, scale: float, angle: float) -> None:
        truth = np.random.default_rng(1).uniform(0, 100, (68, 2))
        points = truth + np.random.default_rng(2).normal(0, 3, (68, 2))
        moved = similarity(scale, angle, (3, 4), (400, -20))
        after = nme(transform_points(moved, points), transform_points(moved, truth), IBUG68, by)
        assert after == pytest.approx(nme(points, truth, IBUG68, by))

    @pytest.mark.parametrize("by", NORMALISERS)
    def test_labels_without_length_are_refused(self, by: Normaliser) -> None:
        with pytest.raises(ValueError, match=f"{by} length is zero"):
            nme(np.ones((68, 2)), np.full((68, 2), 3.0), IBUG68, by)


class TestFailures:
    @given(errors, st.floats(0.01, 0.2))
    def test_counts_what_is_above(self, nmes: list[float], threshold: float) -> None:
        slow = sum(1 for value in nmes if value > threshold) / len(nmes)
        assert failure_rate(nmes, threshold) == pytest.approx(slow)

    def test_the_threshold_itself_is_no_failure_and_a_lost_face_is(self) -> None:
        assert failure_rate([0.05, 0.0500001, 0.1, np.inf], 0.05) == 0.75
        assert failure_rate([0.1, np.inf], 0.1) == 0.5


class TestCed:
    @given(errors, st.sampled_from([0.05, 0.07, 0.08, 0.1]))
    def test_is_the_share_at_or_below(self, nmes: list[float], threshold: float) -> None:
        grid, share = ced(nmes, threshold)
        for i in range(0, len(grid), 97):
            assert share[i] == pytest.approx(sum(1 for value in nmes if value <= grid[i]) / len(nmes))
        assert 1 - share[-1] == pytest.approx(failure_rate(nmes, threshold))
        assert (np.diff(share) >= 0).all()

    @pytest.mark.parametrize(("threshold", "steps"), [(0.05, 501), (0.07, 701), (0.08, 801), (0.1, 1001)])
    def test_ends_at_the_threshold_where_arange_overshoots(self, threshold: float, steps: int) -> None:
        grid, _ = ced([0.01], threshold)
        assert (len(grid), grid[0], grid[-1]) == (steps, 0, threshold)
        assert_allclose(np.diff(grid), 1e-4, atol=1e-12)

    def test_stars_overshoot_is_not_repeated(self) -> None:
        """np.arange(0, .05 + 1e-4, 1e-4) ends at .0501: a face at 5.005 % would count as found."""
        assert np.arange(0, 0.05 + 1e-4, 1e-4)[-1] > 0.05005
        _, share = ced([0.05005], 0.05)
        assert share[-1] == 0
        assert failure_rate([0.05005], 0.05) == 1
        assert auc([0.05005], 0.05) == 0


class TestAuc:
    @given(st.floats(0, 0.0999), st.sampled_from([0.05, 0.08, 0.1]), st.integers(1, 9))
    def test_of_a_constant_error(self, error: float, threshold: float, faces: int) -> None:
        expected = max(0.0, 1 - error / threshold)
        assert auc([error] * faces, threshold) == pytest.approx(expected, abs=0.51e-4 / threshold)

    def test_of_perfect_and_lost_faces(self) -> None:
        assert auc([0.0, 0.0], 0.1) == 1
        assert auc([np.inf, np.inf], 0.1) == 0
        assert auc([0.0, np.inf], 0.1) == 0.5

    @given(errors)
    def test_is_the_mean_over_faces(self, nmes: list[float]) -> None:
        assert auc(nmes, 0.08) == pytest.approx(np.mean([auc([value], 0.08) for value in nmes]))

    def test_of_evenly_spread_errors(self) -> None:
        """CED(e) = e / .1 up to .1: half the square."""
        assert auc(np.linspace(0, 0.1, 2001), 0.1) == pytest.approx(0.5, abs=1e-3)
