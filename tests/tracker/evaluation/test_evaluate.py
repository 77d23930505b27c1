"""Reports say what the papers mean, and through the detector they measure what the tracker would give."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tracker import Frame, Tracker
from tracker.datasets.labelled import labelled_faces, name_in, read_face
from tracker.datasets.pts_files import write_pts
from tracker.datasets.sample import DatasetError
from tracker.datasets.w300 import SPLITS
from tracker.detectors.base import Detection, Image
from tracker.detectors.yunet import CALIBRATION
from tracker.engines.base import EngineOutput
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from tracker.evaluate import evaluate, main
from tracker.evaluation.stills import MAX_FACES, Evaluation, nearest
from tracker.face.convert import convert
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import extent, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG49, IBUG51, IBUG68, WFLW98, Scheme
from tracker.metrics.accuracy import Errors, FaceError, face_error, plot_ced, summary, table
from tracker.metrics.nme import normaliser
from tracker.result import FrameResult, TrackedFace
from tracker.sources.demo import DemoClip

Array = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared/data"
MODEL = next((m for m in (ROOT / "tracker/weights/edge68.onnx", ROOT / "runs/pilot.onnx") if m.exists()), None)
TRAINING = SHARED / "300w"

needs_model = pytest.mark.skipif(MODEL is None, reason="needs tracker/weights/edge68.onnx")
needs_faces = pytest.mark.skipif(not TRAINING.exists(), reason="needs the faces of ../shared/data/300w")


def face_px(x: float = 100.0, y: float = 90.0, width: float = 80.0) -> Array:
    """(68, 2) no face, but its eyes and its extent are where a face has them."""
    points = np.random.default_rng(1).uniform(0.1, 0.9, (68, 2))
    points[0], points[16], points[8] = (0, 0.3), (1, 0.3), (0.5, 1)
    points[19] = (0.3, 0)
    points[36:42] = (0.2, 0.3) + 0.02 * np.arange(12).reshape(6, 2)
    points[42:48] = (0.6, 0.3) + 0.02 * np.arange(12).reshape(6, 2)
    return np.array(points * width + (x, y))


def write_face(folder: Path, name: str, points_px: Array, image: NDArray[Any] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    image = np.full((200, 220, 3), 90, np.uint8) if image is None else image
    assert cv2.imwrite(str(folder / f"{name}.png"), image)
    write_pts(folder / f"{name}.pts", points_px)


class TestLabelledFaces:
    def test_splits_of_300w(self, tmp_path: Path) -> None:
        for folder in {part for parts in SPLITS.values() for part in parts}:
            write_face(tmp_path / folder, "one", face_px())
        names = {split: [name_in(tmp_path, f) for f in labelled_faces("300w", tmp_path, split)] for split in SPLITS}
        assert names["common"] == names["helen-test"] + names["lfpw-test"]
        assert names["full"] == names["common"] + names["challenging"]
        assert names["challenging"] == ["ibug/one"]
        assert names["helen-train"] == ["helen/trainset/one"]
        assert not set(names["full"]) & set(names["train"])
        assert len(set(names["train"])) == 3

    def test_folder(self, tmp_path: Path) -> None:
        write_face(tmp_path, "größe", face_px(), np.zeros((250, 260), np.uint8))
        (face,) = labelled_faces("folder", tmp_path)
        image_rgb, points_px = read_face(face)
        assert name_in(tmp_path, face) == "größe"
        assert image_rgb.shape == (250, 260, 3)
        np.testing.assert_allclose(points_px, face_px(), atol=1e-3)

    def test_pictures_are_rgb(self, tmp_path: Path) -> None:
        write_face(tmp_path, "blue", face_px(), np.full((250, 250, 3), (255, 0, 10), np.uint8))
        assert read_face(labelled_faces("folder", tmp_path)[0])[0][4, 4].tolist() == [10, 0, 255]

    def test_missing_folders_are_named(self, tmp_path: Path) -> None:
        write_face(tmp_path / "lfpw/testset", "one", face_px())
        with pytest.raises(TrackerError, match=r"--split full .*helen/testset, .*ibug; correct --root,") as error:
            labelled_faces("300w", tmp_path, "full")
        assert str(error.value).endswith("a --split whose folders are there: lfpw-test, lfpw")
        with pytest.raises(TrackerError, match=r"--split full .*ibug; correct --root$"):
            labelled_faces("300w", tmp_path / "lfpw", "full")
        with pytest.raises(TrackerError, match=r"--dataset folder .*nowhere"):
            labelled_faces("folder", tmp_path / "nowhere")
        with pytest.raises(TrackerError, match=r"found none; each face is a NAME.jpg beside its NAME.pts"):
            labelled_faces("folder", tmp_path)

    def test_broken_ones(self, tmp_path: Path) -> None:
        write_face(tmp_path, "flat", np.full((68, 2), 7.0))
        write_face(tmp_path, "broken", face_px())
        (tmp_path / "broken.png").write_bytes(b"no picture")
        with pytest.raises(TrackerError, match=r"flat.pts: its points are all in one place"):
            labelled_faces("folder", tmp_path)
        invalid: list[DatasetError] = []
        (broken,) = labelled_faces("folder", tmp_path, invalid=invalid)
        assert [str(error) for error in invalid] == [f"{tmp_path / 'flat.pts'}: its points are all in one place"]
        with pytest.raises(ValueError, match=r"broken.png cannot be decoded as a picture"):
            read_face(broken)
        write_face(tmp_path, "few", face_px()[:5])
        with pytest.raises(TrackerError, match=r"few.pts: expected the 68 points of ibug68, got 5; .* --scheme"):
            labelled_faces("folder", tmp_path, invalid=invalid)

    def test_absurd_ones_are_named(self, tmp_path: Path) -> None:
        far = face_px()
        far[30] = (1e4, 90)
        write_face(tmp_path, "far", far)
        write_face(tmp_path, "elsewhere", face_px() + 1000)
        write_face(tmp_path, "left_of_it", face_px() - 100)
        elsewhere, point, outside = labelled_faces("folder", tmp_path)
        with pytest.raises(ValueError, match=r"elsewhere.pts: none of its points lies in its picture of 220 x 200"):
            read_face(elsewhere)
        with pytest.raises(ValueError, match=r"far.pts: a point lies \d+ pixels outside its picture of 220 x 200"):
            read_face(point)
        np.testing.assert_allclose(read_face(outside)[1], face_px() - 100, atol=1e-3)  # a face that the border cuts


class TestFigures:
    @given(st.floats(0, 20), st.floats(0, 6.3))
    def test_a_shift_is_its_length_over_each_norm(self, length: float, angle: float) -> None:
        truth = face_px()
        points = truth + length * np.array([np.cos(angle), np.sin(angle)])
        error = face_error(Landmarks.from_points(points, IBUG68), truth, 0.9)
        eyes = [truth[group].mean(0) for group in (slice(36, 42), slice(42, 48))]
        norms = {
            "ocular": np.linalg.norm(truth[36] - truth[45]),
            "pupil": np.linalg.norm(eyes[0] - eyes[1]),
            "box": np.sqrt(np.prod(np.ptp(truth, axis=0))),
            "diagonal": np.hypot(*np.ptp(truth, axis=0)),
        }
        assert error.nme == pytest.approx({by: length / norm for by, norm in norms.items()}, abs=1e-12)
        assert error.parts == pytest.approx(dict.fromkeys(IBUG68.groups, error.nme["ocular"]), abs=1e-12)

    def test_parts_are_apart(self) -> None:
        truth = face_px()
        points = truth.copy()
        points[48:] += (3, 4)
        parts = face_error(Landmarks.from_points(points, IBUG68), truth, 1.0).parts
        assert parts.pop("mouth") == pytest.approx(5 / np.linalg.norm(truth[36] - truth[45]))
        assert set(parts.values()) == {0}

    def test_missing_faces_are_failures_but_not_in_the_mean(self) -> None:
        errors: Errors = {"a": error_of(0.02), "gone": None, "b": error_of(0.06), "c": error_of(0.09)}
        figures = summary(errors)
        assert (figures["found"], figures["faces"]) == (3, 4)
        assert figures["nme_percent"]["ocular"] == pytest.approx(100 * (0.02 + 0.06 + 0.09) / 3, abs=1e-4)
        assert figures["parts_nme_percent"]["jaw"] == figures["nme_percent"]["ocular"]
        assert figures["failure_percent"] == {"ocular": {"0.05": 75, "0.07": 50, "0.08": 50, "0.10": 25}}
        assert figures["auc"]["ocular"]["0.05"] == pytest.approx((0.05 - 0.02) / 0.05 / 4, abs=1e-3)
        assert [face["name"] for face in figures["worst"]] == ["gone", "c", "b", "a"]
        assert figures["worst"][0]["nme_percent"] is None
        json.dumps(figures, allow_nan=False)

    def test_failures_and_areas_by_every_normaliser(self) -> None:
        """Papers give COFW's by the pupils and Menpo's, COFW-68's and AFLW's by the box up to 7 %."""
        errors: Errors = {
            "a": FaceError({"ocular": 0.02, "pupil": 0.11, "box": 0.01}, {"jaw": 0.0}, 1.0),
            "b": FaceError({"ocular": 0.04, "pupil": 0.06, "box": 0.035}, {"jaw": 0.0}, 1.0),
            "gone": None,
        }
        figures = summary(errors)
        assert figures["failure_percent"]["pupil"]["0.10"] == pytest.approx(200 / 3, abs=1e-3)
        assert figures["failure_percent"]["box"]["0.07"] == pytest.approx(100 / 3, abs=1e-3)
        assert figures["auc"]["box"]["0.07"] == pytest.approx(((0.07 - 0.01) + (0.07 - 0.035)) / 0.07 / 3, abs=1e-3)
        printed = table({"set": figures})
        assert "FR pupil over 0.10, %" in printed and "AUC box to 0.07" in printed

    def test_a_box_that_not_every_face_has_is_left_out(self) -> None:
        with_box = FaceError({"ocular": 0.02, "face_box": 0.01}, {"jaw": 0.0}, 1.0)
        assert [*summary({"a": error_of(0.02), "b": with_box})["nme_percent"]] == ["ocular"]
        assert [*summary({"a": with_box, "b": with_box})["auc"]] == ["ocular", "face_box"]

    def test_the_data_sets_own_box(self) -> None:
        truth = face_px()
        found = Landmarks.from_points(truth + (3, 4), IBUG68)
        error = face_error(found, truth, 1.0, (80.0, 45.0))
        assert error.nme["face_box"] == pytest.approx(5 / 60)
        assert error.nme["face_diagonal"] == pytest.approx(5 / np.hypot(80, 45))
        for none in (None, (0.0, 45.0)):
            assert "face_box" not in face_error(found, truth, 1.0, none).nme

    def test_ten_worst(self) -> None:
        figures = summary({f"{i:02}": error_of(i / 100) for i in range(30)})
        assert [face["name"] for face in figures["worst"]] == [str(i) for i in range(29, 19, -1)]

    def test_table_aligns_even_when_nothing_is_found(self) -> None:
        lines = table({"true boxes": summary({"a": error_of(0.03)}), "yunet": summary({"a": None})}).splitlines()
        assert len({len(line) for line in lines}) == 1
        assert lines[0].split() == ["true", "boxes", "yunet"]
        assert lines[1].split()[2:] == ["1", "of", "1", "0", "of", "1"]
        assert lines[2].split() == ["NME", "ocular,", "%", "3.00", "-"]


def error_of(ocular: float) -> FaceError:
    return FaceError({"ocular": ocular}, {"jaw": ocular}, 1.0)


class Knows:
    """An engine that gives fixed points in the crop, surely or not."""

    def __init__(self, points_px: Array, score: float = 1.0, scheme: str = "ibug68") -> None:
        self.spec = ModelSpec(64, scheme, presence=0.5, decode="", licence="", config={}, commit="")
        self.points_px, self.score = points_px, score

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        shape = (len(crops), len(self.points_px))
        return EngineOutput(
            np.broadcast_to(self.points_px.astype(np.float32), (*shape, 2)),
            np.full(shape, self.score, np.float32),
            np.ones((*shape, 3), np.float32),
        )


class Sees:
    """A detector that gives fixed detections."""

    name = "yunet"
    calibration = CALIBRATION

    def __init__(self, *found: Detection) -> None:
        self.found = list(found)

    def detect(self, image_rgb: Image) -> list[Detection]:
        return self.found


def detection(points_px: Array, score: float) -> Detection:
    eyes = np.stack([points_px[36:42].mean(0), points_px[42:48].mean(0)])
    return Detection(extent(points_px), score, eyes)


class TestEvaluation:
    picture = np.zeros((300, 300, 3), np.uint8)
    truth = face_px()
    in_crop = transform_points(roi_of_landmarks(truth).crop_from_image(64), truth)

    def evaluate(
        self, monkeypatch: pytest.MonkeyPatch, seen: Sees, score: float = 1.0, scheme: str = "ibug68"
    ) -> Evaluation:
        """With an engine that gives the truth in the crop of its labels, and a detector that gives those detections."""
        monkeypatch.setattr("tracker.tracking.tracker.load_detector", lambda *asked: seen)
        return Evaluation(Tracker(Knows(self.in_crop, score, scheme), "yunet", max_faces=MAX_FACES))

    def test_true_box_is_one_pass_over_the_labels_view(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tracker.tracking.tracker.load_detector", lambda *asked: Sees())
        evaluation = Evaluation(Tracker(Knows(np.add(self.in_crop, (0.6, 0.8))), "yunet"))
        result = evaluation.face(self.picture, self.truth)
        one_px = roi_of_landmarks(self.truth).side_px / 64
        assert result.true_box.nme["box"] == pytest.approx(one_px / np.sqrt(np.prod(extent(self.truth)[2:])))
        assert result.detected is None
        assert result.missed == "not detected"

    def test_the_nearest_face_counts_not_the_surest(self) -> None:
        other, here = detection(face_px(10, 0, 70), 0.99), detection(self.truth + 3, 0.7)
        assert nearest([other, here], extent(self.truth)) is here
        assert nearest([other], extent(self.truth)) is None
        assert nearest([], extent(self.truth)) is None

    def test_a_larger_face_beside_it_does_not_hide_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here, larger = 0.5 * self.truth, detection(face_px(120, 100, 150), 0.99)
        assert self.evaluate(monkeypatch, Sees(larger)).face(self.picture, here).detected is None
        seen = Sees(larger, detection(here, 0.9))
        assert self.evaluate(monkeypatch, seen).face(self.picture, here).detected is not None

    def test_a_face_the_tracker_would_refuse_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        evaluation = self.evaluate(monkeypatch, Sees(detection(self.truth, 0.7)), score=0.4)
        result = evaluation.face(self.picture, self.truth)
        assert result.detected is None
        assert result.missed.startswith("not detected; ") and "scored too low for a face" in result.missed
        assert result.to_json()["detector"] == {"missed": result.missed}
        assert result.true_box.score == pytest.approx(0.4)

    def test_other_schemes_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(
            TrackerError, match=r"the labels are ibug68, the model gives cofw29: .* no other scheme"
        ) as e:
            self.evaluate(monkeypatch, Sees(), scheme="cofw29")
        assert str(e.value).endswith("; give another --model")

    def test_unreadable_faces_are_skipped_and_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_face(tmp_path, "good", self.truth)
        write_face(tmp_path, "broken", self.truth)
        (tmp_path / "broken.png").write_bytes(b"")
        write_face(tmp_path, "elsewhere", self.truth + 1000)
        faces = labelled_faces("folder", tmp_path)
        results, skipped = self.evaluate(monkeypatch, Sees()).faces(faces, tmp_path)
        assert list(results) == ["good"]
        assert "broken.png" in skipped[0]
        assert "elsewhere.pts" in skipped[1]
        assert len(caplog.records) == 2


def wide_face(scheme: Scheme) -> Array:
    """(K, 2) no face, with its extent and its eyes' corners where a face has them, in any scheme."""
    points = np.random.default_rng(1).uniform(60, 240, (scheme.count, 2))
    right, left = scheme.ocular
    points[[*right, *left]] = (100, 120), (200, 120)
    points[[0, -1]] = (50, 50), (250, 250)  # of every scheme used here on the chin, the jaw or a pupil
    return points


