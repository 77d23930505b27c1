"""AFLW with 19 points: AFLWinfo_release.mat, its order, and what is visible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.io import savemat

from tracker.datasets import aflw
from tracker.datasets.aflw import read_aflw19
from tracker.datasets.pictures import Pictures
from tracker.datasets.sample import DatasetError

NAMES = ["0/a.jpg", "2/b.jpg", "0/a.jpg", "3/c.jpg", "2/b.jpg"]
POINTS = np.random.default_rng(0).uniform(-3, 99, (5, 19, 2)).round(4)
VISIBLE = np.ones((5, 19), np.uint8)
VISIBLE[1, 3] = VISIBLE[4, :9] = 0
ORDER = np.array([4, 2, 5, 1, 3])  # from 1


def write(root: Path, **changed: Any) -> Path:
    names = changed.pop("names", NAMES)
    for name in set(names):
        (root / "flickr" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "flickr" / name).touch()
    variables = {
        "data": POINTS.transpose(0, 2, 1).reshape(len(POINTS), 38),  # x of all points, y of all
        "bbox": np.tile(np.array([[10, 60, 20, 90]], np.uint16), (5, 1)),  # left right top bottom
        "mask_new": VISIBLE,
        "nameList": np.array(names, object)[:, None],
        "ra": ORDER[None],
    }
    savemat(root / "AFLWinfo_release.mat", {**variables, **changed})
    return root


@pytest.fixture(autouse=True)
def three_to_train_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert aflw.TRAIN_FACES == 20000
    monkeypatch.setattr(aflw, "TRAIN_FACES", 3)


@pytest.mark.parametrize(("split", "order"), [("train", [3, 1, 4]), ("test", [0, 2])])
def test_faces_in_the_order_of_the_release(tmp_path: Path, split: Any, order: list[int]) -> None:
    samples = read_aflw19(write(tmp_path), split)
    assert_allclose([s.points_px for s in samples], POINTS[order])
    assert_allclose([s.box_px for s in samples], [(10, 20, 50, 70)] * len(order))
    assert np.array_equal([s.occluded for s in samples], VISIBLE[order] == 0)
    assert [s.picture for s in samples] == [tmp_path / "flickr" / NAMES[i] for i in order]
    assert ["frontal" in s.subsets for s in samples] == VISIBLE[order].all(1).tolist()
    assert [s.face for s in samples] == [[0, 0, 1, 0, 1][i] for i in order]  # the same in both splits
    assert all(s.scheme.name == "aflw19" for s in samples)


def test_a_bad_face_is_named(tmp_path: Path) -> None:
    data = POINTS.transpose(0, 2, 1).reshape(5, 38).copy()
    data[1, 7] = np.nan
    path = write(tmp_path, data=data) / "AFLWinfo_release.mat"
    with pytest.raises(DatasetError, match=r"not finite .*1 of 3") as error:
        read_aflw19(tmp_path, "train")
    assert str(error.value).startswith(f"{path} face 2: ")
    assert len(read_aflw19(tmp_path, "train", "skip")) == 2
    assert len(read_aflw19(tmp_path, "test")) == 2


def test_a_missing_picture_is_bad(tmp_path: Path) -> None:
    (write(tmp_path) / "flickr/3/c.jpg").unlink()
    with pytest.raises(DatasetError, match=r"expected its picture .*c\.jpg, there is no such file"):
        read_aflw19(tmp_path, "train")


@pytest.mark.parametrize(
    "changed",
    [
        {"data": np.ones((4, 38))},
        {"bbox": np.ones((6, 4))},
        {"mask_new": np.ones((4, 19))},
        {"names": NAMES[1:]},
        {"ra": np.array([[1, 2, 3, 4, 4]])},
        {"ra": np.arange(5)[None]},
    ],
    ids=["data", "bbox", "mask", "names", "repeats", "counts from 0"],
)
def test_variables_that_do_not_pair_are_refused(tmp_path: Path, changed: Any) -> None:
    with pytest.raises(DatasetError, match=r"AFLWinfo_release\.mat: expected bbox, mask_new, nameList and an order"):
        read_aflw19(write(tmp_path, **changed), "test", "skip")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"AFLWinfo_release\.mat: expected a \.mat file, there is no such file"):
        read_aflw19(tmp_path, "test")


def test_real_faces(tmp_path: Path, shared: Path) -> None:
    """The sample's labels in the layout of the release, beside the sample's pictures; the scheme's order holds."""
    source = shared / "data/samples/aflw"
    content = json.loads((source / "test_aflw.json").read_text())
    truth = np.array([face["keypoints"] for face in content["annotations"]]).reshape(-1, 19, 3)[..., :2]
    savemat(
        tmp_path / "AFLWinfo_release.mat",
        {
            "data": np.concatenate([truth[..., 0], truth[..., 1]], 1),
            "bbox": np.array([[1, 2, 3, 4]] * len(truth)),
            "mask_new": np.ones((len(truth), 19)),
            "nameList": np.array([image["file_name"] for image in content["images"]], object)[:, None],
            "ra": np.arange(1, len(truth) + 1)[None],
        },
    )
    (tmp_path / "flickr").symlink_to(source)
    samples = read_aflw19(tmp_path, "train")
    assert Pictures(samples, 0).good(samples, "refuse") == samples
    assert_allclose([s.points_px for s in samples], truth, atol=1e-9)
    for sample in samples:
        mirrored = sample.points_px[sample.scheme.flip]
        pairs = sample.scheme.flip != np.arange(19)
        right = np.arange(19) < sample.scheme.flip  # the subject's right, on the left of the picture
        assert (sample.points_px[pairs & right, 0] < mirrored[pairs & right, 0]).all()
        assert (sample.scheme.ocular_axis @ sample.points_px)[0] > 0
