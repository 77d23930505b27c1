"""Damaged .mat files, and such of other variables: refused or read, whatever they do to the process that reads them."""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csr_matrix

from tests.tracker.datasets.test_damaged_data import faces_of
from tracker.datasets import aflw, cofw, matlab
from tracker.datasets.aflw import read_aflw19
from tracker.datasets.cofw import read_cofw
from tracker.datasets.matlab import Variables, read_files
from tracker.datasets.sample import DatasetError

NAMES = ("data", "bbox", "mask_new", "nameList", "ra")
COFW = ("IsTr", "phisTr", "bboxesTr")


def mat_of_aflw(root: Path, **changed: Any) -> bytes:
    """Of five faces, in the format of 2016; the picture of one is there."""
    (root / "flickr").mkdir(exist_ok=True)
    cv2.imwrite(str(root / "flickr/a.jpg"), np.zeros((99, 99, 3), np.uint8))
    variables: dict[str, Any] = {
        "data": np.random.default_rng(0).uniform(5, 90, (5, 38)),
        "bbox": np.tile(np.array([[10, 60, 20, 90]], np.uint16), (5, 1)),
        "mask_new": np.ones((5, 19), np.uint8),
        "nameList": np.array(["a.jpg"] * 5, object)[:, None],
        "ra": np.arange(1, 6)[None],
    }
    savemat(root / "AFLWinfo_release.mat", {**variables, **changed})
    return (root / "AFLWinfo_release.mat").read_bytes()


def h5_of_cofw(path: Path, **changed: Any) -> None:
    """Of three faces; what is changed is written as it is. picture: in the place of the second."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (3, 80, 90), np.uint8) for _ in range(3)]
    pictures[1] = changed.pop("picture", pictures[1])
    labels = np.concatenate([rng.uniform(5, 70, (58, 3)), np.zeros((29, 3))])
    with h5py.File(path, "w") as file:
        cells = np.array([file.create_dataset(f"#refs#/{i}", data=p).ref for i, p in enumerate(pictures)], object)
        file.create_dataset("IsTr", (1, 3), h5py.ref_dtype)[0] = cells
        file["phisTr"], file["bboxesTr"] = labels, np.full((4, 3), 9.0)
        for name, value in changed.items():
            del file[name]
            if value is not None:
                file[name] = value


def aflw_faces(root: Path, variables: Variables) -> int | str:
    """What becomes of the faces of variables that were read before: many files are read by one process, not by many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aflw, "read_variables", lambda *_: variables)
        return faces_of(lambda on_invalid: read_aflw19(root, "train", on_invalid), "skip")


def cofw_faces(path: Path, content: Path, variables: Variables) -> int | str:
    """Likewise, of a file whose pictures are read where they lie."""
    shutil.copy(content, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cofw, "read_variables", lambda *_: variables)
        return faces_of(lambda on_invalid: read_cofw(path.parent, "train", on_invalid), "skip")


def test_a_file_that_ends_the_process_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    """scipy 1.10 to 1.16 crash on an array of a class that does not exist."""
    whole = mat_of_aflw(tmp_path)
    flags = struct.pack("<III", 6, 8, 9)  # of mask_new: an array of uint8
    assert whole.count(flags) == 1
    paths = [tmp_path / f"{i}.mat" for i in range(5)]
    for i, path in enumerate(paths):
        path.write_bytes(whole.replace(flags, struct.pack("<III", 6, 8, 22)) if i in (1, 3) else whole)
    found = read_files(paths, *NAMES)
    assert [isinstance(variables, DatasetError) for variables in found] == [False, True, False, True, False]
    for i in (1, 3):
        assert str(found[i]).startswith(f"{paths[i]}: expected a .mat file with data, bbox, mask_new, nameList, ra, ")
        assert found[i].args == (str(found[i]),)  # type: ignore[union-attr]
    assert (np.asarray(found[4][0]) == np.asarray(found[0][0])).all()  # type: ignore[index]


@pytest.mark.parametrize("package", ["h5py", "scipy"])
def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    mat_of_aflw(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    expected = rf"AFLWinfo_release\.mat: reading it needs {package}, which is not installed; pip install 'landmark-tra"
    with pytest.raises(DatasetError, match=expected):
        read_aflw19(tmp_path, "train")


def test_one_that_takes_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "TIME_S", 0.01)
    mat_of_aflw(tmp_path)
    with pytest.raises(DatasetError, match=r"AFLWinfo_release\.mat: .*reading it took more than 0\.01 s"):
        read_aflw19(tmp_path, "train")


