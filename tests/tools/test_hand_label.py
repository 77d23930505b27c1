"""Labelling by hand: the choice is balanced, what is seen is where it says, and a table becomes the right .pts file."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.enlarged import MARGIN_PX, enlarge
from tools.hand_label import balanced, choose, main, show, write
from tools.point_table import evenly, read_points
from tracker.datasets.pts_files import read_pts, write_pts
from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68
from train.datasets import CustomDataset

Array = np.ndarray


@pytest.fixture
def labels(tmp_path: Path, face68: Array) -> Path:
    """A folder as train.label writes it, of small pictures; and beside it groups.csv, which names more."""
    folder = tmp_path / "labels"
    folder.mkdir()
    rows = ["file,age,gender,race"]
    for i in range(90):
        rows.append(f"{i}.png,{i % 3}0-{i % 3}9,{'Female' if i % 2 else 'Male'},{'ABC'[i // 30]}")
        if i % 5:  # the others were left out
            cv2.imwrite(str(folder / f"{i}.png"), np.full((120, 120, 3), 90, np.uint8))
            write_pts(folder / f"{i}.pts", face68 + 5)
    (tmp_path / "groups.csv").write_text("\n".join(rows))
    return folder


@pytest.mark.parametrize(("word", "status"), [("--help", 0), ("-h", 0), ("shows", 2)])
def test_help_lists_the_commands(
    word: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tools.hand_label", word])
    assert main() == status
    out, err = capsys.readouterr()
    assert all(f"\n  {name} " in out for name in ("choose", "show", "write")) is (status == 0)
    assert ("did you mean show?" in err) is (status == 2)


def test_only_held_back_faces_with_a_label_are_chosen(labels: Path, tmp_path: Path) -> None:
    held_back = {sample.picture.stem for sample in CustomDataset(labels, "ibug68").faces()[1]}
    choose(labels, tmp_path / "groups.csv", tmp_path / "faces.csv", len(held_back))
    header, *rows = (tmp_path / "faces.csv").read_text().splitlines()
    assert header == "name,race,gender,age" and {row.split(",")[0] for row in rows} == held_back
    with pytest.raises(TrackerError, match=f"--count: expected 1 to {len(held_back)}"):
        choose(labels, tmp_path / "groups.csv", tmp_path / "faces.csv", len(held_back) + 1)


def test_a_table_of_groups_without_a_column_is_refused(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("file,age,race\n1.png,20-29,A\n")
    with pytest.raises(TrackerError, match="expected a column gender"):
        choose(labels, tmp_path / "groups.csv", tmp_path / "faces.csv", 1)
    (tmp_path / "groups.csv").write_bytes(b"file,race,gender,age\n\0,,,\n" + b'"' + b"a" * 200_000)
    with pytest.raises(TrackerError, match=r"groups\.csv: expected a table"):
        choose(labels, tmp_path / "groups.csv", tmp_path / "faces.csv", 1)
    with pytest.raises(TrackerError, match="nowhere"):
        choose(tmp_path / "nowhere", tmp_path / "groups.csv", tmp_path / "faces.csv", 1)


@given(st.integers(1, 84), st.integers(0, 9))
def test_the_choice_is_balanced(count: int, seed: int) -> None:
    rows = [
        {"file": f"{race}{gender}{age}{i}", "race": race, "gender": gender, "age": age}
        for race in "abcdefg"
        for gender in "fm"
        for age in "123"
        for i in range(6)
    ]
    chosen = balanced(rows, count, seed)
    assert chosen == balanced(rows[::-1], count, seed) and len({row["file"] for row in chosen}) == count
    cells = Counter((row["race"], row["gender"]) for row in chosen)
    ages = Counter(row["age"] for row in chosen)
    assert max(cells.values()) - min([*cells.values(), *([0] * (len(cells) < 14))]) <= 1
    assert max(ages.values()) - min([*ages.values(), *([0] * (len(ages) < 3))]) <= 1


def test_a_pixel_is_seen_where_the_grid_says(tmp_path: Path) -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[33, 41] = 255
    box = np.array([30.0, 20.0, 60.0, 50.0])
    scale = 900 / 30
    x, y = (np.array([41, 33]) - box[:2]) * scale + MARGIN_PX
    view = enlarge(picture, box, {})
    assert view.shape == (988, 988, 3)
    bright = np.argwhere(view[100:-100, 100:-100].min(2) > 200) + 100
    assert bright.mean(0) == pytest.approx([y, x], abs=2)
    drawn = enlarge(picture, box, {30: np.array([50.0, 40.0])})
    changed = np.argwhere((drawn != enlarge(picture, box, {})).any(2))
    x, y = (np.array([50, 40]) - box[:2]) * scale + MARGIN_PX
    assert (np.abs(changed - [y, x]) <= 1).all(1).any() and np.abs(changed - [y, x]).max() < 40


def test_parts_follow_from_the_box_alone(tmp_path: Path) -> None:
    """Also of a picture without a face, whose parts are those of the whole picture."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((100, 100, 3), 70, np.uint8))
    show(tmp_path / "a.png", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("a.*.png"))) == 8
    show(tmp_path / "a.png", tmp_path / "area", area=[10, 10, 40, 30])
    seen = cv2.imread(str(tmp_path / "area/a.area.png"))
    assert seen is not None and seen.shape == (600 + 2 * MARGIN_PX, 900 + 2 * MARGIN_PX, 3)
    for wrong in ([10.0, 10.0, 40.0], [40.0, 10.0, 10.0, 30.0], [0.0, 0.0, np.inf, 9.0], [0.0, 0.0, np.nan, 9.0]):
        with pytest.raises(TrackerError, match="--area"):
            show(tmp_path / "a.png", tmp_path / "area", area=wrong)


