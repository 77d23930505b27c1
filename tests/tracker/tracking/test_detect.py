"""One picture by itself: Tracker.detect, what it and the others take for a picture, and what results can show."""

from __future__ import annotations

import copy
import io
import json
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tracker.conftest import FakeDetector
from tracker import Frame, FrameResult, Tracker, TrackerError, as_rgb, draw_faces, draw_landmarks, to_pandas
from tracker.datasets.pts_files import read_pts
from tracker.detectors.base import roi_of_detection
from tracker.detectors.yunet import CALIBRATION
from tracker.sources import ArraySource, as_picture, read_picture
from tracker.tracking.estimator import LandmarkEstimator

Image = NDArray[np.uint8]
Make = Callable[..., Tracker]


@pytest.fixture
def tracker(make_tracker: Make) -> Tracker:
    return make_tracker()


@pytest.fixture
def image(frames: list[Frame]) -> Image:
    return frames[10].image_rgb


def points_of(result: FrameResult) -> NDArray[np.float64]:
    (face,) = result.faces
    return face.landmarks.points_px


class TestDetect:
    def test_leaves_the_track_alone(self, make_tracker: Make, frames: list[Frame]) -> None:
        """Pictures between the frames of a video: its results are what they were, coasting and ids included."""
        part = frames[46:56] + frames[66:70]  # covered from 50 on, and a cut before 68
        tracker, disturbed = make_tracker(), make_tracker()
        expected = [tracker.step(frame).to_json() for frame in part]
        got = []
        for index, frame in enumerate(part):
            got.append(disturbed.step(frame).to_json())
            if index % 3:
                continue
            (face,) = disturbed.detect(frames[80 if index % 2 else 0].image_rgb).faces
            assert (face.id, face.state) == (1, "tracking")
            small = np.ascontiguousarray(frames[0].image_rgb[::2, ::2])
            assert disturbed.step(Frame(small, 0.0, 0, still=True)).lost == ()
        assert got == expected
        assert any(face["state"] == "coasting" for record in got for face in record["faces"])

    def test_is_measured_twice_as_the_evaluation_does(
        self, tracker: Tracker, image: Image, fake_detector: FakeDetector
    ) -> None:
        (found,) = fake_detector.detect(image)
        roi = roi_of_detection(found, CALIBRATION)
        landmarks, score = LandmarkEstimator(tracker.engine).estimate_twice(image, [roi])[0]
        (face,) = tracker.detect(image).faces
        np.testing.assert_allclose(face.landmarks.points_px, landmarks.points_px, atol=1e-3)
        assert face.score == pytest.approx(score, abs=1e-5)
        assert face.raw.points_px is face.landmarks.points_px or (face.raw.points_px == face.landmarks.points_px).all()

    def test_groups_up_to_max_faces(self, shared: Path) -> None:
        """Real detectors: every labelled face of a group of seven, or as many of the largest as are asked for."""
        picture = shared / "data/multiface/18489332.jpg"
        labels = [read_pts(path) for path in sorted(picture.parent.glob(f"{picture.stem}_*.pts"))]
        with Tracker(max_faces=20) as tracker:
            faces = tracker.detect(picture).faces
        assert [face.id for face in faces] == [*range(1, len(faces) + 1)]
        for points in labels:
            size = np.linalg.norm(points[36] - points[45])
            errors = [np.linalg.norm(face.landmarks.points_px - points, axis=1).mean() / size for face in faces]
            assert min(errors) < 0.2  # it is this face; others are farther away than 2
        with Tracker(max_faces=2) as tracker:
            assert len(tracker.detect(picture).faces) == 2

    def test_names_its_file(self, tracker: Tracker, image: Image, tmp_path: Path) -> None:
        path = tmp_path / "größe: 1.png"
        path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
        for given in (path, str(path)):
            result = tracker.detect(given)
            assert (result.picture, result.path, result.image_rgb) == ("größe: 1.png", path, None)
            assert (points_of(result) == points_of(tracker.detect(image))).all()

    def test_after_close(self, tracker: Tracker, image: Image) -> None:
        tracker.close()
        with pytest.raises(TrackerError, match="was closed"):
            tracker.detect(image)


def pil_of(image: Image, mode: str = "RGB") -> Any:
    return pytest.importorskip("PIL.Image").fromarray(image).convert(mode)