def test_damaged_files_of_aflw(tmp_path: Path) -> None:
    whole, rng = mat_of_aflw(tmp_path), np.random.default_rng(0)
    paths = [tmp_path / f"{i}.mat" for i in range(60)]
    for path in paths:
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(128, len(content))] = rng.integers(256)
        path.write_bytes(content)
    found = [v for v in read_files(paths, *NAMES) if not isinstance(v, DatasetError)]
    assert sum(isinstance(aflw_faces(tmp_path, variables), int) for variables in found) > 9  # most damage is to numbers


def test_variables_of_aflw_of_another_kind(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"data": np.ones((5, 38), complex)},
        {"data": np.ones((5, 19, 2))},
        {"data": "text"},
        {"bbox": np.ones((5, 3))},
        {"mask_new": np.array([["a"] * 19] * 5)},
        {"nameList": np.ones((5, 1))},
        {"nameList": np.array([1, 2, 3, 4, 5], object)},
        {"nameList": np.array([["a.jpg", "b.jpg"]] * 5, object)},
        {"ra": np.array([[1, 2, 3, 4, np.nan]])},
        {"ra": "12345"},
        {"data": {"a": 1}},
        {"data": csr_matrix(np.ones((5, 38)))},
    ]
    paths = [tmp_path / f"{i}.mat" for i in range(len(changes))]
    for path, changed in zip(paths, changes):
        path.write_bytes(mat_of_aflw(tmp_path, **changed))
    for variables, changed in zip(read_files(paths, *NAMES), changes, strict=True):
        assert not isinstance(variables, DatasetError)
        assert "AFLWinfo_release.mat: expected" in str(aflw_faces(tmp_path, variables)), changed


def test_variables_of_cofw_of_another_kind(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"phisTr": np.float64(3)},
        {"phisTr": np.ones((87, 3), "S1")},
        {"phisTr": np.ones(87)},
        {"phisTr": None},
        {"bboxesTr": np.full((4, 3), b"a")},
        {"bboxesTr": np.ones((4, 2))},
        {"bboxesTr": "text"},
        {"IsTr": np.zeros((1, 3))},
        {"IsTr": np.array([["a", "b", "c"]], h5py.string_dtype())},
        {"IsTr": np.float64(1)},
    ]
    paths = [tmp_path / f"{i}.mat" for i in range(len(changes))]
    for path, changed in zip(paths, changes):
        h5_of_cofw(path, **changed)
    path = tmp_path / "COFW_train_color.mat"
    for content, variables, changed in zip(paths, read_files(paths, *COFW), changes, strict=True):
        if isinstance(variables, DatasetError):
            assert changed == {"phisTr": None}
            continue
        assert "COFW_train_color.mat: expected" in str(cofw_faces(path, content, variables)), changed


def test_a_picture_of_another_kind_costs_its_face(tmp_path: Path) -> None:
    pictures: list[Any] = [
        "x",
        np.float64(1),
        np.ones((3, 9, 9)),
        np.zeros((0, 9), np.uint8),
        np.zeros((4, 9, 9), np.uint8),
        np.zeros(9, np.uint8),
        np.zeros((1, 3, 9, 9), np.uint8),
    ]
    paths = [tmp_path / f"{i}.mat" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        h5_of_cofw(path, picture=picture)
    for content, variables in zip(paths, read_files(paths, *COFW), strict=True):
        assert not isinstance(variables, DatasetError)
        assert cofw_faces(tmp_path / "COFW_train_color.mat", content, variables) == 2


def test_a_picture_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "COFW_train_color.mat"
    h5_of_cofw(path)
    with h5py.File(path, "r+") as file:
        huge = file.create_dataset("huge", (3, 10**6, 10**6), np.uint8, chunks=(3, 100, 100))  # takes no room
        file["IsTr"][0, 1] = huge.ref
    assert faces_of(lambda on_invalid: read_cofw(tmp_path, "train", on_invalid), "skip") == 2
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        file.create_dataset("phisTr", (87, 10**9), np.float64, chunks=(87, 100))
    assert "more than 2147483648 bytes" in str(
        faces_of(lambda on_invalid: read_cofw(tmp_path, "train", on_invalid), "skip")
    )


def test_damaged_files_of_cofw(tmp_path: Path) -> None:
    h5_of_cofw(tmp_path / "whole.mat")
    whole, rng = (tmp_path / "whole.mat").read_bytes(), np.random.default_rng(0)
    paths = [tmp_path / f"{i}.mat" for i in range(60)]
    for path in paths:
        content = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(4000)] = rng.integers(256)
        path.write_bytes(content)
    read = 0
    for path, variables in zip(paths, read_files(paths, *COFW), strict=True):
        if not isinstance(variables, DatasetError):
            read += isinstance(cofw_faces(tmp_path / "COFW_train_color.mat", path, variables), int)
    assert read > 9
