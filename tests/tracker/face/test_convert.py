"""Schemes out of schemes: each point from the right ones, and nothing that depends on where or how a face lies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.face.convert import common_scheme, conversion_weights, convert, reachable, read_conversions
from tracker.face.geometry import Array, flip_points, similarity, transform_covariances, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import COFW29, FOLDER, IBUG49, IBUG51, IBUG68, SCHEMES, WFLW98, Scheme
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


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        (IBUG68, WFLW98, "ibug68 cannot become wflw98; ibug68 can become ibug51, ibug49"),
        (COFW29, IBUG68, "cofw29 cannot become ibug68; cofw29 can become no other scheme"),
        (WFLW98, COFW29, "wflw98 cannot become cofw29; wflw98 can become ibug68, ibug51, ibug49"),
        (IBUG49, IBUG51, "ibug49 cannot become ibug51; ibug49 can become no other scheme"),
    ],
)
def test_what_is_not_known_is_refused(source: Scheme, target: Scheme, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^convert: {sentence}$"):
        convert(random_face(source), target)


def test_a_scheme_becomes_itself_unchanged() -> None:
    face = random_face(COFW29)
    assert convert(face, COFW29) is face


def test_steps_in_a_chain_are_the_steps_one_after_another() -> None:
    face = random_face(WFLW98)
    chained = convert(convert(convert(face, IBUG68), IBUG51), IBUG49)
    for name in ("points_px", "scores"):
        assert getattr(convert(face, IBUG49), name) == pytest.approx(getattr(chained, name), abs=1e-12)


def test_the_lids_of_68_lie_a_third_of_the_way() -> None:
    """The weights in the data file are the doubles nearest to 2/3 and 1/3, as 1 - 1/3 and 1/3 give them."""
    lids = {37: (61, 62), 38: (63, 62), 40: (65, 66), 41: (67, 66), 43: (69, 70), 44: (71, 70), 46: (73, 74)}
    weights = conversion_weights(WFLW98, IBUG68)
    for point, (near, middle) in {**lids, 47: (75, 74)}.items():
        assert (weights[point, near], weights[point, middle]) == (1 - 1 / 3, 1 / 3)
    assert np.array_equal(np.count_nonzero(weights, axis=1), [2 if k in (*lids, 47) else 1 for k in range(68)])


class TestCommonScheme:
    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            (IBUG68, IBUG68, IBUG68),
            (WFLW98, IBUG68, IBUG68),
            (IBUG51, WFLW98, IBUG51),
            (COFW29, COFW29, COFW29),
            (IBUG49, IBUG51, IBUG49),
        ],
    )
    def test_has_the_most_points(self, first: Scheme, second: Scheme, expected: Scheme) -> None:
        assert common_scheme(first, second) is common_scheme(second, first) is expected

    def test_without_one(self) -> None:
        sentence = (
            "landmarks of cofw29 and wflw98 cannot be compared; cofw29 can become no other scheme, "
            "and wflw98 can become ibug68, ibug51, ibug49"
        )
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            common_scheme(COFW29, WFLW98)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_conversion_keeps_parts_and_curves(scheme: Scheme) -> None:
    """A point of a part is made from points of the part of that name, whatever the scheme."""
    for target in reachable(scheme)[1:]:
        weights = conversion_weights(scheme, target)
        assert weights.sum(1) == pytest.approx(np.ones(target.count), abs=1e-12)
        for part, indices in target.groups.items():
            used = np.flatnonzero(weights[list(indices)].any(0))
            assert set(used.tolist()) <= set(scheme.groups[part]), (target, part)
        ocular = weights[[target.ocular[0][0], target.ocular[1][0]]]
        assert np.flatnonzero(ocular.any(0)).tolist() == sorted(scheme.ocular[0] + scheme.ocular[1])


class TestDamagedConversions:
    def changed(self, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
        table = json.loads((FOLDER / "ibug68.json").read_text(encoding="utf-8"))
        change(table["conversions"])
        (folder / "ibug68.json").write_text(json.dumps(table), encoding="utf-8")
        return folder / "ibug68.json"

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda c: c.update(ibug52=[]), "leads to 'ibug52'; known: ibug68, wflw98"),
            (lambda c: c["ibug51"].pop(), "expected 51 points of ibug51, got 50"),
            (lambda c: c["ibug51"].__setitem__(0, 68), "ibug51 0 is made from 68"),
            (lambda c: c["ibug51"].__setitem__(0, -1), "ibug51 0 is made from -1"),
            (lambda c: c["ibug51"].__setitem__(0, [[17, 0.5], [18, 0.4]]), "the weights of ibug51 0 do not add up"),
            (lambda c: c["ibug51"].__setitem__(0, [[17, 0.5], [17, 0.5]]), "ibug51 0 is made from 17"),
            (lambda c: c["ibug51"].__setitem__(0, [[17, 2.0], [18, -1.0]]), "ibug51 0 is made from 17"),
            (lambda c: c["ibug51"].__setitem__(0, 18), "are not made from mirrored points"),
            (lambda c: c["ibug51"].__setitem__(0, "17"), "a conversion is wrong"),
            (lambda c: c.update(ibug51=17), "a conversion is wrong"),
        ],
    )
    def test_are_refused(self, tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str) -> None:
        path = self.changed(tmp_path, change)
        with pytest.raises(ValueError, match=re.escape(reason)) as error:
            read_conversions(path, IBUG68)
        assert str(error.value).startswith(f"{path}: ")

    def test_are_read_where_they_are_whole(self, tmp_path: Path) -> None:
        (read,) = read_conversions(self.changed(tmp_path, lambda _: None), IBUG68).items()
        assert read[0] is IBUG51
        assert np.array_equal(read[1], conversion_weights(IBUG68, IBUG51))


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