def damaged(image: Any) -> Any:
    """A PIL image whose file, which it reads when its pixels are asked for, has a chunk of a name that is none."""
    file = io.BytesIO()
    image.save(file, "PNG")
    content = file.getvalue()
    second = content.rindex(b"IDAT", 0, content.rindex(b"IEND"))
    assert content.index(b"IDAT") < second
    return pytest.importorskip("PIL.Image").open(io.BytesIO(content[:second] + b"\0\1\2\3" + content[second + 4 :]))


class TestWhatIsAPicture:
    @pytest.mark.parametrize(
        "made",
        [
            lambda image: image[::-1][::-1],
            lambda image: np.asfortranarray(image),
            lambda image: np.dstack([image, image[..., 0]]),
            lambda image: image.copy().view(np.ma.MaskedArray),
            lambda image: as_rgb(image[..., ::-1]),
            lambda image: Frame(image, 5.0, 7),
            lambda image: pil_of(image),
            lambda image: pil_of(image, "RGBA"),
        ],
        ids=["strides", "Fortran", "RGBA", "masked", "as_rgb", "Frame", "PIL", "PIL RGBA"],
    )
    def test_the_same_picture_in_other_forms(self, tracker: Tracker, image: Image, made: Any) -> None:
        np.testing.assert_allclose(points_of(tracker.detect(made(image))), points_of(tracker.detect(image)), atol=1e-4)

    @pytest.mark.parametrize("made", [lambda grey: grey, lambda grey: grey[..., None], lambda grey: pil_of(grey, "L")])
    def test_grey(self, tracker: Tracker, image: Image, made: Any) -> None:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        expected = points_of(tracker.detect(np.dstack([grey] * 3)))
        assert (points_of(tracker.detect(made(grey))) == expected).all()

    @pytest.mark.parametrize(
        ("made", "said"),
        [
            (lambda image: None, "got None: was the file read.*cv2.imread returns None"),
            (lambda image: image / 255, r"of float64: convert it, \(255 \* image\).round\(\).astype\(np.uint8\)"),
            (lambda image: image.astype(np.float32), r"image.clip\(0, 255\).astype"),
            (lambda image: np.full((4, 4, 3), np.nan), "of float64: convert it"),
            (lambda image: image.astype(np.uint16), r"image // 257"),
            (lambda image: image > 99, r"of bool: convert it, 255 \* image.astype"),
            (lambda image: image.astype(np.int64), "of int64: convert it to 0..255 and uint8"),
            (lambda image: image.transpose(2, 0, 1), r"move the channels last, image.transpose\(1, 2, 0\)"),
            (lambda image: image[None], "these are several pictures; give them one at a time"),
            (lambda image: image[:0], r"got \(0, 320, 3\) of uint8"),
            (lambda image: image[..., :2], r"got \(240, 320, 2\) of uint8"),
            (lambda image: image[0, 0, 0], "got uint8"),
            (lambda image: image.tolist(), "got list; give one picture at a time, each as an array"),
            (lambda image: image.tobytes(), "got bytes"),
            (lambda image: 3, "got int"),
            (lambda image: object(), "got object"),
            (lambda image: pil_of(image[..., 0]).convert("I"), r"a PIL image of mode I: .* np.asarray\(image\) // 257"),
            (lambda image: pil_of(image[..., 0]).convert("F"), "a PIL image of mode F"),
            (lambda image: damaged(pil_of(image)), "a PIL image that cannot be read as RGB: broken PNG file"),
        ],
    )
    def test_one_sentence_for_what_is_none(self, tracker: Tracker, image: Image, made: Any, said: str) -> None:
        given = made(image)
        for use in (tracker.detect, as_picture, lambda it: draw_faces(it, FrameResult(0, 0.0, ()))):
            with pytest.raises(TrackerError, match=f"^expected a picture as an RGB array .*{said}"):
                use(given)  # type: ignore[operator]
        with pytest.raises(TrackerError, match=r"^step expected a Frame.*use detect for a picture"):
            tracker.step(given)
        with pytest.raises(TrackerError, match=r"^a frame's picture must be (an )?RGB"):
            Frame(given, 0.0, 0)
        assert tracker.step(Frame(image, 0.0, 0)).faces  # and goes on

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("missing.png", "expected a picture, but .*missing.png does not exist"),
            ("", "cannot be decoded as a picture: it is a folder"),
            ("notes.txt", "notes.txt cannot be decoded as a picture"),
        ],
    )
    def test_files(self, tracker: Tracker, tmp_path: Path, name: str, said: str) -> None:
        (tmp_path / "notes.txt").write_text("no picture")
        with pytest.raises(TrackerError, match=said):
            tracker.detect(tmp_path / name)


