"""COFW's .mat files, which hold the pictures too, and the 68 points for its test."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.io import savemat

from tracker.datasets.cofw import read_cofw, read_cofw68
from tracker.datasets.pictures import Pictures
from tracker.datasets.sample import DatasetError
from tracker.face.schemes import COFW29, IBUG68

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, shape, np.uint8) for shape in ((50, 40, 3), (60, 45), (41, 52, 3))]
POINTS = RNG.uniform(0, 39, (3, 29, 2)).round(4)
OCCLUDED = RNG.random((3, 29)) < 0.3
BOXES = np.array([(1, 2, 30, 35), (5, 6, 30, 30), (2.5, 3, 20, 33)])


def write_hdf5(path: Path, ending: str, pictures: Any, labels: Any, boxes: Any) -> None:
    """As MATLAB 7.3 does: every array with its axes reversed, cells as references."""
    with h5py.File(path, "w") as file:
        cells = file.create_dataset(f"Is{ending}", (1, len(pictures)), h5py.ref_dtype)
        for i, picture in enumerate(pictures):
            cells[0, i] = file.create_dataset(f"#refs#/{i}", data=picture.T).ref
        file.create_dataset(f"phis{ending}", data=np.asarray(labels).T)
        file.create_dataset(f"bboxes{ending}", data=np.asarray(boxes, np.float64).T)


def labels_of(points: Any, occluded: Any) -> Any:
    """(N, 87): x of all points, y of all, occlusion; from 1."""
    return np.concatenate([points[..., 0] + 1, points[..., 1] + 1, occluded], 1)


def write_test(root: Path, points: Any = POINTS, pictures: Any = PICTURES) -> Path:
    write_hdf5(root / "COFW_test_color.mat", "T", pictures, labels_of(points, OCCLUDED), BOXES)
    return root


class TestPoints29:
    @pytest.mark.parametrize(("split", "ending"), [("train", "Tr"), ("test", "T")])
    def test_labels_count_from_zero(self, tmp_path: Path, split: Any, ending: str) -> None:
        path = tmp_path / f"COFW_{split}_color.mat"
        write_hdf5(path, ending, PICTURES, labels_of(POINTS, OCCLUDED), BOXES)
        samples = read_cofw(tmp_path, split)
        assert_allclose([s.points_px for s in samples], POINTS, atol=1e-12)
        assert_allclose([s.box_px for s in samples], BOXES - (1, 1, 0, 0))
        assert np.array_equal([s.occluded for s in samples], OCCLUDED)
        assert all(s.scheme is COFW29 and s.picture == path for s in samples)
        assert len({s.name for s in samples}) == 3

    def test_pictures_are_upright_and_rgb(self, tmp_path: Path) -> None:
        colour, grey, last = (sample.read_image() for sample in read_cofw(write_test(tmp_path), "test"))
        assert np.array_equal(colour, PICTURES[0])
        assert np.array_equal(grey, np.stack([PICTURES[1]] * 3, 2))
        assert np.array_equal(last, PICTURES[2])
        assert all(image.flags["C_CONTIGUOUS"] for image in (colour, grey, last))

    def test_samples_go_to_loader_workers(self, tmp_path: Path) -> None:
        sample = read_cofw(write_test(tmp_path), "test")[2]
        assert len(pickle.dumps(sample)) < 20_000  # the picture stays in the file
        assert np.array_equal(pickle.loads(pickle.dumps(sample)).read_image(), PICTURES[2])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_bad_label_is_named(self, tmp_path: Path, value: float) -> None:
        points = POINTS.copy()
        points[1, 4, 0] = value
        write_test(tmp_path, points)
        with pytest.raises(DatasetError, match=r"COFW_test_color\.mat face 2: .*not finite \(in .* 1 of 3"):
            read_cofw(tmp_path, "test")
        assert [s.number for s in read_cofw(tmp_path, "test", "skip")] == [1, 3]  # type: ignore[attr-defined]

    def test_another_number_of_points_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "COFW_test_color.mat"
        write_hdf5(path, "T", PICTURES, labels_of(POINTS[:, :28], OCCLUDED[:, :28]), BOXES)
        with pytest.raises(DatasetError, match="expected phisT to be N x 87 numbers, got 3 x 84"):
            read_cofw(tmp_path, "test")

    def test_labels_and_pictures_that_do_not_pair_are_refused(self, tmp_path: Path) -> None:
        write_test(tmp_path, pictures=PICTURES[:2])
        with pytest.raises(DatasetError, match=r"as many labels and boxes as pictures, got the counts \[2, 3, 3\]"):
            read_cofw(tmp_path, "test", "skip")

    def test_a_picture_that_is_none_is_found_when_read(self, tmp_path: Path) -> None:
        write_test(tmp_path, pictures=[PICTURES[0], np.zeros((4, 4)), PICTURES[2]])
        samples = read_cofw(tmp_path, "test")
        with pytest.raises(DatasetError, match=r"IsT\{2\}: expected 8-bit grey or RGB, got float64"):
            Pictures(samples, 1).good(samples, "refuse")
        assert len(Pictures(samples, 1).good(samples, "skip")) == 2

    @pytest.mark.parametrize("content", [b"", b"no file of MATLAB", b"\x89HDF\r\n\x1a\n" + bytes(200)])
    def test_a_broken_file_is_named(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "COFW_test_color.mat").write_bytes(content)
        with pytest.raises(DatasetError, match=r"COFW_test_color\.mat: expected a \.mat file with IsT, phisT, bboxesT"):
            read_cofw(tmp_path, "test")

    def test_a_missing_file_or_variable_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"COFW_train_color\.mat: expected a \.mat file, there is no such"):
            read_cofw(tmp_path, "train")
        write_test(tmp_path).joinpath("COFW_test_color.mat").rename(tmp_path / "COFW_train_color.mat")
        with pytest.raises(DatasetError, match="with IsTr, phisTr, bboxesTr, reading it gave KeyError"):
            read_cofw(tmp_path, "train")

    def test_real_faces(self, tmp_path: Path, shared: Path) -> None:
        """The sample's pictures and labels, which count from 0 and mark occlusion by 1, in the official layout."""
        source = shared / "data/samples/cofw"
        content = json.loads((source / "test_cofw.json").read_text())
        pictures = [cv2.imread(str(source / image["file_name"]))[..., ::-1] for image in content["images"]]
        labels = np.array([face["keypoints"] for face in content["annotations"]]).reshape(-1, 29, 3)
        boxes = [face["bbox"] for face in content["annotations"]]
        path = tmp_path / "COFW_test_color.mat"
        write_hdf5(path, "T", pictures, labels_of(labels[..., :2], labels[..., 2] == 1), boxes)
        samples = read_cofw(tmp_path, "test")
        kept = Pictures(samples, 1)
        assert kept.good(samples, "refuse") == samples
        assert all((kept.read(sample) == sample.read_image()).all() for sample in samples)
        for sample, picture, label in zip(samples, pictures, labels, strict=True):
            assert np.array_equal(sample.read_image(), picture)
            assert_allclose(sample.points_px, label[:, :2], atol=1e-9)
            assert sample.occluded is not None and np.array_equal(sample.occluded, label[:, 2] == 1)


