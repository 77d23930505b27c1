"""Schemes out of schemes: each point from the right ones, and nothing that depends on where or how a face lies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.face.convert import convert
from tracker.face.geometry import Array, flip_points, similarity, transform_covariances, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import COFW29, IBUG49, IBUG51, IBUG68, WFLW98, Scheme
from tracker.metrics.nme import normaliser

KNOWN = [(WFLW98, IBUG68), (IBUG68, IBUG51), (WFLW98, IBUG49)]
every = pytest.mark.parametrize(("source", "target"), KNOWN, ids=["98 to 68", "68 to 51", "98 to 49"])
seeds = st.integers(0, 99)


def random_face(scheme: Scheme, seed: int = 0) -> Landmarks:
    rng = np.random.default_rng(seed)
    xx, yy = rng.uniform(1, 9, (2, scheme.count))
    covariances = np.stack([xx, rng.uniform(-0.9, 0.9, scheme.count) * np.sqrt(xx * yy), yy], 1)
    return Landmarks(rng.uniform(0, 200, (scheme.count, 2)), rng.uniform(0, 1, scheme.count), covariances, scheme)


def test_the_inner_schemes_are_the_68_without_some() -> None:
    face = random_face(IBUG68)
    inner, fewer = convert(face, IBUG51), convert(face, IBUG49)
    assert np.array_equal(inner.points_px, face.points_px[17:])
    kept = [i for i in range(17, 68) if i not in (60, 64)]
    for name in ("points_px", "scores", "covariances_px2"):
        assert np.array_equal(getattr(fewer, name), getattr(face, name)[kept])
    assert [IBUG51.ocular, IBUG49.ocular] == [((19,), (28,))] * 2  # as 300VW's papers give them
    assert [IBUG51.count, IBUG49.count] == [51, 49]


@pytest.mark.parametrize("scheme", [IBUG51, IBUG49], ids=["51", "49"])
def test_the_inner_schemes_are_whole(scheme: Scheme) -> None:
    assert np.array_equal(scheme.flip[scheme.flip], np.arange(scheme.count))
    assert sorted(i for part in scheme.groups.values() for i in part) == list(range(scheme.count))
    assert {i for curve in scheme.curves for i in curve.indices} == set(range(scheme.count))
    assert "jaw" not in scheme.groups and "jaw" not in [curve.name for curve in scheme.curves]


def test_68_of_98_are_named_alike() -> None:
    """A corner stays a corner: each part comes from the part of that name, in the same order."""
    face = random_face(WFLW98)
    points = convert(face, IBUG68).points_px
    corners = {
        0: 0,
        8: 16,
        16: 32,
        17: 33,
        26: 46,
        27: 51,
        30: 54,
        33: 57,
        36: 60,
        39: 64,
        42: 68,
        45: 72,
        48: 76,
        54: 82,
    }
    for ibug, wflw in corners.items():
        assert np.array_equal(points[ibug], face.points_px[wflw])
    for part, indices in IBUG68.groups.items():
        alone = face.points_px.copy()
        alone[list(WFLW98.groups[part])] += 1000
        moved = convert(Landmarks.from_points(alone, WFLW98), IBUG68).points_px - points
        assert np.unique(moved.round(6)[list(indices)]).tolist() == [1000.0]
        assert moved.sum() == pytest.approx(2000 * len(indices))


@every
@settings(max_examples=30)
@given(seed=seeds, scale=st.floats(0.1, 9), turn=st.floats(-3, 3))
def test_commutes_with_similarities(source: Scheme, target: Scheme, seed: int, scale: float, turn: float) -> None:
    """Points exactly; covariances because every point's weights stand beside its own."""
    face, matrix = random_face(source, seed), similarity(scale, turn, (50, 60), (-7, 300))
    moved, converted = convert(moved_by(matrix, face), target), moved_by(matrix, convert(face, target))
    assert moved.points_px == pytest.approx(converted.points_px, abs=1e-8)
    assert moved.covariances_px2 == pytest.approx(converted.covariances_px2, abs=1e-8)


