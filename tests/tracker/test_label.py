"""Labels are steadier than a single view, the same from both sides, and read back by training; doubtful ones not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tests.tracker.conftest import FakeDetector
from tracker import Frame
from tracker.demo import DemoClip
from tracker.engines.onnx import OnnxEngine
from tracker.face.geometry import extent, flip_points, invert, transform_points
from tracker.face.schemes import IBUG68
from tracker.face.table import table_header
from tracker.label import Label, Labeller, main
from tracker.measure import Measurer
from tracker.models import landmark_model
from tracker.roi import BOX_HABITS, roi_of_detection

Array = NDArray[np.float64]
SEEN = range(0, 48, 6)  # frames of the clip before the face is covered


@pytest.fixture(scope="module")
def measurer() -> Measurer:
    return Measurer(OnnxEngine(landmark_model(None)))


@pytest.fixture(scope="module")
def labels(measurer: Measurer, fake_detector: FakeDetector, frames: list[Frame]) -> dict[int, Label]:
    labeller = Labeller(measurer, fake_detector)
    found = {index: list(labeller.label(frames[index].image_rgb)) for index in SEEN}
    assert {len(faces) for faces in found.values()} == {1}
    return {index: faces[0] for index, faces in found.items()}


def scatter(clip: DemoClip, points_px: dict[int, Array]) -> float:
    """RMS distance of each landmark from its mean, all frames brought back into the one picture they show."""
    back = np.array([transform_points(invert(clip.frame_from_source(i)), p) for i, p in points_px.items()])
    return float(np.sqrt(np.square(back - back.mean(0)).sum(-1).mean()))


class TestLabeller:
    def test_steadier_than_one_view(
        self, measurer: Measurer, fake_detector: FakeDetector, clip: DemoClip, frames: list[Frame], labels: Any
    ) -> None:
        single = {}
        for index in SEEN:
            truth = fake_detector.truth(index)
            roi = roi_of_detection(truth.box_px, truth.eyes_px, BOX_HABITS["yunet"])
            single[index] = measurer.measure_twice(frames[index].image_rgb, [roi])[0].landmarks.points_px
        mean = {index: label.points_px for index, label in labels.items()}
        assert scatter(clip, mean) < 0.8 * scatter(clip, single)

    def test_where_the_face_is(self, clip: DemoClip, labels: dict[int, Label]) -> None:
        for index, label in labels.items():
            truth = clip.truth_px(index)
            assert np.linalg.norm(label.points_px - truth, axis=1).mean() < 0.03 * extent(truth)[2]

    def test_the_mirrored_picture_gets_the_mirrored_labels(
        self, measurer: Measurer, clip: DemoClip, frames: list[Frame], labels: dict[int, Label]
    ) -> None:
        """Not exactly, because the views are laid around a first measurement, which is no mean."""

        class Mirrored(FakeDetector):
            def detect(self, image_rgb: NDArray[np.uint8]) -> list[Any]:
                (found,) = super().detect(image_rgb[:, ::-1])
                corners = np.concatenate([found.eyes_px[::-1], found.box_px[None, :2] + (found.box_px[2], 0)])
                *eyes, low = np.abs(np.array([image_rgb.shape[1] - 1, 0]) - corners)
                return [type(found)(np.concatenate([low, found.box_px[2:]]), found.score, np.array(eyes))]

        image = frames[0].image_rgb
        (mirrored,) = Labeller(measurer, Mirrored(clip)).label(np.ascontiguousarray(image[:, ::-1]))
        expected = flip_points(labels[0].points_px, image.shape[1], IBUG68.flip)
        assert_allclose(mirrored.points_px, expected, atol=0.01 * extent(expected)[2])

    def test_views_disagree_more_where_less_is_seen(
        self, measurer: Measurer, fake_detector: FakeDetector, frames: list[Frame], labels: dict[int, Label]
    ) -> None:
        small = cv2.resize(frames[0].image_rgb, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        blurred = cv2.resize(small, frames[0].image_rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        (worse,) = Labeller(measurer, fake_detector).label(blurred)  # type: ignore[arg-type]
        assert worse.disagreement > 1.5 * labels[0].disagreement


class TestCommand:
    @pytest.fixture
    def label(self, monkeypatch: pytest.MonkeyPatch, fake_detector: FakeDetector) -> Any:
        monkeypatch.setattr("tracker.label.load_detector", lambda *_: fake_detector)

        def run(*options: object) -> int:
            monkeypatch.setattr(sys, "argv", ["tracker.label", *map(str, options)])
            return main()

        return run

    @pytest.fixture
    def pictures(self, tmp_path: Path, frames: list[Frame]) -> Path:
        folder = tmp_path / "pictures"
        folder.mkdir()
        for index in (0, 30, 55):  # covered in the last
            cv2.imwrite(str(folder / f"{index}.png"), frames[index].image_rgb[..., ::-1])
        return folder

    def test_training_reads_what_it_writes(
        self, label: Any, pictures: Path, tmp_path: Path, labels: dict[int, Label], capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("torch", reason="needs the extra train")
        from train.datasets.folder import read_own

        (tmp_path / "tables").mkdir()
        table = tmp_path / "tables/faces.csv"
        assert label("--images", pictures, "--output", table) == 0
        assert "2 faces of 3 pictures; 0 left out as doubtful" in capsys.readouterr().out
        samples = read_own(table, "ibug68")
        assert [s.picture.resolve() for s in samples] == [pictures / "0.png", pictures / "30.png"]
        for index, sample in zip((0, 30), samples):
            assert_allclose(sample.points_px, labels[index].points_px, atol=0.006)

    def test_doubtful_faces_are_left_out(
        self, label: Any, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert label("--images", pictures, "--output", tmp_path / "faces.csv", "--disagreement", 1e-6) == 0
        assert "0 faces of 3 pictures; 2 left out as doubtful" in capsys.readouterr().out
        assert (tmp_path / "faces.csv").read_text() == ",".join(table_header(IBUG68)) + "\n"

    def test_no_folder(self, label: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert label("--images", tmp_path / "gone", "--output", tmp_path / "faces.csv") == 2
        assert "expected a folder of pictures" in capsys.readouterr().err

    def test_no_place_to_write(
        self, label: Any, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Said before the pictures are read, which may take an hour."""
        assert label("--images", pictures, "--output", tmp_path / "gone/faces.csv") == 2
        error = capsys.readouterr().err
        assert "cannot write" in error
        assert "--output" in error
