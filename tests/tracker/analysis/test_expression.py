"""Eyes and mouth: known shapes give known openings, errors are those of many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import TrackerError, convert, eye_opening, mouth_opening
from tracker.analysis.expression import lower_lid_depth
from tracker.face.geometry import Array, flip_points, similarity, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import COFW29, IBUG49, IBUG51, IBUG68, WFLW98


def face_with(eyes: float = 0.3, mouth: float = 0.2, left: float | None = None) -> Array:
    """(68, 2) eyes 30 px wide and a mouth 40 px wide, open by those shares; the other points at 0."""
    points = np.zeros((68, 2))
    for first, x, ratio in ((36, 0, eyes), (42, 60, eyes if left is None else left)):
        points[first : first + 6, 0] = x + np.array([0, 10, 20, 30, 20, 10])
        points[first : first + 6, 1] = 30 * ratio / 2 * np.array([0, -1, -1, 0, 1, 1])
    points[60:68, 0] = 25 + np.array([0, 10, 20, 30, 40, 30, 20, 10])
    points[60:68, 1] = 80 + 40 * mouth / 2 * np.array([0, -1, -1, -1, 0, 1, 1, 1])
    return points


def labelled(points_px: Array) -> Landmarks:
    return Landmarks.from_points(points_px, IBUG68)


def test_known_openings() -> None:
    face = labelled(face_with(eyes=0.25, left=0.4, mouth=0.6))
    assert [opening.ratio for opening in eye_opening(face)] == pytest.approx([0.25, 0.4])
    assert mouth_opening(face).ratio == pytest.approx(0.6)
    assert [opening.error for opening in (*eye_opening(face), mouth_opening(face))] == [0, 0, 0]


def test_the_formula_is_the_papers(face68: Array) -> None:
    """Soukupova & Cech, eq. 1, with p1 .. p6 around each eye, on a real face."""
    for first, opening in zip((36, 42), eye_opening(labelled(face68))):
        p1, p2, p3, p4, p5, p6 = face68[first : first + 6]
        paper = (math.dist(p2, p6) + math.dist(p3, p5)) / (2 * math.dist(p1, p4))
        assert opening.ratio == pytest.approx(paper)


def test_closed_and_degenerate() -> None:
    assert [opening.ratio for opening in eye_opening(labelled(face_with(eyes=0)))] == [0, 0]
    assert all(math.isnan(opening.ratio) for opening in eye_opening(labelled(np.zeros((68, 2)))))
    assert math.isnan(lower_lid_depth(labelled(np.zeros((68, 2)))))


@given(scale=st.floats(0.1, 9), turn=st.floats(-3, 3), eyes=st.floats(0, 0.6), left=st.floats(0, 0.6))
def test_size_roll_and_mirror_do_not_matter(scale: float, turn: float, eyes: float, left: float) -> None:
    points = face_with(eyes, 0.3, left)
    moved = labelled(transform_points(similarity(scale, turn, (3, 4), (50, -6)), points))
    assert [o.ratio for o in (*eye_opening(moved), mouth_opening(moved))] == pytest.approx([eyes, left, 0.3], abs=1e-9)
    mirrored = labelled(flip_points(points, 100, IBUG68.flip))
    assert [o.ratio for o in (*eye_opening(mirrored), mouth_opening(mirrored))] == pytest.approx([left, eyes, 0.3])


def test_errors_are_those_of_many_draws() -> None:
    rng, points = np.random.default_rng(0), face_with()
    xx, yy = rng.uniform(0.05, 0.3, (2, 68))
    covariances = np.stack([xx, rng.uniform(-0.9, 0.9, 68) * np.sqrt(xx * yy), yy], 1)
    factors = np.linalg.cholesky(covariances[:, [0, 1, 1, 2]].reshape(68, 2, 2))
    draws = points + (factors @ rng.normal(0, 1, (1500, 68, 2, 1)))[..., 0]
    drawn = [[o.ratio for o in (*eye_opening(labelled(d)), mouth_opening(labelled(d)))] for d in draws]
    face = Landmarks(points, np.ones(68), covariances, IBUG68)
    stated = [o.error for o in (*eye_opening(face), mouth_opening(face))]
    assert stated == pytest.approx(np.std(drawn, axis=0), rel=0.08)


def test_schemes() -> None:
    face = labelled(face_with())
    assert eye_opening(convert(face, IBUG49)) == eye_opening(convert(face, IBUG51)) == eye_opening(face)
    assert mouth_opening(convert(face, IBUG51)) == mouth_opening(face)
    with pytest.raises(TrackerError, match=r"expected landmarks with 8 points around the inner_lips.*got ibug49"):
        mouth_opening(convert(face, IBUG49))
    for scheme in (COFW29, WFLW98):
        with pytest.raises(TrackerError, match=f"6 points around the right_eye.*got {scheme.name}"):
            eye_opening(Landmarks.from_points(np.zeros((scheme.count, 2)), scheme))


@given(turn=st.floats(-3, 3), size=st.floats(0.1, 10), share=st.floats(-0.2, 0.5))
def test_the_lower_lids_depth_is_a_share_of_the_eyes_width(turn: float, size: float, share: float) -> None:
    points = face_with()
    for first in (36, 42):
        points[first + 4 : first + 6, 1] = 30 * share
    matrix = size * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    assert lower_lid_depth(labelled(points @ matrix.T)) == pytest.approx(share, abs=1e-9)