class TestRun:
    def test_a_picture_or_several(self, tracker: Tracker, frames: list[Frame]) -> None:
        images = [frame.image_rgb for frame in frames[:3]]
        (one,) = tracker.run(images[0])
        assert [face.id for face in one.faces] == [1]
        expected = [result.to_json() for result in tracker.run(ArraySource(images))]
        for given in (images, tuple(images), np.stack(images), (image for image in images), [*map(pil_of, images)]):
            assert [result.to_json() for result in tracker.run(given)] == expected
        assert [result.timestamp_s for result in tracker.run(images)] == pytest.approx([0, 1 / 30, 2 / 30])
        alone = [tracker.detect(image).faces[0].landmarks.points_px for image in images]
        stills = [result.faces[0].landmarks.points_px for result in tracker.run(ArraySource(images, still=True))]
        assert all((a == b).all() for a, b in zip(alone, stills))

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (None, "^expected a source: .* got None"),
            (True, "^expected a source: .* got bool"),
            (1.5, "^expected a source: .* got float"),
            (b"clip.mp4", "^expected a source: .* got bytes"),
            (memoryview(np.zeros((2, 2, 3), np.uint8)), "^expected a source: .* got memoryview"),
            ("missing.jpg", "^expected a picture or a folder of pictures, but missing.jpg does not exist"),
            ({"a": 1}, "^expected a source: .* got dict"),
            ([], "^expected pictures or names of pictures, got none"),
            ([None], "^expected a picture .* got None"),
            (["a.png", np.zeros((2, 2, 3), np.uint8)], "names of pictures only, or pictures only, got both"),
            ([np.zeros((2, 2, 3), np.uint8), "a.png"], "the name 'a.png'; read it first, for example with"),
            (np.zeros((2, 3, 4, 4, 3), np.uint8), "expected several pictures"),
            (np.zeros((2, 4, 5)), "of float64: convert it"),
            (
                [Frame(np.zeros((2, 2, 3), np.uint8), 0.0, 0)],
                "a Frame; give its image_rgb, or the frame",
            ),
        ],
    )
    def test_one_sentence_for_what_is_none(self, tracker: Tracker, given: Any, said: str) -> None:
        with pytest.raises(TrackerError, match=said):
            list(tracker.run(given))


