"""Anybody's own data: .pts beside pictures, and tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tracker.datasets.folder import read_custom, read_pairs
from tracker.datasets.pts_files import write_pts
from tracker.datasets.sample import DatasetError
from tracker.face.schemes import COFW29, IBUG68, SCHEMES

Array = np.ndarray[Any, np.dtype[np.float64]]


def header(count: int) -> list[str]:
    return ["picture", *(f"{axis}{i}" for i in range(count) for axis in "xy")]


def write_table(path: Path, rows: list[list[Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def points() -> Array:
    return np.random.default_rng(1).uniform(-5, 99, (3, 29, 2)).round(3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for name in ("one.jpg", "two, with a comma é.png"):
        (tmp_path / "pictures" / name).touch()
    return tmp_path


def rows(points: Array) -> list[list[Any]]:
    names = ("one.jpg", "two, with a comma é.png", "one.jpg")
    return [header(29), *([f"pictures/{name}", *face.ravel()] for name, face in zip(names, points))]


class TestTable:
    def test_a_picture_is_one_however_it_is_written(self, folder: Path, points: Array) -> None:
        table = rows(points)
        for row, name in zip(table[1:], ("pictures/one.jpg", "./pictures//one.jpg", folder / "pictures/one.jpg")):
            row[0] = str(name)
        samples = read_custom(write_table(folder / "faces.csv", table, "utf-8"), "cofw29")
        assert [sample.face for sample in samples] == [0, 1, 2]
        assert len({sample.name for sample in samples}) == 3

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_is_read_in_our_pixels(self, folder: Path, points: Array, encoding: str) -> None:
        table = [*rows(points), []]  # spreadsheets end with a blank line
        samples = read_custom(write_table(folder / "faces.CSV", table, encoding), "cofw29")
        assert [(s.picture, s.face) for s in samples] == [
            (folder / "pictures/one.jpg", 0),
            (folder / "pictures/two, with a comma é.png", 0),
            (folder / "pictures/one.jpg", 1),
        ]
        assert all(sample.scheme is COFW29 for sample in samples)
        assert_allclose([sample.points_px for sample in samples], points)

    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
    def test_of_any_scheme(self, folder: Path, scheme: Any) -> None:
        face = np.arange(2.0 * scheme.count)
        path = write_table(folder / "a.csv", [header(scheme.count), ["pictures/one.jpg", *face]])
        (sample,) = read_custom(path, scheme.name)
        assert_allclose(sample.points_px.ravel(), face)

    @pytest.mark.parametrize(
        "first",
        [[], ["picture"], header(28), [*header(29), "x29"], ["image", *header(29)[1:]], header(29)[::-1]],
        ids=["empty", "short", "28 points", "long", "other name", "other order"],
    )
    def test_another_header_is_refused(self, folder: Path, points: Array, first: list[str]) -> None:
        path = write_table(folder / "a.csv", [first, *rows(points)[1:]])
        with pytest.raises(DatasetError, match=r"expected the header picture,x0,y0,x1,y1,\.\.\. of the 29 points"):
            read_custom(path, "cofw29", "skip")

    def test_without_a_header_the_first_face_is_not_lost(self, folder: Path, points: Array) -> None:
        path = write_table(folder / "a.csv", rows(points)[1:])
        with pytest.raises(DatasetError, match="expected the header"):
            read_custom(path, "cofw29", "skip")

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (lambda row: row[:-2], "expected 58 numbers, got 56"),
            (lambda row: [*row, 1], "expected 58 numbers, got 59"),
            (lambda row: [*row[:-1], "much"], "expected numbers, got 'much'"),
            (lambda row: [*row[:-1], ""], "expected numbers"),
            (lambda row: [*row[:-1], "nan"], "not finite"),
            (lambda row: ["pictures/none.jpg", *row[1:]], "expected its picture .*none.jpg, there is no such file"),
            (lambda row: ["pictures", *row[1:]], "expected its picture"),
        ],
    )
    def test_a_bad_row_is_named_by_its_line(self, folder: Path, points: Array, row: Any, reason: str) -> None:
        table = rows(points)
        table[2] = row(table[2])
        path = write_table(folder / "a.csv", table)
        with pytest.raises(DatasetError, match=reason) as error:
            read_custom(path, "cofw29")
        assert str(error.value).startswith(f"{path}:3: ")
        assert len(read_custom(path, "cofw29", "skip")) == 2

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "expected the header"),
            (b"\xfe\x00\x01\x80\n", "expected the header"),
            (b'"', "expected the header"),
            (b"picture;x0;y0\r\n", "got 1 columns, 'picture;x0;y0'"),
            ("picture,x0,y0".encode("utf-16"), "it is in UTF-16; save it as UTF-8"),
        ],
    )
    def test_what_is_no_table_is_refused(self, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(DatasetError, match=reason):
            read_custom(tmp_path / "a.csv", "ibug68")

    def test_a_missing_one_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            DatasetError, match=r"b\.csv: expected a table of landmarks, it cannot be read: No such file"
        ):
            read_custom(tmp_path / "b.csv", "ibug68")


class TestPairs:
    @pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".bmp", ".webp", ".tiff"])
    def test_any_picture_beside_a_label(self, tmp_path: Path, suffix: str) -> None:
        points = np.random.default_rng(0).uniform(0, 9, (68, 2)).round(4)
        (tmp_path / f"a.b c{suffix}").touch()
        (tmp_path / "notes.txt").touch()
        (tmp_path / "further").mkdir()
        write_pts(tmp_path / "a.b c.pts", points)
        (sample,) = read_pairs(tmp_path, IBUG68, subsets=frozenset({"mine"}))
        assert (sample.picture.suffix, sample.subsets) == (suffix, {"mine"})
        assert_allclose(sample.points_px, points, atol=1e-9)

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="nowhere: expected a folder of pictures"):
            read_custom(tmp_path / "nowhere", "ibug68")


class TestSpread:
    """Of points, beside their labels."""

    def folder(self, root: Path, content: str) -> Path:
        points = np.zeros((68, 2))
        points[:, 0] = np.linspace(10, 210, 68)  # 200 pixels wide
        (root / "a.png").touch()
        write_pts(root / "a.pts", points)
        (root / "a.spread.csv").write_text(content)
        return root

    def test_becomes_weights(self, tmp_path: Path) -> None:
        """A hundredth of the extent, here 2 pixels, halves a point's weight."""
        spread = [0.0, 2.0, 4.0, *[1.0] * 65]
        content = "\n".join(["spread_px", *map(str, spread), ""])
        (sample,) = read_custom(self.folder(tmp_path, content), "ibug68")
        assert sample.weights is not None
        assert_allclose(sample.weights[:4], [1, 0.5, 0.2, 0.8], rtol=1e-3)
        assert sample.weights.shape == (68,)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("", "expected the header spread_px, got ''"),
            ("1\n" * 68, "expected the header spread_px, got '1'"),
            ("spread_px\n" + "1\n" * 67, "expected 68 numbers, got 67"),
            ("spread_px\n" + "1\n" * 67 + "-1", "expected numbers of at least 0"),
            ("spread_px\n" + "1\n" * 67 + "nan", "expected numbers of at least 0"),
            ("spread_px\n" + "1\n" * 67 + "much", "expected numbers, got 'much'"),
        ],
    )
    def test_that_is_none_is_refused_by_name(self, tmp_path: Path, content: str, reason: str) -> None:
        with pytest.raises(DatasetError, match=reason) as error:
            read_custom(self.folder(tmp_path, content), "ibug68")
        assert "a.spread.csv: " in str(error.value)

    def test_there_is_none_in_other_sets(self, tmp_path: Path) -> None:
        self.folder(tmp_path, "").joinpath("a.spread.csv").unlink()
        assert read_custom(tmp_path, "ibug68")[0].weights is None
