"""Views that are moved, turned and scaled with what they show."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tracker.face.crop import Roi
from tracker.face.geometry import transform_points

Array = NDArray[np.float64]

motions = st.tuples(st.floats(0.2, 5), st.floats(-math.pi, math.pi), st.floats(-300, 300), st.floats(-300, 300))


def moved(roi: Roi, scale: float, rotation_rad: float, motion: Array) -> Roi:
    x, y = transform_points(motion, roi.center_px)
    return Roi((x, y), roi.side_px * scale, roi.rotation_rad + rotation_rad)


def assert_same_view(got: Roi, expected: Roi) -> None:
    assert_allclose(got.center_px, expected.center_px, atol=1e-6)
    assert_allclose(got.side_px, expected.side_px)
    turn = got.rotation_rad - expected.rotation_rad
    assert_allclose([math.cos(turn), math.sin(turn)], [1, 0], atol=1e-9)
