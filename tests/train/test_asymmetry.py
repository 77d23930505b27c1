"""Offsets of mirrored labels: measured from a model's answers, kept as a file, applied to mirrored faces alone."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.face.crop import Roi, roi_of_landmarks
from tracker.face.schemes import IBUG68
from train import mirror
from train.asymmetry import LARGEST, face_frame, move_mirrored, read_offsets, write_offsets
from train.augmentation import Augmentation, Choices, apply
from train.datasets import W300
from train.errors import SetupError
from train.loaders import FaceData

Array = np.ndarray[Any, np.dtype[np.float64]]
RIGHT_EYE, LEFT_EYE = 36, 45


def turned(points: Array, angle: float) -> Array:
    cosine, sine = math.cos(angle), math.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


@given(st.floats(-math.pi, math.pi), st.floats(0.1, 9))
def test_the_frame_follows_the_face(angle: float, scale: float) -> None:
    upright = np.random.default_rng(1).uniform(0, 100, (68, 2))
    upright[[RIGHT_EYE, LEFT_EYE]] = [[20, 40], [80, 40]]  # level
    frame = face_frame(turned(upright, angle) * scale, IBUG68)
    along_the_eyes = turned(np.array([[1.0, 0.0]]), angle)[0]
    np.testing.assert_allclose(frame[:, 0] / np.linalg.norm(frame[:, 0]), along_the_eyes, atol=1e-9)
    unit = np.ptp(turned(upright, angle) * scale, 0).max()
    np.testing.assert_allclose(frame.T @ frame / unit**2, np.eye(2), atol=1e-9)
    assert np.linalg.det(frame) > 0


def test_eyes_at_one_place_have_an_upright_frame(face68: Array) -> None:
    points = face68.copy()
    points[LEFT_EYE] = points[RIGHT_EYE]
    assert face_frame(points, IBUG68)[1, 0] == 0


@given(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05), st.floats(-0.6, 0.6))
def test_mirrored_labels_keep_the_annotators_bias(x: float, y: float, roll: float) -> None:
    """Labels lie a part of the face to one side of the true points, in every picture: also in the mirrored one."""
    rng = np.random.default_rng(2)
    truth = turned(rng.uniform(0, 100, (68, 2)) + [200, 100], roll)
    bias = np.array([x, y]) + rng.uniform(-0.01, 0.01, (68, 2))

    def label(points: Array) -> Array:
        return points + bias @ face_frame(points, IBUG68).T

    def mirrored(points: Array) -> Array:
        return (points * [-1, 1])[IBUG68.flip]

    offsets = bias - (bias * [-1, 1])[IBUG68.flip]
    swapped = mirrored(label(truth))
    wanted = label(mirrored(truth))
    moved = move_mirrored(swapped, IBUG68, offsets)
    size = np.ptp(truth, 0).max()
    assert np.abs(moved - wanted).max() < 0.012 * size  # the frame is that of biased points
    assert np.abs(moved - wanted).mean() < 0.2 * np.abs(swapped - wanted).mean() + 0.002 * size


def test_only_mirrored_faces_are_moved(face68: Array) -> None:
    image, points = np.zeros((200, 200, 3), np.uint8), face68 + 50
    offsets = np.full((68, 2), [0.02, 0.01])
    for flip in (False, True):
        choices = Choices(flip=flip, rotation_rad=0.3)
        crop, plain = apply(image, points, IBUG68, choices, 128)
        same, moved = apply(image, points, IBUG68, choices, 128, offsets)
        np.testing.assert_array_equal(crop, same)
        np.testing.assert_allclose(moved, plain + flip * offsets @ face_frame(plain, IBUG68).T)


class TestFile:
    def test_is_read_as_written(self, tmp_path: Path) -> None:
        offsets = np.random.default_rng(0).uniform(-0.05, 0.05, (68, 2)).round(5)
        write_offsets(tmp_path / "é.csv", offsets)
        np.testing.assert_array_equal(read_offsets(tmp_path / "é.csv", IBUG68), offsets)

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("point,x,y", "point,y,x", "expected the header point,x,y and 68 rows"),
            ("67,0.01000,0.01000\n", "", "68 rows"),
            ("67,0.01000,0.01000\n", "67,0.01000,0.01000\n68,0,0\n", "68 rows"),
            ("3,0.01000,0.01000", "3,0.01000", "68 rows"),
            ("3,0.01000,0.01000", "3,0.01000,a", "68 rows"),
            ("3,0.01000,0.01000", "4,0.01000,0.01000", "points in order"),
            ("3,0.01000,0.01000", "3,nan,0.01000", "offsets of at most 0.2"),
            ("3,0.01000,0.01000", "3,1.5,0.01000", "offsets of at most 0.2"),
        ],
    )
    def test_a_damaged_one_is_one_sentence(self, tmp_path: Path, old: str, new: str, words: str) -> None:
        path = tmp_path / "o.csv"
        write_offsets(path, np.full((68, 2), 0.01))
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(TrackerError, match=words) as raised:
            read_offsets(path, IBUG68)
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)

    @pytest.mark.parametrize("wrong", [0.304, -0.21, float("nan")])
    def test_what_a_training_would_refuse_is_not_written(self, tmp_path: Path, wrong: float) -> None:
        offsets = np.full((68, 2), 0.01)
        offsets[3, 1] = wrong
        with pytest.raises(TrackerError, match=r"of at most 0\.2 of the face, got .*the model does not fit the faces"):
            write_offsets(tmp_path / "o.csv", offsets)
        assert not (tmp_path / "o.csv").exists()

    @pytest.mark.parametrize("name", ["missing.csv", ""])
    def test_one_that_cannot_be_read(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(TrackerError, match="cannot be read"):
            read_offsets(tmp_path / name, IBUG68)


def test_a_training_moves_them_and_its_validation_does_not(w300: Path, tmp_path: Path) -> None:
    offsets = np.full((68, 2), 0.05)
    write_offsets(tmp_path / "o.csv", offsets)
    plain, moved = (FaceData(W300(w300), workers=0, mirror=path) for path in (None, tmp_path / "o.csv"))
    for data in (plain, moved):
        data.setup("fit")
    flipped = Choices(flip=True)
    with pytest.raises(SetupError, match=r"set data\.augmentation\.flip above 0"):
        FaceData(W300(w300), augmentation=Augmentation(flip=0.0), mirror=tmp_path / "o.csv").setup("fit")
    before, after = (data.training.crops.crop(0, flipped).points_px.numpy() for data in (plain, moved))
    np.testing.assert_allclose(after, move_mirrored(before, IBUG68, offsets), atol=1e-3)
    np.testing.assert_array_equal(*(data.validation.crop(0, flipped).points_px for data in (plain, moved)))


class FakeEstimator:
    """Stands for a model that puts its points a part of the crop to one side of the labels, in every picture."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.faces, _ = W300(engine.root).faces()
        self.seen = 0

    def estimate(self, image: Any, rois: list[Roi]) -> list[Any]:
        sample = self.faces[self.seen // 2]
        points = np.array(sample.points_px)
        if self.seen % 2:
            np.testing.assert_array_equal(image[:, ::-1], sample.read_image())
            points = (points * [-1, 1] + [image.shape[1] - 1, 0])[IBUG68.flip]
        expected = roi_of_landmarks(points)
        np.testing.assert_allclose([*rois[0].center_px, rois[0].side_px], [*expected.center_px, expected.side_px])
        self.seen += 1
        points = points + np.array([-0.01, 0.02]) @ face_frame(points, IBUG68).T
        return [SimpleNamespace(landmarks=SimpleNamespace(points_px=points))]


class TestCommand:
    @pytest.fixture
    def fake(self, w300: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = SimpleNamespace(spec=SimpleNamespace(scheme="ibug68"), root=w300)
        monkeypatch.setattr(mirror, "OnnxEngine", lambda path: engine)
        monkeypatch.setattr(mirror, "LandmarkEstimator", FakeEstimator)

    @pytest.mark.usefixtures("fake")
    def test_measures_what_depends_on_the_side_of_the_picture(
        self, w300: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "o.csv"
        given = f"--model edge68 --source train.datasets.W300 --source.root {w300} --output {output}"
        monkeypatch.setattr(sys, "argv", ["train.mirror", *given.split()])
        assert mirror.main() == 0
        np.testing.assert_allclose(read_offsets(output, IBUG68), np.tile([-0.02, 0.0], (68, 1)), atol=2e-3)
        assert "of 9 faces; on the mean -2.0" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"faces": 0}, "--faces: expected"),
            ({"output": Path("o.txt")}, "expected a .csv"),
            ({"model": Path("none.onnx")}, "none.onnx"),
            ({"source": W300(Path("nowhere"))}, "nowhere"),
            ({"output": Path("x" * 300 + ".csv")}, "cannot be written"),
            ({"output": Path("no/folder/o.csv")}, "no/folder is no file"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, w300: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
        given = {"model": Path("edge68"), "source": W300(w300), "output": tmp_path / "o.csv", **change}
        with pytest.raises(TrackerError, match=words):
            mirror.mirror(**given)
        assert not (tmp_path / "o.csv").exists()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--source.sources", "[]"], "data.source.sources: expected a list of data sets, got an empty one"),
            ([], "the following arguments are required: sources"),
        ],
    )
    def test_a_data_set_that_cannot_be_built_is_one_sentence(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        options: list[str],
        words: str,
    ) -> None:
        given = f"--model edge68 --source train.datasets.Combined --output {tmp_path / 'o.csv'}"
        monkeypatch.setattr(sys, "argv", ["mirror.py", *given.split(), *options])
        assert mirror.main() == 2
        said = capsys.readouterr().err
        assert said.startswith(f"train.mirror: {words}") and said.count("\n") == 1

    @pytest.mark.usefixtures("fake")
    def test_a_model_of_other_points_is_refused(self, w300: Path, tmp_path: Path) -> None:
        mirror.OnnxEngine(Path()).spec.scheme = "wflw98"  # type: ignore[misc]
        with pytest.raises(TrackerError, match="points of the data set, ibug68, got wflw98"):
            mirror.mirror(Path("edge68"), W300(w300), tmp_path / "o.csv")

    def test_faces_are_chosen_evenly(self, w300: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of nine faces of three folders, five: the first, the last and those between."""
        engine, chosen = SimpleNamespace(spec=SimpleNamespace(scheme="ibug68")), []
        monkeypatch.setattr(mirror, "OnnxEngine", lambda path: engine)
        monkeypatch.setattr(mirror, "LandmarkEstimator", lambda engine: SimpleNamespace(engine=engine))
        monkeypatch.setattr(
            mirror, "_difference", lambda _, face, image: chosen.append(face.picture) or np.zeros((68, 2))
        )
        _, count = mirror._measured(Path("edge68"), W300(w300), 5)
        pictures = [face.picture for face in W300(w300).faces()[0]]
        assert count == 5 and chosen == [pictures[index] for index in (0, 2, 4, 6, 8)]

    def test_pictures_that_do_not_decode_are_as_on_invalid_says(
        self, w300: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(w300, tmp_path / "faces")
        W300(tmp_path / "faces").faces()[0][3].picture.write_bytes(b"no picture")
        monkeypatch.setattr(mirror, "OnnxEngine", lambda path: SimpleNamespace(spec=SimpleNamespace(scheme="ibug68")))
        monkeypatch.setattr(mirror, "LandmarkEstimator", lambda engine: SimpleNamespace(engine=engine))
        monkeypatch.setattr(mirror, "_difference", lambda _, face, image: np.zeros((68, 2)))
        _, count = mirror._measured(Path("edge68"), W300(tmp_path / "faces", on_invalid="skip"), 1000)
        assert count == 8
        with pytest.raises(TrackerError, match=r"cannot be decoded as a picture .*leave them out with on_invalid=skip"):
            mirror._measured(Path("edge68"), W300(tmp_path / "faces"), 1000)

    def test_of_300w_lie_to_the_right(self, shared: Path, tmp_path: Path) -> None:
        """About 1 % of the face: twice what README.md of the research models says of the labels."""
        mirror.mirror(Path("edge68_300w"), W300(shared / "data/300w"), tmp_path / "o.csv", faces=40)
        offsets = read_offsets(tmp_path / "o.csv", IBUG68)
        assert 0.007 < offsets[:, 0].mean() < 0.014 and abs(offsets[:, 1].mean()) < 0.003
        assert np.abs(offsets).max() < LARGEST / 4
