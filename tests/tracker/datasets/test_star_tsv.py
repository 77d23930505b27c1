"""STAR's tables: no header, so the first line is a face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tracker.datasets.sample import DatasetError
from tracker.datasets.star_tsv import read_star_tsv
from tracker.face.crop import Roi
from tracker.face.geometry import transform_points
from tracker.face.schemes import COFW29, WFLW98

SCALE, CENTER = 0.735, (61.5, 48.25)


def cell(values: Any) -> str:
    return ",".join(str(value) for value in np.ravel(values).tolist())


def row(points: Any, picture: str, tags: str = "") -> str:
    columns = [picture, cell(np.zeros(10)), cell(points), str(SCALE), *(str(c) for c in CENTER)]
    return "\t".join([*columns, tags] if tags else columns)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.png"):
        (tmp_path / "wflw" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "wflw" / name).touch()
    return tmp_path / "wflw"


@pytest.fixture
def faces() -> Any:
    return np.random.default_rng(0).uniform(0, 99, (3, 98, 2))


def write(folder: Path, rows: list[str]) -> Path:
    (folder / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder / "test.tsv"


def test_no_line_is_lost(tmp_path: Path, pictures: Path, faces: Any) -> None:
    path = write(tmp_path, [row(f, n) for f, n in zip(faces, ("a.jpg", "b.png", "a.jpg"))])
    samples = read_star_tsv(path, pictures, "wflw98")
    assert [(s.picture, s.face) for s in samples] == [
        (pictures / "a.jpg", 0),
        (pictures / "b.png", 0),
        (pictures / "a.jpg", 1),
    ]
    assert_allclose([s.points_px for s in samples], faces)
    assert all(s.scheme is WFLW98 and s.subsets == frozenset() for s in samples)


def test_a_picture_is_one_in_whose_folder_it_ever_lay(tmp_path: Path, pictures: Path, faces: Any) -> None:
    names = ("a.jpg", "/x/rawImages/a.jpg", "C:\\y\\rawImages\\a.jpg")
    samples = read_star_tsv(write(tmp_path, [row(f, n) for f, n in zip(faces, names)]), pictures, "wflw98")
    assert [(s.picture, s.face) for s in samples] == [(pictures / "a.jpg", n) for n in range(3)]


def test_of_another_scheme(tmp_path: Path, pictures: Path, faces: Any) -> None:
    (sample,) = read_star_tsv(write(tmp_path, [row(faces[0, :29], "a.jpg")]), pictures, "cofw29")
    assert sample.scheme is COFW29


def test_box_is_the_crop_of_star(tmp_path: Path, pictures: Path, faces: Any) -> None:
    """STAR maps the centre to (127.5, 127.5) of 256 pixels and scales by 256 / (200 * scale)."""
    (sample,) = read_star_tsv(write(tmp_path, [row(faces[0], "a.jpg")]), pictures, "wflw98")
    assert sample.box_px is not None
    x, y, width, height = sample.box_px.tolist()
    assert width == height
    crop_from_image = Roi((x + width / 2, y + height / 2), width).crop_from_image(256)
    expected = (faces[0] - CENTER) * 256 / (200 * SCALE) + 127.5
    assert_allclose(transform_points(crop_from_image, sample.points_px), expected)


@pytest.mark.parametrize("tags", ["1,0,0,0,1,0", "1.0,0.0,0.0,0.0,1.0,0.0"])
def test_subsets_of_wflw(tmp_path: Path, pictures: Path, faces: Any, tags: str) -> None:
    (sample,) = read_star_tsv(write(tmp_path, [row(faces[0], "a.jpg", tags)]), pictures, "wflw98")
    assert sample.subsets == {"largepose", "occlusion"}


@pytest.mark.parametrize("before", ["./rawImages/", "//share/wflw/rawImages/", ".\\rawImages\\", ""])
def test_the_authors_folder_is_dropped(tmp_path: Path, pictures: Path, faces: Any, before: str) -> None:
    slash = "\\" if "\\" in before else "/"
    path = write(tmp_path, [row(faces[0], f"{before}wflw{slash}a.jpg")])
    assert read_star_tsv(path, tmp_path, "wflw98")[0].picture == pictures / "a.jpg"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: "picture\tfive\tpoints\tscale\tx\ty", "expected 196 numbers, got 1"),  # a header after all
        (lambda text: text.rpartition("\t")[0], "expected 6 or 7 columns, got 5"),
        (lambda text: text.replace(str(SCALE), "big"), "expected numbers, got 'big'"),
        (lambda text: text.replace(str(SCALE), "nan"), "not finite"),
        (lambda text: text + "\t1,0", "expected 6 numbers, got 2"),
        (lambda text: text.replace("b.png", "c.png"), "expected its picture"),
    ],
    ids=["header", "columns", "scale", "nan", "tags", "picture"],
)
def test_a_bad_line_is_named(tmp_path: Path, pictures: Path, faces: Any, spoil: Any, reason: str) -> None:
    rows = [row(f, n) for f, n in zip(faces, ("a.jpg", "b.png", "a.jpg"))]
    rows[1] = spoil(rows[1])
    path = write(tmp_path, rows)
    with pytest.raises(DatasetError, match=reason) as error:
        read_star_tsv(path, pictures, "wflw98")
    assert str(error.value).startswith(f"{path}:2: ")
    assert len(read_star_tsv(path, pictures, "wflw98", "skip")) == 2


def test_unknown_scheme_and_missing_table(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(DatasetError, match="unknown landmark scheme 'wflw'; known: "):
        read_star_tsv(tmp_path / "test.tsv", pictures, "wflw")
    with pytest.raises(DatasetError, match=r"test\.tsv: expected one of STAR's tables"):
        read_star_tsv(tmp_path / "test.tsv", pictures, "wflw98")
