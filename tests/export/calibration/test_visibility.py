"""The visibility of landmarks is that which was drawn, and it is told where a face is hidden."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.calibration.visibility import fit_visibility, sees
from tracker.face.visibility import Visibility, log_variance


def test_fit_finds_the_numbers_that_data_were_drawn_by() -> None:
    rng = np.random.default_rng(0)
    true = Visibility(2.0, (-16.0, -14.0, -15.0))
    widths = rng.normal(-7.5, 1.5, (20000, 3))
    probability = 1 / (1 + np.exp(true.slope * widths - np.array(true.offsets)))
    found = fit_visibility(widths, rng.random((20000, 3)) < probability)
    assert found.slope == pytest.approx(2.0, abs=0.1)
    assert found.offsets == pytest.approx(true.offsets, abs=0.6)


def test_fit_is_finite_where_a_landmark_was_never_hidden() -> None:
    rng = np.random.default_rng(1)
    widths = rng.normal(-7, 1, (200, 2))
    visible = np.stack([np.ones(200, bool), widths[:, 1] < -7], 1)
    found = fit_visibility(widths, visible)
    assert np.isfinite([found.slope, *found.offsets]).all()
    assert found.offsets[0] > found.offsets[1]


def test_a_landmark_is_seen_inside_the_crop_where_less_than_half_is_hidden() -> None:
    hidden = np.zeros((10, 10), np.float32)
    hidden[:, 6:] = 1
    hidden[:, 5] = 0.4
    points = np.array([[2.0, 3.0], [5.4, 3.0], [5.6, 3.0], [9.4, 9.4], [-0.6, 3.0], [3.0, 9.6]])
    assert sees(points, hidden).tolist() == [True, True, False, False, False, False]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 10), st.floats(-30, 0), st.floats(0, 1e4), st.floats(0, 1e4), st.integers(8, 1024))
def test_a_wider_landmark_is_less_likely_visible(slope: float, offset: float, a: float, b: float, size: int) -> None:
    narrow, wide = sorted((a, b))
    covariances = np.array([[narrow, 0.0, narrow], [wide, 0.0, wide]])
    first, second = Visibility(slope, (offset, offset)).of(covariances, size)
    assert 0 <= second <= first <= 1


def test_the_same_face_is_as_visible_in_a_larger_crop() -> None:
    covariances = np.array([[4.0, 1.0, 2.0]])
    assert log_variance(covariances * 4, 256) == pytest.approx(log_variance(covariances, 128))
    assert np.isfinite(log_variance(np.zeros((1, 3)), 128)).all()