WFLW_FACE = wide_face(WFLW98)
POINTS_OF = {
    target: convert(Landmarks.from_points(WFLW_FACE, WFLW98), target).points_px
    for target in (WFLW98, IBUG68, IBUG51, IBUG49)
}
"""The same face in each of these schemes."""


class TestOtherSchemes:
    """A model of one scheme on labels of another: both become the largest scheme that both lead to."""

    picture = np.zeros((300, 300, 3), np.uint8)

    def evaluation(self, monkeypatch: pytest.MonkeyPatch, model: Scheme, labels: Scheme, off_px: float) -> Evaluation:
        """An engine that answers the model's points in the crop, off by some pixels of the picture to the right."""
        monkeypatch.setattr("tracker.tracking.tracker.load_detector", lambda *asked: Sees())
        known = POINTS_OF[model]
        roi = roi_of_landmarks(known)
        in_crop = transform_points(roi.crop_from_image(64), known + (off_px, 0))
        return Evaluation(Tracker(Knows(in_crop, scheme=model.name), "yunet"), labels)

    @pytest.mark.parametrize(
        ("model", "labels", "compared"),
        [
            (IBUG68, WFLW98, IBUG68),
            (IBUG51, WFLW98, IBUG51),
            (IBUG49, IBUG68, IBUG49),
            (IBUG51, IBUG51, IBUG51),
        ],
    )
    def test_labels_become_the_models(
        self, monkeypatch: pytest.MonkeyPatch, model: Scheme, labels: Scheme, compared: Scheme
    ) -> None:
        """In the very view that the model expects; each error over the length of the scheme compared in."""
        evaluation = self.evaluation(monkeypatch, model, labels, off_px=3.0)
        result = evaluation.face(self.picture, POINTS_OF[labels])
        assert evaluation.comparison.scheme is compared
        for by, error in result.true_box.nme.items():
            length = normaliser(POINTS_OF[compared], compared, by)  # type: ignore[arg-type]
            assert error == pytest.approx(3.0 / length, rel=1e-4)
        assert set(result.true_box.parts) == set(compared.groups)

    @pytest.mark.parametrize(("model", "labels"), [(WFLW98, IBUG68), (WFLW98, IBUG49), (IBUG68, IBUG51)])
    def test_landmarks_become_the_labels(self, monkeypatch: pytest.MonkeyPatch, model: Scheme, labels: Scheme) -> None:
        """Measured twice, the second time in the view of the first landmarks, which the fixed engine has not moved."""
        evaluation = self.evaluation(monkeypatch, model, labels, off_px=0.0)
        calls: list[int] = []
        engine = evaluation.tracker.engine
        run = engine.run
        monkeypatch.setattr(engine, "run", lambda crops: calls.append(len(crops)) or run(crops))
        result = evaluation.face(self.picture, POINTS_OF[labels])
        assert evaluation.comparison.scheme is labels
        assert calls == [1, 1]
        assert np.isfinite(list(result.true_box.nme.values())).all()
        assert set(result.true_box.parts) == set(labels.groups)

    def test_a_face_is_found_by_its_box_in_the_common_scheme(self, monkeypatch: pytest.MonkeyPatch) -> None:
        evaluation = self.evaluation(monkeypatch, WFLW98, IBUG49, off_px=0.0)
        seen = Landmarks.from_points(WFLW_FACE + 2.0, WFLW98)
        found = FrameResult(0, 0.0, (TrackedFace(1, "tracking", 0.9, seen, seen),))
        monkeypatch.setattr(evaluation.tracker, "detect", lambda image: found)
        detected = evaluation.face(self.picture, POINTS_OF[IBUG49]).detected
        assert detected is not None
        length = normaliser(POINTS_OF[IBUG49], IBUG49)
        assert detected.nme["ocular"] == pytest.approx(np.hypot(2, 2) / length)

    def test_labels_without_a_length_in_the_common_scheme_are_skipped(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """WFLW's pupils are points of their own, iBUG's are the means of the eyes, which lie on each other here."""
        labels = WFLW_FACE.copy()
        labels[60:76] = (150, 120)
        labels[[60, 68]], labels[[64, 72]] = (100, 120), (200, 120)
        write_face(tmp_path, "odd", labels, self.picture)
        faces = labelled_faces("folder", tmp_path, scheme=WFLW98)
        results, skipped = self.evaluation(monkeypatch, IBUG68, WFLW98, 0.0).faces(faces, tmp_path)
        assert not results
        assert skipped == [
            f"{tmp_path / 'odd.pts'}: its points are all in one place, so the error cannot be normalised"
        ]
        results, skipped = self.evaluation(monkeypatch, WFLW98, WFLW98, 0.0).faces(faces, tmp_path)
        assert (list(results), skipped) == (["odd"], [])

    @needs_model
    def test_on_the_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name, points in (("a", WFLW_FACE), ("b", WFLW_FACE + 9)):
            write_face(tmp_path, name, points, self.picture)
        report = tmp_path / "out.json"
        evaluate("folder", tmp_path, report, model=str(MODEL), scheme="wflw98")
        record = json.loads(report.read_text())
        assert (record["scheme"], record["counts"]["measured"]) == ("ibug68", 2)
        title = capsys.readouterr().out.splitlines()[0]
        assert title.endswith("; labels of wflw98 and landmarks of ibug68, compared as ibug68")

    @needs_model
    def test_a_public_set_has_its_own_scheme_and_test_faces(self, tmp_path: Path) -> None:
        """WFLW, of four faces in one picture; evaluation has its reader and splits from where training has them."""
        images, lists = tmp_path / "WFLW_images", tmp_path / "WFLW_annotations/list_98pt_rect_attr_train_test"
        images.mkdir()
        lists.mkdir(parents=True)
        assert cv2.imwrite(str(images / "a.png"), self.picture)
        lines = [
            " ".join(map(str, [*points.ravel(), 50, 50, 250, 250, 1, 0, 0, 0, 0, 0, "a.png"]))
            for points in (WFLW_FACE, WFLW_FACE + 9, WFLW_FACE + 5000)
        ]
        (lists / "list_98pt_rect_attr_test.txt").write_text("\n".join([*lines, "1 2 3 a.png"]))
        report = tmp_path / "out.json"
        evaluate("wflw", tmp_path, report, model=str(MODEL))
        record = json.loads(report.read_text())
        assert (record["split"], record["scheme"]) == ("test", "ibug68")
        assert [*record["by_face"]] == ["WFLW_images/a.png", "WFLW_images/a.png face 1"]
        assert record["counts"] == {"labelled": 4, "measured": 2, "skipped": 2}
        assert "list_98pt_rect_attr_test.txt:4: expected 206 numbers" in record["skipped"][0]
        assert "a.png face 2: none of its points lies in its picture" in record["skipped"][1]
        with pytest.raises(TrackerError, match=r"list_98pt_rect_attr_train\.txt: .*; --root of wflw holds WFLW_annot"):
            evaluate("wflw", tmp_path, report, "train", model=str(MODEL))
        with pytest.raises(TrackerError, match=r"--dataset wflw has no --split full; give one of train, test"):
            evaluate("wflw", tmp_path, report, "full", model=str(MODEL))

    @needs_model
    @pytest.mark.parametrize(
        ("dataset", "scheme", "sentence"),
        [
            ("folder", "ibug67", "--scheme: unknown landmark scheme 'ibug67'; known: ibug68, wflw98"),
            ("folder", "WFLW-98", "; did you mean wflw98?"),
            ("300w", "ibug68", "--scheme is for --dataset folder; the labels of 300w are ibug68"),
            ("300vw", "wflw98", "--scheme is for --dataset folder; the labels of 300vw are ibug68"),
            ("wflw", "ibug68", "--scheme is for --dataset folder; the labels of wflw are wflw98"),
            ("folder", "cofw29", "the labels are cofw29, the model gives ibug68: landmarks of ibug68 and cofw29"),
            ("folder", "wflw98", "a.pts: expected the 98 points of wflw98, got 68; give the labels' scheme with"),
        ],
    )
    def test_what_is_refused(self, dataset: Any, scheme: str, sentence: str, tmp_path: Path) -> None:
        write_face(tmp_path, "a", face_px())
        with pytest.raises(TrackerError, match=re.escape(sentence)):
            evaluate(dataset, tmp_path, tmp_path / "out.json", model=str(MODEL), scheme=scheme)


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of the demo clip with their labels."""
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    folder, clip = tmp_path_factory.mktemp("demo"), DemoClip()
    for index in (0, 60, 120):
        bgr = np.ascontiguousarray(clip.picture(index)[..., ::-1])
        write_face(folder, f"frame{index:03}", clip.truth_px(index), bgr)
    return folder


@needs_model
@pytest.mark.parametrize("detector", ["auto", "yunet", "blazeface"])
def test_through_the_detector_is_what_the_tracker_gives(demo_folder: Path, detector: Any) -> None:
    assert MODEL is not None
    evaluation = Evaluation(Tracker(MODEL, detector, max_faces=4))
    for face in labelled_faces("folder", demo_folder):
        image_rgb, truth_px = read_face(face)
        (tracked,) = Tracker(MODEL, detector).step(Frame(image_rgb, 0.0, 0)).faces
        error = evaluation.face(image_rgb, truth_px).detected
        assert error is not None
        assert error.score == pytest.approx(tracked.score)
        assert error.nme == pytest.approx(face_error(tracked.raw, truth_px, 1.0).nme)


@needs_model
def test_a_face_that_is_upside_down_is_found_as_the_tracker_finds_it(demo_folder: Path) -> None:
    image_rgb, truth_px = read_face(labelled_faces("folder", demo_folder)[0])
    last = np.array(image_rgb.shape[1::-1]) - 1
    found = Evaluation(Tracker(MODEL)).face(np.ascontiguousarray(image_rgb[::-1, ::-1]), last - truth_px).detected
    assert found is not None and found.nme["ocular"] < 0.08


class TestCommand:
    """python -m tracker.evaluate."""

    @pytest.fixture
    def command(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
        def run(*arguments: object) -> int:
            monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
            return main()

        return run

    @pytest.fixture
    def folder(self, demo_folder: Path, tmp_path: Path) -> Path:
        """Of three faces, one broken."""
        for path in demo_folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "frame060.png").write_bytes(b"no picture")
        return tmp_path

    @needs_model
    def test_report(self, command: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("matplotlib", reason="needs the extra report")
        out = folder / "out.json"
        options = ("--dataset", "folder", "--root", folder, "--model", MODEL, "--detector", "yunet")
        assert command(*options, "--report", out) == 0
        report = json.loads(out.read_text())
        assert report["counts"] == {"labelled": 3, "measured": 2, "skipped": 1}
        assert "frame060.png" in report["skipped"][0]
        assert report["dataset"] == "folder"
        assert report["split"] is None
        assert report["detector"] == "yunet"
        assert report["model"].keys() == {"name", "sha256", "commit", "licence"}
        for mode in ("true_boxes", "through_detector"):
            assert 0 < report[mode]["nme_percent"]["ocular"] < 8
            assert report[mode]["found"] == 2
            ocular = [
                face[mode.replace("through_", "")]["nme_percent"]["ocular"] for face in report["by_face"].values()
            ]
            assert report[mode]["nme_percent"]["ocular"] == pytest.approx(np.mean(ocular), abs=1e-3)
        assert set(report["by_face"]) == {"frame000", "frame120"}
        picture = cv2.imread(str(folder / "out.png"))
        assert picture is not None
        assert picture.std() > 10
        printed = capsys.readouterr().out
        assert "2 faces, 1 skipped" in printed
        assert "2 of 2" in printed
        assert str(out) in printed
        assert not [path for path in folder.iterdir() if path.is_dir()]

    @needs_model
    def test_without_matplotlib(
        self,
        command: Callable[..., int],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        options = ("--dataset", "folder", "--root", folder, "--model", MODEL, "--detector", "blazeface")
        assert command(*options, "--report", folder / "out.json") == 0
        assert (folder / "out.json").exists()
        assert not (folder / "out.png").exists()
        assert "pip install 'landmark-tracker[report]'" in caplog.records[-1].getMessage()

    @needs_model
    def test_nothing_readable(
        self, command: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in folder.glob("*.png"):
            path.write_bytes(b"no picture")
        out = folder / "out.json"
        assert command("--dataset", "folder", "--root", folder, "--model", MODEL, "--report", out) == 2
        assert "none of the 3 faces" in capsys.readouterr().err
        assert not out.exists()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--dataset", "300w", "--root", "{}", "--report", "{}/o.json"), "lfpw/testset"),
            (("--dataset", "folder", "--root", "{}", "--report", "{}/none/o.json"), "a folder that exists"),
            (("--dataset", "folder", "--root", "{}", "--report", "{}/o.png"), "must name a .json file"),
            (
                ("--dataset", "folder", "--root", "{}/a", "--report", "{}/o.json", "--model", "x.onnx"),
                "x.onnx",
            ),
        ],
    )
    def test_mistakes_are_one_sentence(
        self,
        command: Callable[..., int],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        options: tuple[str, ...],
        said: str,
    ) -> None:
        write_face(tmp_path / "a", "one", face_px())
        assert command(*(option.format(tmp_path) for option in options)) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.startswith("tracker.evaluate: ")
        assert error.count("\n") == 1
        assert not list(tmp_path.glob("o.*"))


def test_plot_shows_both_curves() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra report")
    few = {str(i): error_of(i / 300) for i in range(30)}
    missing: Errors = dict.fromkeys(few)
    plots = (plot_ced({"a": few}, "title"), plot_ced({"a": few, "b": missing}, "title"))
    one, two = (cv2.imdecode(np.frombuffer(plot, np.uint8), cv2.IMREAD_COLOR) for plot in plots)
    assert one is not None
    assert two is not None
    assert one.shape == two.shape
    assert (one != two).any()
