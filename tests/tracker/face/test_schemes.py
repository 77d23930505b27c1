"""The schemes are consistent with themselves and with the published tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.face.schemes import (
    AFLW19,
    COFW29,
    FOLDER,
    IBUG68,
    SCHEMES,
    WFLW98,
    Curve,
    Scheme,
    read_scheme,
    scheme_named,
)

every = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def segments(curve: Curve) -> list[tuple[int, int]]:
    """The lines between neighbours on the curve."""
    ends = curve.indices[1:] + (curve.indices[:1] if curve.closed else ())
    return list(zip(curve.indices, ends, strict=False))


@every
class TestConsistency:
    def test_flip_is_an_involution(self, scheme: Scheme) -> None:
        assert scheme.flip.shape == (scheme.count,)
        assert np.array_equal(np.sort(scheme.flip), np.arange(scheme.count))
        assert np.array_equal(scheme.flip[scheme.flip], np.arange(scheme.count))
        with pytest.raises(ValueError, match="read-only"):
            scheme.flip[0] = 0

    def test_mirrored_curves_are_curves(self, scheme: Scheme) -> None:
        curves = [set(curve.indices) for curve in scheme.curves]
        for curve in curves:
            assert {int(scheme.flip[i]) for i in curve} in curves

    def test_mirrored_lines_are_lines(self, scheme: Scheme) -> None:
        """The same neighbours, too, but for the closing line that STAR's table leaves out."""
        lines = {frozenset(line) for curve in scheme.curves for line in segments(curve)}
        mirrored = {frozenset(int(scheme.flip[i]) for i in line) for line in lines}
        open_left_eye = {frozenset((8, 13)), frozenset((9, 15))} if scheme is COFW29 else set()
        assert lines ^ mirrored == open_left_eye

    def test_curves_hold_each_point_once(self, scheme: Scheme) -> None:
        for curve in scheme.curves:
            assert len(set(curve.indices)) == len(curve.indices) >= 2
            assert set(curve.indices) <= set(range(scheme.count))
        assert len({curve.name for curve in scheme.curves}) == len(scheme.curves)

    def test_groups_hold_every_point_once(self, scheme: Scheme) -> None:
        assert sorted(i for group in scheme.groups.values() for i in group) == list(range(scheme.count))

    def test_mirrored_groups_are_groups(self, scheme: Scheme) -> None:
        other = {"right_eye": "left_eye", "left_eye": "right_eye"}
        for name, group in scheme.groups.items():
            assert {int(scheme.flip[i]) for i in group} == set(scheme.groups[other.get(name, name)])

    def test_the_eyes_mirror_into_each_other(self, scheme: Scheme) -> None:
        for right, left in (scheme.ocular, scheme.pupil):
            assert {int(scheme.flip[i]) for i in right} == set(left)
            assert set(right) <= set(scheme.groups["right_eye"])
            assert set(left) <= set(scheme.groups["left_eye"])

    def test_is_found_by_name(self, scheme: Scheme) -> None:
        assert scheme_named(scheme.name) is scheme


