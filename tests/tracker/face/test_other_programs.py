"""The tables of other programs' points, on real faces."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.london import ibug68, read_template
from tracker import Tracker
from tracker.analysis.head_pose import mean_head_mm
from tracker.face.geometry import Array
from tracker.face.other_programs import TABLE, order_of, point_numbers
from tracker.face.schemes import IBUG68
from tracker.sinks.openface_csv import OpenFaceCsv
from train.labels.mesh68 import load_mesh68

WORKER = Path(__file__).resolve().parents[3] / "train/labels/facemesh_worker.py"


@pytest.fixture(scope="module")
def real_face(shared: Path) -> tuple[Array, Array, Array]:
    """A picture of a real face, its points as people set them, and the tracker's."""
    picture = sorted((shared / "data/london").glob("*.jpg"))[0]
    image_rgb = cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)
    (face,) = Tracker().detect(image_rgb).faces
    return image_rgb, ibug68(read_template(picture.with_suffix(".tem"))), face.landmarks.points_px


def error(points: Array, truth: Array) -> float:
    """Mean distance over the distance of the outer eye corners."""
    return float(np.linalg.norm(points - truth, axis=1).mean() / np.linalg.norm(truth[45] - truth[36]))


def test_mediapipe_numbers_are_those_of_the_mesh_table() -> None:
    weights = load_mesh68().weights
    assert (point_numbers("mediapipe") == weights.argmax(1)).all()


def test_openseeface_has_all_but_the_inner_corners_of_the_mouth() -> None:
    numbers = point_numbers("openseeface")
    assert np.flatnonzero(numbers < 0).tolist() == [60, 64]
    order = order_of("openseeface")
    assert sorted(numbers[order]) == list(range(66)) and (numbers[order] == np.arange(66)).all()


def test_openseeface_pairs_are_mirror_images() -> None:
    """The pairs that its own program mirrors (facetracker.py, --dump-points) are mirror images of ours, too."""
    pairs = "0-16 1-15 7-9 17-26 21-22 31-35 36-45 39-42 40-47 41-46 48-52 49-51 56-54 57-53 58-62 59-61 65-63"
    order = order_of("openseeface")
    for a, b in (map(int, pair.split("-")) for pair in pairs.split()):
        assert IBUG68.flip[order[a]] == order[b]


def test_openseeface_lips_lie_as_its_features_take_them(face68: Array) -> None:
    """On a real face that smiles: 58 and 62 are the ends of the mouth; 59 to 61 lie over 63 to 65, all between 50 and
    55."""
    mouth = face68[order_of("openseeface")][48:66]
    x, y = mouth.T
    assert x.argmin() == 58 - 48 and x.argmax() == 62 - 48
    assert (y[[11, 12, 13]] < y[[17, 16, 15]]).all()
    assert y[2] < y[12] < y[16] < y[7]
    head = mean_head_mm()[order_of("openseeface")]
    assert 51 < head[62, 0] - head[58, 0] < 53  # its model's are 52.1 mm apart, our inner corners 44.9


def test_dlib_and_openface_have_our_order(real_face: tuple[Array, Array, Array], tmp_path: Path) -> None:
    """A real face by hand, in the order of 300W that both were trained on: the tracker's points with the table are near
    it, and with any pair swapped they are farther."""
    _, truth, points = real_face
    numbers = point_numbers("dlib")
    near = error(points[numbers], truth)
    assert near < 0.05
    for a, b in ((36, 39), (48, 54), (17, 26), (60, 64), (31, 35), (62, 66)):
        swapped = numbers.copy()
        swapped[[a, b]] = swapped[[b, a]]
        assert error(points[swapped], truth) > near
    OpenFaceCsv(tmp_path / "x.csv", IBUG68).close()
    columns = (tmp_path / "x.csv").read_text().strip().split(",")
    rows = [line.split(",") for line in TABLE.read_text().splitlines() if not line.startswith("#")][1:]
    assert [row[5] for row in rows] == [name for name in columns if name.startswith("x_")]
    assert [row[6] for row in rows] == [name for name in columns if name.startswith("y_")]


def test_programs_that_are_not_known() -> None:
    with pytest.raises(ValueError, match="expected one of mediapipe, openseeface, dlib, got zoom"):
        point_numbers("zoom")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mediapipe has points that are not here"):
        order_of("mediapipe")


@pytest.mark.slow
def test_mediapipe_on_a_real_face(real_face: tuple[Array, Array, Array]) -> None:
    """Its vertices lie near our points, as people set them and as the tracker does."""
    python = os.environ.get("MEDIAPIPE_PYTHON")
    if not python:
        pytest.skip("needs $MEDIAPIPE_PYTHON, the Python of an environment with mediapipe==0.10.21")
    image_rgb, truth, points = real_face
    height, width = image_rgb.shape[:2]
    given = struct.pack("<3I", 1, height, width) + image_rgb.tobytes()
    said = subprocess.run([python, str(WORKER)], input=given, capture_output=True, check=True).stdout
    _, answer = said.split(b"\n", 1)
    mesh = np.frombuffer(answer, "<f4").reshape(478, 3)[:, :2] * (width, height) - 0.5
    found = mesh[point_numbers("mediapipe")]
    inner = slice(17, 68)  # the jaw follows the contour here
    scale = np.linalg.norm(truth[45] - truth[36])
    for other in (truth, points):
        distances = np.linalg.norm(found - other, axis=1) / scale
        assert distances[inner].mean() < 0.05 and distances[inner].max() < 0.15
        assert distances.max() < 0.25
    for part in IBUG68.curves[1:]:
        indices = list(part.indices)
        turned = np.linalg.norm(found[indices] - truth[indices[::-1]], axis=1).mean()
        assert turned > np.linalg.norm(found[indices] - truth[indices], axis=1).mean(), part.name
