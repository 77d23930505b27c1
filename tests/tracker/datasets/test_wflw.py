"""WFLW's lists: 207 columns, six subsets, several faces a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tracker.datasets.pictures import Pictures
from tracker.datasets.sample import DatasetError
from tracker.datasets.wflw import SUBSETS, read_wflw
from tracker.face.schemes import WFLW98

FOLDER = "WFLW_annotations/list_98pt_rect_attr_train_test"
CORNERS = (10, 20, 60, 90)  # x1 y1 x2 y2
FLAGS = ("100000", "010000", "001000", "000100", "000010", "000001", "000000", "110011")


def line(points: Any, corners: Any, flags: str, picture: str) -> str:
    coordinates = " ".join(f"{value:.6f}" for value in np.ravel(points))
    return f"{coordinates} {' '.join(str(c) for c in corners)} {' '.join(flags)} {picture}"


def write_list(root: Path, lines: list[str], split: str = "test") -> Path:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    path = root / FOLDER / f"list_98pt_rect_attr_{split}.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def faces() -> Any:
    return np.random.default_rng(0).uniform(-3, 99, (len(FLAGS), 98, 2)).round(6)


@pytest.fixture
def lines(tmp_path: Path, faces: Any) -> list[str]:
    """One line for each of FLAGS, by turns of two pictures."""
    pictures = ("0--Parade/0_Parade_1.jpg", "37--Soccer/37_Soccer_2.jpg")
    for picture in pictures:
        (tmp_path / "WFLW_images" / picture).parent.mkdir(parents=True)
        (tmp_path / "WFLW_images" / picture).touch()
    return [line(f, CORNERS, flags, pictures[i % 2]) for i, (f, flags) in enumerate(zip(faces, FLAGS))]


@pytest.mark.parametrize("split", ["train", "test"])
def test_points_boxes_and_subsets(tmp_path: Path, faces: Any, lines: list[str], split: Any) -> None:
    write_list(tmp_path, lines, split)
    samples = read_wflw(tmp_path, split)
    assert_allclose([s.points_px for s in samples], faces)
    assert_allclose([s.box_px for s in samples], [(10, 20, 50, 70)] * len(FLAGS))
    assert all(s.scheme is WFLW98 for s in samples)
    names = ("largepose", "expression", "illumination", "makeup", "occlusion", "blur")  # in the columns' order
    assert names == SUBSETS
    assert [s.subsets for s in samples] == [{n for n, flag in zip(names, flags) if flag == "1"} for flags in FLAGS]


def test_several_faces_of_a_picture_are_told_apart(tmp_path: Path, lines: list[str]) -> None:
    write_list(tmp_path, lines)
    samples = read_wflw(tmp_path, "test")
    assert [(s.picture.name, s.face) for s in samples[:5]] == [
        ("0_Parade_1.jpg", 0),
        ("37_Soccer_2.jpg", 0),
        ("0_Parade_1.jpg", 1),
        ("37_Soccer_2.jpg", 1),
        ("0_Parade_1.jpg", 2),
    ]
    assert len({s.name for s in samples}) == len(samples)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: text.partition(" ")[2], "expected 206 numbers, got 205"),
        (lambda text: "nan " + text.partition(" ")[2], "not finite"),
        (lambda text: "1,5 " + text.partition(" ")[2], "expected numbers"),
        (lambda text: text.replace("10 20 60 90", "10 20 nan 90"), "not finite"),
        (lambda text: text + "x", "there is no such file"),
        (lambda text: "x", "expected 206 numbers, got 0"),
    ],
    ids=["a number less", "nan", "no number", "box", "picture", "junk"],
)
def test_a_bad_line_is_named(tmp_path: Path, lines: list[str], spoil: Any, reason: str) -> None:
    lines[2] = spoil(lines[2])
    path = write_list(tmp_path, ["", *lines])
    with pytest.raises(DatasetError, match=reason) as error:
        read_wflw(tmp_path, "test")
    assert str(error.value).startswith(f"{path}:4: ")
    assert "1 of 8" in str(error.value)
    assert len(read_wflw(tmp_path, "test", "skip")) == 7


def test_a_missing_or_empty_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"list_98pt_rect_attr_train\.txt: expected WFLW's list"):
        read_wflw(tmp_path, "train")
    write_list(tmp_path, [])
    with pytest.raises(DatasetError, match=r"found none$"):
        read_wflw(tmp_path, "test")


def test_real_faces(tmp_path: Path, shared: Path) -> None:
    """The sample's coordinates, written as WFLW writes them, beside the sample's pictures."""
    source = shared / "data/samples/wflw"
    content = json.loads((source / "test_wflw.json").read_text())
    pictures = {image["id"]: image["file_name"] for image in content["images"]}
    truth = [np.reshape(face["keypoints"], (-1, 3))[:, :2] for face in content["annotations"]]
    lines = [
        line(points, (1, 2, 3, 4), "000000", pictures[face["image_id"]])
        for points, face in zip(truth, content["annotations"])
    ]
    write_list(tmp_path, lines)
    (tmp_path / "WFLW_images").symlink_to(source)
    samples = read_wflw(tmp_path, "test")
    assert Pictures(samples, 0).good(samples, "refuse") == samples
    assert_allclose([s.points_px for s in samples], truth, atol=1e-6)
    assert [(pictures[face["image_id"]]) for face in content["annotations"]] == [s.picture.name for s in samples]
    assert [s.face for s in samples] == [0, 0, 1, 2]