class TestTables:
    """Spot checks against the published tables, written out by hand."""

    def test_counts(self) -> None:
        assert [(s.name, s.count, len(s.curves)) for s in SCHEMES.values()] == [
            ("ibug68", 68, 9),
            ("wflw98", 98, 9),
            ("cofw29", 29, 7),
            ("aflw19", 19, 6),
            ("ibug51", 51, 8),
            ("ibug49", 49, 8),
            ("lapa106", 106, 9),
        ]

    @pytest.mark.parametrize(
        ("scheme", "pairs"),
        [  # STAR, HIH, HRNet and SLPT share these
            (
                IBUG68,
                [
                    (0, 16),
                    (7, 9),
                    (17, 26),
                    (21, 22),
                    (31, 35),
                    (36, 45),
                    (41, 46),
                    (48, 54),
                    (60, 64),
                    (67, 65),
                    (58, 56),
                ],
            ),
            (
                WFLW98,
                [
                    (0, 32),
                    (15, 17),
                    (33, 46),
                    (37, 42),
                    (38, 50),
                    (41, 47),
                    (60, 72),
                    (65, 75),
                    (55, 59),
                    (76, 82),
                    (87, 83),
                    (88, 92),
                    (95, 93),
                    (96, 97),
                ],
            ),
            (
                COFW29,
                [
                    (0, 1),
                    (4, 6),
                    (2, 3),
                    (5, 7),
                    (8, 9),
                    (10, 11),
                    (12, 14),
                    (16, 17),
                    (13, 15),
                    (18, 19),
                    (22, 23),
                ],
            ),
            (AFLW19, [(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)]),
        ],
        ids=lambda value: getattr(value, "name", ""),
    )
    def test_flip_pairs(self, scheme: Scheme, pairs: list[tuple[int, int]]) -> None:
        assert [(a, int(scheme.flip[a])) for a, _ in pairs] == pairs

    @pytest.mark.parametrize(
        ("scheme", "fixed"),
        [  # on the midline of the face
            (IBUG68, [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]),
            (WFLW98, [16, 51, 52, 53, 54, 57, 79, 85, 90, 94]),
            (COFW29, [20, 21, 24, 25, 26, 27, 28]),
            (AFLW19, [13, 16, 18]),
        ],
        ids=lambda value: getattr(value, "name", ""),
    )
    def test_points_that_mirror_to_themselves(self, scheme: Scheme, fixed: list[int]) -> None:
        assert np.flatnonzero(scheme.flip == np.arange(scheme.count)).tolist() == fixed

    @pytest.mark.parametrize(
        ("scheme", "table"),
        [  # star/conf/alignment.py, C closed and O open
            (IBUG68, "O0-16 O17-21 O22-26 O27-30 O31-35 C36-41 C42-47 C48-59 C60-67"),
            (WFLW98, "O0-32 C33-41 C42-50 O51-54 O55-59 C60-67 C68-75 C76-87 C88-95"),
        ],
        ids=["ibug68", "wflw98"],
    )
    def test_curves_in_stars_order(self, scheme: Scheme, table: str) -> None:
        mine = [f"{'C' if c.closed else 'O'}{c.indices[0]}-{c.indices[-1]}" for c in scheme.curves]
        assert " ".join(mine) == table
        assert all(np.array_equal(np.diff(c.indices), np.ones(len(c.indices) - 1)) for c in scheme.curves)

    def test_curves_of_cofw(self) -> None:
        """star/conf/alignment.py; its left eye is open."""
        assert [(c.closed, c.indices) for c in COFW29.curves] == [
            (True, (0, 4, 2, 5)),
            (True, (1, 6, 3, 7)),
            (True, (8, 12, 10, 13)),
            (False, (9, 14, 11, 15)),
            (True, (18, 20, 19, 21)),
            (True, (22, 26, 23, 27)),
            (True, (22, 24, 23, 25)),
        ]

    def test_points_on_no_curve(self) -> None:
        """STAR's attention adds 1 to the mask of these."""
        lonely = {s.name: set(range(s.count)) - {i for c in s.curves for i in c.indices} for s in SCHEMES.values()}
        expected = {"wflw98": {96, 97}, "cofw29": {16, 17, 28}, "aflw19": {18}, "lapa106": {74, 83, 104, 105}}
        assert lonely == {name: expected.get(name, set()) for name in SCHEMES}

    def test_normalisers(self) -> None:
        """star/conf/alignment.py: ocular 36-45, 60-72, 8-9; pupil: the eyes' means, 96-97, 16-17."""
        assert [s.ocular for s in (IBUG68, WFLW98, COFW29, AFLW19)] == [
            *(((36,), (45,)), ((60,), (72,)), ((8,), (9,)), ((6,), (11,))),
        ]
        assert IBUG68.pupil == (tuple(range(36, 42)), tuple(range(42, 48)))
        assert [WFLW98.pupil, COFW29.pupil] == [((96,), (97,)), ((16,), (17,))]


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="'ibug69'; known: ibug68, wflw98, cofw29, aflw19"):
        scheme_named("ibug69")


def changed(folder: Path, change: Callable[[dict[str, Any]], object], name: str = "ibug68") -> Path:
    """A copy of a scheme's data file with a change."""
    table = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    change(table)
    (folder / f"{name}.json").write_text(json.dumps(table), encoding="utf-8")
    return folder / f"{name}.json"


