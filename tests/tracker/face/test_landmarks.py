"""Landmarks hold what fits their scheme, and cannot be changed."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from tracker.face.landmarks import Landmarks
from tracker.face.schemes import COFW29, IBUG68

Array = np.ndarray[Any, np.dtype[np.float64]]
POINTS, SCORES, COVARIANCES = np.zeros((29, 2)), np.ones(29), np.zeros((29, 3))


def test_from_points_are_known_exactly() -> None:
    points = np.arange(136.0).reshape(68, 2)
    landmarks = Landmarks.from_points(points, IBUG68)
    assert np.array_equal(landmarks.points_px, points)
    assert (landmarks.scores == 1).all()
    assert landmarks.scores.shape == (68,)
    assert not landmarks.covariances_px2.any()
    assert landmarks.covariances_px2.shape == (68, 3)


def test_uncertainty_is_that_of_draws_along_any_direction() -> None:
    covariance = np.array([[9.0, 2.0], [2.0, 1.0]])
    landmarks = Landmarks(POINTS, SCORES, np.tile(covariance[[0, 0, 1], [0, 1, 1]], (29, 1)), COFW29)
    draws = np.random.default_rng(0).multivariate_normal([0, 0], covariance, 20000)
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    along = draws @ np.stack([np.cos(angles), np.sin(angles)])
    assert landmarks.uncertainty_px == pytest.approx(np.full(29, np.sqrt(np.square(along).mean())), rel=0.02)
    assert not Landmarks.from_points(POINTS, COFW29).uncertainty_px.any()


def test_are_a_copy_in_double_precision() -> None:
    points = np.full((29, 2), 7, np.float32)
    landmarks = Landmarks(
        points,  # type: ignore[arg-type]
        SCORES,
        COVARIANCES,
        COFW29,
    )
    points[0] = 1000
    assert landmarks.points_px.dtype == np.float64
    assert (landmarks.points_px == 7).all()


def test_cannot_be_changed() -> None:
    landmarks = Landmarks(POINTS, SCORES, COVARIANCES, COFW29)
    for array in (landmarks.points_px, landmarks.scores, landmarks.covariances_px2):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(FrozenInstanceError):
        landmarks.scores = SCORES  # type: ignore[misc]
    POINTS[0] = 0  # the caller's own stay writable


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("points_px", (np.zeros((68, 2)), SCORES, COVARIANCES)),
        ("points_px", (np.zeros((29, 3)), SCORES, COVARIANCES)),
        ("points_px", (np.zeros((1, 29, 2)), SCORES, COVARIANCES)),
        ("scores", (POINTS, np.ones((29, 1)), COVARIANCES)),
        ("covariances_px2", (POINTS, SCORES, np.zeros((29, 2, 2)))),
    ],
)
def test_shapes_are_held_to_the_scheme(name: str, arrays: tuple[Array, Array, Array]) -> None:
    with pytest.raises(ValueError, match=f"^{name} of cofw29 must have shape"):
        Landmarks(arrays[0], arrays[1], arrays[2], COFW29)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", range(3))
def test_numbers_must_be_finite(which: int, value: float) -> None:
    arrays = [POINTS.copy(), SCORES.copy(), COVARIANCES.copy()]
    arrays[which].flat[-1] = value
    name = ("points_px", "scores", "covariances_px2")[which]
    with pytest.raises(ValueError, match=f"{name} holds numbers that are not finite"):
        Landmarks(arrays[0], arrays[1], arrays[2], COFW29)


def test_the_same_at_other_points(face68: Array) -> None:
    here = Landmarks(face68, np.linspace(0, 1, 68), np.full((68, 3), (4.0, 1.0, 2.0)), IBUG68)
    moved = here.at(face68 + 5)
    checked = Landmarks(face68 + 5, here.scores, here.covariances_px2, IBUG68)
    for name in ("points_px", "scores", "covariances_px2", "uncertainty_px", "extent_px"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(checked, name))
    assert moved.scheme is IBUG68
    with pytest.raises(ValueError, match="read-only"):
        moved.points_px[0] = 0
    np.testing.assert_array_equal(here.points_px, face68)


def test_visibility_follows_the_landmarks_wherever_they_go() -> None:
    visibility = np.linspace(0, 1, 29)
    landmarks = Landmarks(POINTS, SCORES, COVARIANCES, COFW29, visibility)
    for other in (landmarks.at(POINTS + 1), landmarks.scaled(2, 3), pickle.loads(pickle.dumps(landmarks))):
        assert other.visibility is not None
        assert (other.visibility == visibility).all()
        assert not other.visibility.flags.writeable
    assert Landmarks.from_points(POINTS, COFW29).visibility is None


@pytest.mark.parametrize("bad", [np.full(29, 1.5), np.full(29, -0.5), np.full(29, np.nan), np.ones(28)])
def test_a_visibility_that_is_none_is_refused(bad: Array) -> None:
    with pytest.raises(ValueError, match="visibility"):
        Landmarks(POINTS, SCORES, COVARIANCES, COFW29, bad)
