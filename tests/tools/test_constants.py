"""The commands of tools/ make the constants that the runtime has, where their source is at hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tools.box_calibration import box_spans, evenly, median
from tools.ict_head import read_ict_head
from tools.london import ibug68, read_template
from tools.mean_head import as_csv, mean_head, points_mm
from tools.pose_limit import errors_mm, limit, shuffle
from tracker import camera_matrix, head_pose
from tracker.analysis.head_pose import WORST_MM, mean_head_mm
from tracker.datasets.labelled import labelled_faces
from tracker.datasets.sample import Sample
from tracker.detectors.base import roi_of_detection
from tracker.detectors.loading import DetectorName, load_detector
from tracker.errors import TrackerError
from tracker.face.crop import roi_of_landmarks
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources import read_picture

ROOT = Path(__file__).resolve().parents[2]
LABELS = ROOT / "runs/labels/fairface_v3"


@pytest.fixture(scope="module")
def fairface() -> list[Sample]:
    """FairFace's pictures as train.label has labelled them."""
    if not LABELS.is_dir():
        pytest.skip("needs runs/labels/fairface_v3, FairFace's pictures with the labels of train.label")
    return labelled_faces("folder", LABELS)


def test_the_mean_head_is_made_of_the_mesh(shared: Path, tmp_path: Path) -> None:
    mean_head(shared / "data/ict_head", tmp_path / "head.csv")
    assert (tmp_path / "head.csv").read_bytes() == (ROOT / "tracker/analysis/head68_mm.csv").read_bytes()


def test_the_mean_head_has_its_licence_and_unit(shared: Path) -> None:
    head = read_ict_head(shared / "data/ict_head")
    assert head.licence.strip().splitlines()[-1] in as_csv(head).decode("ascii")
    assert points_mm(head) == pytest.approx(mean_head_mm(), abs=0.0051)
    scale = np.ptp(points_mm(head)[:, 0]) / np.ptp(head.points[:, 0])
    assert scale * np.linalg.norm(head.eyeballs[1] - head.eyeballs[0]) == pytest.approx(63.36)
    assert head.eyeballs[:, 1:] == pytest.approx(head.eyeballs[::-1, 1:], abs=0.001)


def remove_landmarks(folder: Path) -> None:
    (folder / "landmarks.json").unlink()


def name_other_vertices(folder: Path) -> None:
    (folder / "landmarks.json").write_text('{"landmarks_multi_pie68": [99999999]}')


def cut_the_mesh(folder: Path) -> None:
    mesh = folder / "generic_neutral_mesh.obj"
    mesh.write_bytes(mesh.read_bytes()[:4000])


def break_a_number(folder: Path) -> None:
    mesh = folder / "generic_neutral_mesh.obj"
    mesh.write_text(mesh.read_text().replace("\nv ", "\nv x", 1))


@pytest.mark.parametrize("damage", [remove_landmarks, name_other_vertices, cut_the_mesh, break_a_number])
def test_another_mesh_is_refused(shared: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for file in (shared / "data/ict_head").iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    damage(tmp_path)
    with pytest.raises(TrackerError, match=f"{tmp_path}.*(correct --ict|of ICT-FaceKit's neutral head)"):
        mean_head(tmp_path, tmp_path / "head.csv")
    assert not (tmp_path / "head.csv").exists()


@pytest.mark.parametrize("name", ["yunet", "blazeface"])
def test_the_calibrations_are_those_of_fairface(fairface: list[Sample], name: DetectorName) -> None:
    """60 faces in the place of 600: their medians vary by 0.01."""
    detector = load_detector(name)
    spans = box_spans(evenly(fairface, 60), detector)
    assert len(spans) >= 55
    found = median(spans)
    assert found.down == pytest.approx(detector.calibration.down, abs=0.03)
    assert found.side == pytest.approx(detector.calibration.side, abs=0.04)
    assert abs(np.median(spans[:, 0])) < 0.02  # calibrated as 0


@pytest.mark.parametrize("name", ["yunet", "blazeface"])
def test_the_first_view_lies_on_faces_that_were_not_fitted_on(shared: Path, name: DetectorName) -> None:
    """London's faces, with points by hand: a detection's view is nearly that of the landmarks."""
    found = load_detector(name)
    offsets, sides = [], []
    for template in sorted((shared / "data/london").glob("*.tem"))[::6]:
        image_rgb, truth_px = read_picture(template.with_suffix(".jpg")), ibug68(read_template(template))
        assert image_rgb is not None
        (seen,) = found.detect(image_rgb)
        roi = roi_of_detection(seen, found.calibration)
        view = roi_of_landmarks(truth_px, roi.rotation_rad)
        offsets.append(np.subtract(roi.center_px, view.center_px) / view.side_px)
        sides.append(roi.side_px / view.side_px)
    assert np.abs(np.median(offsets, axis=0)).max() < 0.03
    assert np.abs(offsets).max() < 0.15
    assert abs(np.median(sides) - 1) < 0.05


def test_the_limit_divides_fairface_from_what_is_no_face(fairface: list[Sample]) -> None:
    """500 faces in the place of all: their largest error is less, the least of the shuffled ones more."""
    points = [face.points_px for face in evenly(fairface, 500)]
    camera = camera_matrix(224, 224)
    faces, shuffled = errors_mm(points, camera), errors_mm(shuffle(points), camera)
    assert faces.max() < 0.8 * WORST_MM < WORST_MM < 0.8 * shuffled.min()
    assert limit(faces, shuffled) == pytest.approx(WORST_MM, abs=2)


def test_who_looks_ahead_has_no_pitch_in_the_mean(shared: Path) -> None:
    """Nothing is fitted to these: people who were asked to look into the camera, with points by hand."""
    pitches = []
    for template in sorted((shared / "data/london").glob("*.tem"))[::2]:
        pose = head_pose(Landmarks.from_points(ibug68(read_template(template)), IBUG68), camera_matrix(640, 640))
        assert pose is not None
        pitches.append(np.degrees(pose.pitch_rad))
    assert len(pitches) == 51
    assert abs(np.mean(pitches)) < 1.5
    assert np.std(pitches) < 5