def moved_by(matrix: Array, face: Landmarks) -> Landmarks:
    covariances = transform_covariances(matrix, face.covariances_px2)
    return Landmarks(transform_points(matrix, face.points_px), face.scores, covariances, face.scheme)


@every
@settings(max_examples=30)
@given(seed=seeds)
def test_commutes_with_mirrors(source: Scheme, target: Scheme, seed: int) -> None:
    points = random_face(source, seed).points_px
    mirrored = convert(Landmarks.from_points(flip_points(points, 200, source.flip), source), target).points_px
    converted = convert(Landmarks.from_points(points, source), target).points_px
    assert mirrored == pytest.approx(flip_points(converted, 200, target.flip), abs=1e-9)


def test_covariances_are_those_of_many_draws() -> None:
    face, rng = random_face(WFLW98), np.random.default_rng(1)
    matrices = face.covariances_px2[:, [0, 1, 1, 2]].reshape(98, 2, 2)
    draws = face.points_px + (np.linalg.cholesky(matrices) @ rng.normal(0, 1, (4000, 98, 2, 1)))[..., 0]
    converted = np.stack([convert(Landmarks.from_points(draw, WFLW98), IBUG68).points_px for draw in draws])
    x, y = np.moveaxis(converted - converted.mean(0), 2, 0)
    measured = np.stack([(x * x).mean(0), (x * y).mean(0), (y * y).mean(0)], 1)
    assert measured == pytest.approx(convert(face, IBUG68).covariances_px2, abs=0.8)


@pytest.mark.parametrize("height", [0.15, 0.35, 0.5])
def test_lids_in_quarters_become_lids_in_thirds(height: float) -> None:
    """What the conversion of a lid is for, on arcs of an ellipse of that height, in widths of the eye."""
    turns = np.linspace(np.pi, 0, 2001)
    arc = np.stack([(1 + np.cos(turns)) / 2, -height * np.sin(turns)], 1)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(arc, axis=0), axis=1))])

    def places(shares: list[float]) -> Array:
        return np.stack([np.interp(np.array(shares) * lengths[-1], lengths, axis) for axis in arc.T], 1)

    points = np.zeros((98, 2))
    points[60:65] = places([0, 1 / 4, 1 / 2, 3 / 4, 1])
    converted = convert(Landmarks.from_points(points, WFLW98), IBUG68).points_px[36:40]
    away = np.linalg.norm(converted - places([0, 1 / 3, 2 / 3, 1]), axis=1)
    unmoved = np.linalg.norm(points[[61, 63]] - places([1 / 3, 2 / 3]), axis=1)
    assert away.max() < 0.04
    assert away[1:3].max() < unmoved.min() / 3


@pytest.mark.parametrize(("source", "target"), [(IBUG68, WFLW98), (COFW29, IBUG68), (WFLW98, COFW29), (IBUG49, IBUG51)])
def test_what_is_not_known_is_refused(source: Scheme, target: Scheme) -> None:
    with pytest.raises(ValueError, match=f"wflw98, ibug68, ibug51, ibug49, got {source.name} to {target.name}"):
        convert(random_face(source), target)


def test_real_faces_keep_their_eyes(shared: Path) -> None:
    """The four faces of WFLW at hand: lids between the corners at iBUG's places, eyes as far apart as before."""
    faces = json.loads((shared / "data/samples/wflw/test_wflw.json").read_text())["annotations"]
    assert len(faces) == 4
    for face in faces:
        points = np.array(face["keypoints"], np.float64).reshape(98, 3)[:, :2]
        ibug = convert(Landmarks.from_points(points, WFLW98), IBUG68).points_px
        assert normaliser(ibug, IBUG68) == normaliser(points, WFLW98)
        for first, second, outer, inner in ((37, 38, 36, 39), (44, 43, 45, 42), (41, 40, 36, 39), (46, 47, 45, 42)):
            eye = ibug[inner] - ibug[outer]
            places = (ibug[[first, second]] - ibug[outer]) @ eye / (eye @ eye)
            assert places == pytest.approx([0.30, 0.67], abs=0.05)