class TestDataFiles:
    def test_every_file_is_a_scheme(self) -> None:
        """None lies there that nobody can name."""
        assert {path.stem for path in FOLDER.iterdir()} == set(SCHEMES)

    def test_a_file_is_read_as_the_scheme_it_holds(self, tmp_path: Path) -> None:
        scheme = read_scheme(changed(tmp_path, lambda _: None, "cofw29"))
        assert scheme is not COFW29
        for name in ("name", "count", "ocular", "pupil", "curves", "groups"):
            assert getattr(scheme, name) == getattr(COFW29, name)
        assert np.array_equal(scheme.flip, COFW29.flip)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda t: t.pop("mirror"), "expected a JSON object with conversions, curves"),
            (lambda t: t.update(colour=1), "expected a JSON object with conversions, curves"),
            (lambda t: t.update(points=True), "points must be a whole number of at least 2, got True"),
            (lambda t: t.update(points=67), "which is not in 0..66"),
            (lambda t: t.update(points=69), "the points [68] are in no group"),
            (lambda t: t.update(source=" "), "source must be a text that says where the scheme comes from"),
            (lambda t: t["mirror"].append([0, 1]), "mirror has 0 more than once"),
            (lambda t: t["mirror"].append([8, 8]), "mirror has 8 more than once"),
            (lambda t: t["mirror"].append([8, 68]), "mirror has the point 68, which is not in 0..67"),
            (lambda t: t["mirror"].append([8]), "not enough values"),
            (lambda t: t["mirror"].append([-1, 8]), "mirror has the point -1"),
            (lambda t: t["mirror"].pop(0), "is not a curve when mirrored"),
            (lambda t: t.update(ocular=[[36], [44]]), "ocular must be points of the right eye and, mirrored"),
            (lambda t: t.update(ocular=[[], []]), "ocular must be points of the right eye and, mirrored"),
            (lambda t: t.update(pupil=[[27], [27]]), "pupil must be points of the right eye and, mirrored"),
            (lambda t: t.update(pupil=[[36], [45], [1]]), "too many values"),
            (lambda t: t["curves"][0]["points"].append(68), "jaw has the point 68, which is not in 0..67"),
            (lambda t: t["curves"][0]["points"].append(0), "jaw has 0 more than once"),
            (lambda t: t["curves"][0]["points"].pop(), "the curve jaw is not a curve when mirrored"),
            (lambda t: t["curves"][0].update(points=[8]), "the curve jaw needs at least two points"),
            (lambda t: t["curves"][0].update(closed=1), "closed must be true or false"),
            (lambda t: t["curves"][0].update(name="nostrils"), "curves has nostrils more than once"),
            (lambda t: t["curves"][0].update(close=True), "a curve needs name and points, and may have closed"),
            (lambda t: t["curves"][5].update(corners=[36, 42]), "right_eye has corners that are not its points"),
            (lambda t: t["curves"][5].update(corners=[36, 36]), "right_eye has 36 more than once"),
            (lambda t: t["curves"][5].update(corners=[36]), "the corner 42 is not a corner when mirrored"),
            (lambda t: t["curves"][5].update(corners=36), "'right_eye' must be a name with a list of points"),
            (lambda t: t["curves"][0].update(points=[0.0, 16.0]), "jaw has the point 0.0"),
            (lambda t: t["curves"][0].update(points="0-16"), "'jaw' must be a name with a list of points"),
            (lambda t: t["groups"]["jaw"].pop(), "the points [16] are in no group"),
            (lambda t: t["groups"]["jaw"].append(17), "groups has 17 more than once"),
            (
                lambda t: t["groups"]["right_eye"].append(t["groups"]["left_eye"].pop()),
                "the group right_eye is not a group when mirrored",
            ),
            (lambda t: t.update(groups=[]), "a part is missing or of another kind"),
            (lambda t: t.update(curves=3), "a part is missing or of another kind"),
        ],
    )
    def test_a_contradiction_is_refused(
        self, tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
    ) -> None:
        path = changed(tmp_path, change)
        with pytest.raises(ValueError, match=re.escape(reason)) as error:
            read_scheme(path)
        assert str(error.value).startswith(f"{path}: expected a ")
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
    def test_another_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "mine.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.json: expected a "):
            read_scheme(tmp_path / "mine.json")

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"none\.json: expected a landmark scheme in JSON, reading it gave"):
            read_scheme(tmp_path / "none.json")


def test_right_is_the_subjects_right(face68: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """On a real face that looks at the camera the subject's right lies left in the picture."""
    for right, left in (IBUG68.ocular, IBUG68.pupil, (IBUG68.groups["right_eye"], IBUG68.groups["left_eye"])):
        assert face68[list(right), 0].mean() < face68[list(left), 0].mean()
    mirrored = face68[IBUG68.flip] * (-1, 1)
    mirrored -= mirrored.mean(0) - face68.mean(0)
    assert np.linalg.norm(mirrored - face68, axis=1).max() < 10  # of 100 px