class TestResults:
    def test_are_short(self, tracker: Tracker, image: Image, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
        result = tracker.step(Frame(image, 1.5, 45))
        assert re.match(r"FrameResult\(frame 45, 1\.500 s, 1 face: 1 tracking (1\.00|0\.9\d)\)", repr(result))
        assert repr(tracker.detect(tmp_path / "a.png")).startswith("FrameResult('a.png', 1 face: 1 tracking ")
        (face,) = result.faces
        assert repr(face).startswith("TrackedFace(1, tracking, score ") and "ibug68" in repr(face)
        assert repr(face.landmarks).startswith("Landmarks(ibug68, ") and "px at" in repr(face.landmarks)
        assert repr(face.landmarks.scheme) == "Scheme(ibug68, 68 points)"
        for each in (result, face, face.landmarks, Frame(image, 0.0, 0)):
            assert len(repr(each)) < 120 and "\n" not in repr(each)

    def test_plot(self, tracker: Tracker, image: Image) -> None:
        before = image.copy()
        result = tracker.detect(image)
        plotted = result.plot()
        assert (image == before).all() and plotted.shape == image.shape and plotted.dtype == np.uint8
        assert (plotted == draw_faces(image, result)).all() and (plotted == result.plot(pil_of(image))).all()
        x, y = points_of(result).round().astype(int).T
        assert (plotted[y, x] != image[y, x]).any(1).mean() > 0.9
        step = tracker.step(Frame(image, 0.0, 0))
        with pytest.raises(TrackerError, match=r"plot expected the picture .* give plot\(frame.image_rgb\)"):
            step.plot()
        assert step.plot(image).shape == image.shape

    def test_landmarks_are_drawn_by_themselves(self, tracker: Tracker, image: Image) -> None:
        (face,) = tracker.detect(image).faces
        drawn = draw_landmarks(image, face.landmarks)
        x, y = face.landmarks.points_px.round().astype(int).T
        assert (drawn[y, x] != image[y, x]).any(1).mean() > 0.9
        assert (drawn != image).any(2).sum() < (draw_faces(image, tracker.detect(image)) != image).any(2).sum()
        far = face.landmarks.at(face.landmarks.points_px + 1e6)
        assert (draw_landmarks(image, far) == image).all()

    def test_numbers_of_numpy_become_plain_ones(self, tracker: Tracker, image: Image) -> None:
        """As an application's own counter and clock may be."""
        result = tracker.step(Frame(image, np.float32(0.5), np.int64(3)))  # type: ignore[arg-type]
        for record in (result.to_dict(), result.to_json()):
            read = json.loads(json.dumps(record, allow_nan=False))
            assert (read["frame"], read["timestamp_s"]) == (3, 0.5)

    def test_to_dict_holds_everything_in_plain_types(self, tracker: Tracker, image: Image) -> None:
        for result in (tracker.detect(image), tracker.step(Frame(image, 0.5, 3))):
            record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
            (face,), (plain,) = result.faces, record["faces"]
            for name in ("points_px", "scores", "covariances_px2"):
                assert (np.array(plain[name]) == getattr(face.landmarks, name)).all()
            assert (np.array(plain["raw_points_px"]) == face.raw.points_px).all()
            assert (plain["id"], plain["state"], plain["scheme"]) == (1, "tracking", "ibug68")
            line = result.to_json()
            assert line.keys() <= record.keys() and line["faces"][0].keys() <= plain.keys()

    @pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy, copy.copy])
    def test_copies_draw_the_same(self, tracker: Tracker, image: Image, copied: Any) -> None:
        result = tracker.detect(image)
        assert (copied(result).plot() == result.plot()).all()
        assert copied(result).to_dict() == result.to_dict()

    def test_names_that_are_no_text(self) -> None:
        result = FrameResult(0, 0.0, (), picture="caf\udce9.jpg")
        assert json.dumps(result.to_json()).encode("ascii")
        assert result.to_dict()["picture"] == "caf\\udce9.jpg"
        assert repr(result).isprintable()


class TestPandas:
    def test_a_row_a_face(self, tracker: Tracker, frames: list[Frame]) -> None:
        pandas = pytest.importorskip("pandas")
        results = [tracker.detect(frames[0].image_rgb), FrameResult(1, 1.0, ()), tracker.step(frames[10])]
        table = to_pandas(results)
        assert isinstance(table, pandas.DataFrame)
        assert table["frame"].tolist() == [0, 10] and table["face_id"].tolist() == [1, 1]
        assert table.columns.tolist()[:6] == ["picture", "frame", "timestamp_s", "face_id", "state", "score"]
        for row, result in zip(table.itertuples(), (results[0], results[2])):
            assert [row.x_0, row.y_67] == [points_of(result)[0, 0], points_of(result)[67, 1]]
        empty = results[1].to_pandas()
        assert len(empty) == 0 and empty.columns.tolist() == table.columns.tolist()[:10]
        assert results[0].to_pandas().equals(table.iloc[:1])

    def test_missing_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        for use in (lambda: to_pandas([]), FrameResult(0, 0.0, ()).to_pandas):
            with pytest.raises(TrackerError, match="needs pandas, which is not installed; pip install pandas"):
                use()


def test_a_turned_picture_is_not_read_again(image: Image, tmp_path: Path) -> None:
    from tracker.sources.rotation import rotate_frame

    frame = Frame(image, 0.0, 0, still=True, name="a.png", path=tmp_path / "a.png")
    assert (rotate_frame(frame, 90).path, rotate_frame(frame, 90).name) == (None, "a.png")
    assert rotate_frame(frame).path == tmp_path / "a.png"
    assert read_picture(tmp_path / "a.png") is None