def test_a_file_in_the_place_of_the_output_folder_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((100, 100, 3), 70, np.uint8))
    with pytest.raises(TrackerError, match=r"--output: .* cannot be written"):
        show(tmp_path / "a.png", tmp_path / "a.png", area=[0, 0, 9, 9])


def table(folder: Path, rows: list[str]) -> Path:
    path = folder / "points.csv"
    path.write_text("\n".join(["index,x,y,note", *rows]))
    return path


def test_a_table_becomes_a_pts_file(tmp_path: Path, face68: Array) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((120, 130, 3), np.uint8))
    rows = [f"{i},{x:.3f},{y:.3f},guess: hair" for i, (x, y) in enumerate(face68)]
    write(table(tmp_path, rows), tmp_path / "a.png", tmp_path / "a.pts")
    assert read_pts(tmp_path / "a.pts") == pytest.approx(face68, abs=0.001)
    (tmp_path / "a.pts").unlink()
    for wrong, said in (
        (rows[:-1], r"\[67\] are missing"),
        ([f"{i},900,900," for i in range(68)], "none of its points"),
        ([*rows[:-1], "67,400,10,"], "outside its picture"),
    ):
        with pytest.raises(TrackerError, match=said):
            write(table(tmp_path, wrong), tmp_path / "a.png", tmp_path / "a.pts")
    assert not (tmp_path / "a.pts").exists()


@pytest.mark.parametrize("row", ["1,nan,2,", "1,2", "one,2,3,", "68,1,1,", "-1,1,1,", ",1,1,", "0,5,5,", "1 2,4,4,"])
def test_a_wrong_row_is_named(tmp_path: Path, row: str) -> None:
    with pytest.raises(TrackerError, match=r"points\.csv, line 4"):
        read_points(table(tmp_path, ["0,1,1,", "3,1,1,", row]))


def test_points_lie_evenly_on_a_curve(tmp_path: Path) -> None:
    """Places at uneven distances on a circle's upper half: nine points lie on the circle, 22.5 degrees apart."""
    turns = np.deg2rad([0, 10, 35, 50, 80, 90, 120, 140, 165, 180])
    places = 50 + 40 * np.column_stack([-np.cos(turns), -np.sin(turns)])
    path = table(tmp_path, [f"0 1 2 3 4 5 6 7 8,{x},{y}," for x, y in places] + ["8,90,50,"])
    points = np.stack([read_points(path)[i] for i in range(9)])
    expected = np.deg2rad(np.linspace(0, 180, 9))
    assert points == pytest.approx(50 + 40 * np.column_stack([-np.cos(expected), -np.sin(expected)]), abs=0.5)
    assert evenly(np.array([[0.0, 0.0], [3.0, 0.0]]), 4) == pytest.approx(np.array([[0, 0], [1, 0], [2, 0], [3, 0]]))


def test_every_face_of_the_table_is_labelled() -> None:
    """Each once, by points in the order that a face has them, balanced over race and gender."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks/hand_labels"
    with (folder / "faces.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [row["name"] for row in rows]
    assert sorted(names) == sorted(path.stem for path in folder.glob("*.pts")) and len({*names}) == len(names) == 50
    assert {path.stem for path in folder.glob("again/*.pts")} <= {*names}
    assert {*Counter((row["race"], row["gender"]) for row in rows).values()} == {3, 4}
    for path in folder.glob("**/*.pts"):
        points = read_pts(path)
        across = IBUG68.ocular_axis @ points
        down = points @ [-across[1], across[0]]
        assert points.shape == (68, 2)
        assert (down[[19, 24, 27, 28, 29, 30, 51, 57]] < down[[37, 44, 28, 29, 30, 33, 57, 8]]).all()
        assert (down[[37, 38, 43, 44, 61, 62, 63]] <= down[[41, 40, 47, 46, 67, 66, 65]]).all()