class TestPoints68:
    points = np.random.default_rng(1).uniform(0, 39, (3, 68, 2)).round(4)
    occluded = np.random.default_rng(2).random((3, 68)) < 0.3

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        write_test(tmp_path)
        folder = tmp_path / "COFW68_Data/test_annotations"
        folder.mkdir(parents=True)
        savemat(folder.parent / "cofw68_test_bboxes.mat", {"bboxes": BOXES + 1})
        for i in range(3):
            label = {"Points": self.points[i] + 1, "Occ": self.occluded[i][:, None]}
            savemat(folder / f"{i + 1}_points.mat", label)
        return tmp_path

    def test_are_those_of_the_test_pictures(self, root: Path) -> None:
        samples = read_cofw68(root)
        assert_allclose([s.points_px for s in samples], self.points, atol=1e-12)
        assert np.array_equal([s.occluded for s in samples], self.occluded)
        assert_allclose([s.box_px for s in samples], BOXES + (0, 0, 1, 1))
        assert all(s.scheme is IBUG68 for s in samples)
        assert np.array_equal(samples[2].read_image(), PICTURES[2])

    def test_may_be_in_the_newer_format(self, root: Path) -> None:
        with h5py.File(root / "COFW68_Data/test_annotations/2_points.mat", "w") as file:
            file.create_dataset("Points", data=self.points[1].T + 1)
            file.create_dataset("Occ", data=self.occluded[1][None].astype(np.uint8))
        self.test_are_those_of_the_test_pictures(root)

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda path: path.unlink(), "there is no such file"),
            (lambda path: path.write_bytes(b"broken"), "expected a .mat file with Points, Occ"),
            pytest.param(lambda path: savemat(path, {"Points": np.eye(68, 2)}), "KeyError", marks=pytest.mark.slow),
            pytest.param(
                lambda path: savemat(path, {"Points": np.eye(67, 2), "Occ": np.ones(67)}),
                "expected 68 points, got 67",
                marks=pytest.mark.slow,
            ),
            (
                lambda path: savemat(path, {"Points": np.eye(68, 2), "Occ": np.ones(67)}),
                "68 marks of occlusion, got 67",
            ),
        ],
        ids=["missing", "broken", "without Occ", "67 points", "67 marks"],
    )
    def test_a_bad_label_is_named(self, root: Path, spoil: Any, reason: str) -> None:
        path = root / "COFW68_Data/test_annotations/2_points.mat"
        spoil(path)
        with pytest.raises(DatasetError, match=reason) as error:
            read_cofw68(root)
        assert str(error.value).startswith(f"{path}: ")
        assert [s.number for s in read_cofw68(root, "skip")] == [1, 3]  # type: ignore[attr-defined]

    def test_a_label_without_a_picture_is_bad(self, root: Path) -> None:
        folder = root / "COFW68_Data/test_annotations"
        folder.joinpath("4_points.mat").write_bytes(folder.joinpath("1_points.mat").read_bytes())
        with pytest.raises(DatasetError, match=r"4_points\.mat: expected labels of a picture of COFW_test_color"):
            read_cofw68(root)
        assert len(read_cofw68(root, "skip")) == 3
