"""Detectors against labelled faces, their exact pixel mapping, odd picture sizes, and which one is taken."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import cast, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tracker.detectors.base import Array, Detection, Detector, Image, resize
from tracker.detectors.blazeface import BlazeFace, anchors, decode, letterbox, merge, overlaps
from tracker.detectors.loading import DetectorName, load_detector
from tracker.detectors.yunet import YuNet
from tracker.errors import TrackerError
from tracker.face.geometry import box_iou, extent, transform_points
from tracker.sources.demo import DemoClip
from tracker.weights import packaged
from tracker.weights.packaged import BLAZEFACE, YUNET, DetectorFile

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared/data"
FACES = SHARED / "300w/lfpw/testset"

needs_faces = pytest.mark.skipif(not FACES.exists(), reason="needs the faces of ../shared/data/300w")


@pytest.fixture(scope="module", params=[YuNet, BlazeFace], ids=["yunet", "blazeface"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return cast(Detector, request.param())


def read_rgb(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None, path
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_points(path: Path) -> Array:
    numbers = path.read_text().split("{")[1].split("}")[0].split()
    return np.array(numbers, np.float64).reshape(-1, 2) - 1


def closest(found: list[Detection], box_px: Array) -> Detection:
    assert found, "no face was found"
    return max(found, key=lambda face: box_iou(face.box_px, box_px))


@needs_faces
def test_boxes_and_eyes_lie_on_labelled_faces(detector: Detector) -> None:
    errors = []
    for path in sorted(FACES.glob("*.jpg"))[::20]:
        labels = read_points(path.with_suffix(".pts"))
        face = closest(detector.detect(read_rgb(path)), extent(labels))
        assert box_iou(face.box_px, extent(labels)) > 0.55, path.name
        assert 0.8 < face.score <= 1
        eyes = np.stack([labels[36:42].mean(0), labels[42:48].mean(0)])
        errors.append(np.linalg.norm(face.eyes_px - eyes, axis=1) / np.linalg.norm(eyes[1] - eyes[0]))
    assert len(errors) == 12
    assert np.max(errors) < 0.25 and np.mean(errors) < 0.12


@needs_faces
@pytest.mark.parametrize("factor", [2, 3])
def test_pixels_map_back_exactly(detector: Detector, factor: int) -> None:
    """A picture with each pixel repeated shrinks to the same network input, so only the mapping differs."""
    small, _ = resize(read_rgb(FACES / "image_0001.jpg"), (320 if detector.name == "yunet" else 128) / 800)
    large = small.repeat(factor, axis=0).repeat(factor, axis=1)
    one, other = detector.detect(small)[0], detector.detect(large)[0]
    assert_allclose(other.eyes_px, (one.eyes_px + 0.5) * factor - 0.5, atol=1e-6)
    assert_allclose(other.box_px[:2], (one.box_px[:2] + 0.5) * factor - 0.5, atol=1e-6)
    assert_allclose(other.box_px[2:], one.box_px[2:] * factor, atol=1e-6)


@needs_faces
def test_the_eye_on_the_left_comes_first_in_the_mirror_too(detector: Detector) -> None:
    image = read_rgb(FACES / "image_0025.jpg")
    mirrored = np.ascontiguousarray(image[:, ::-1])
    face, mirror = detector.detect(image)[0], detector.detect(mirrored)[0]
    assert face.eyes_px[0, 0] < face.eyes_px[1, 0] and mirror.eyes_px[0, 0] < mirror.eyes_px[1, 0]
    back = mirror.eyes_px[::-1] * [-1, 1] + [image.shape[1] - 1, 0]
    assert np.abs(back - face.eyes_px).max() < 0.1 * face.box_px[2]


@pytest.mark.skipif(not (SHARED / "multiface").exists(), reason="needs ../shared/data/multiface")
def test_many_faces_best_first() -> None:
    yunet, found, present = YuNet(), 0, 0
    for path in sorted((SHARED / "multiface").glob("*.jpg"))[:6]:
        faces = yunet.detect(read_rgb(path))
        assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
        labels = [extent(read_points(p)) for p in sorted(path.parent.glob(f"{path.stem}_*.pts"))]
        present += len(labels)
        found += sum(box_iou(closest(faces, box).box_px, box) > 0.3 for box in labels)
    assert present >= 18 and found >= present - 1


@given(
    width=st.one_of(st.integers(1, 40), st.sampled_from([320, 321, 4000])),
    height=st.one_of(st.integers(1, 40), st.sampled_from([320, 321, 4000])),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
@settings(max_examples=40, deadline=None)
def test_pictures_of_any_size(detector: Detector, width: int, height: int, seed: int | None) -> None:
    """Nothing crashes, and nothing that is not a number or far outside the picture is called a face."""
    if width * height > 200_000:
        width = 1
    image = np.full((height, width, 3), 200, np.uint8)
    if seed is not None:
        image = np.random.default_rng(seed).integers(0, 255, image.shape, np.uint8)
    found = detector.detect(image)
    for face in found:
        assert np.isfinite(face.box_px).all() and (face.box_px[2:] > 0).all()
        assert (np.abs(face.eyes_px) < 2 * max(width, height, 64)).all()
    if seed is None or min(width, height) == 1:
        assert found == []


def test_the_image_is_left_alone(detector: Detector) -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    image.setflags(write=False)
    detector.detect(image)
    detector.detect(image[::2, ::-1])  # a view that is not contiguous


@given(st.integers(1, 400), st.integers(1, 400))
def test_letterbox_is_in_the_middle_and_maps_corners(width: int, height: int) -> None:
    square, image_from_square = letterbox(np.full((height, width, 3), 255, np.uint8))
    rows, columns = np.flatnonzero(square.any((1, 2))), np.flatnonzero(square.any((0, 2)))
    assert square.shape == (128, 128, 3) and max(len(rows), len(columns)) == 128
    assert abs(rows[0] - (127 - rows[-1])) <= 1 and abs(columns[0] - (127 - columns[-1])) <= 1
    corners = [[columns[0] - 0.5, rows[0] - 0.5], [columns[-1] + 0.5, rows[-1] + 0.5]]
    expected = [[-0.5, -0.5], [width - 0.5, height - 0.5]]
    assert_allclose(transform_points(image_from_square, corners), expected, atol=1e-9)


def test_anchors_are_those_of_the_published_graph() -> None:
    """MediaPipe's options: strides 8, 16, 16, 16; two anchors a cell and layer; offset .5; fixed size."""
    expected = []
    layers = [8, 16, 16, 16]
    for stride in sorted(set(layers)):
        for y in range(128 // stride):
            for x in range(128 // stride):
                expected += [((x + 0.5) * stride, (y + 0.5) * stride)] * 2 * layers.count(stride)
    assert_allclose(anchors(), expected)
    assert anchors().shape == (896, 2)


def test_decode_beside_a_plain_reading() -> None:
    """x centre, y centre, width, height, then keypoints, all relative to the anchor, from the corner."""
    values = np.arange(16.0)[None] + 1
    low, high, right, left = decode(values, np.array([[40.0, 60.0]]))[0]
    assert_allclose(low, [40 + 1 - 3 / 2 - 0.5, 60 + 2 - 4 / 2 - 0.5])
    assert_allclose(high - low, [3, 4])
    assert_allclose([right, left], [[44.5, 65.5], [46.5, 67.5]])


def test_merge_averages_each_face_by_score() -> None:
    def box(x: float) -> list[list[float]]:
        return [[x, 0], [x + 10, 10], [x + 2, 3], [x + 8, 3]]

    faces = merge(np.array([box(0), box(50), box(1)]), np.array([0.6, 0.9, 0.8]))
    assert [score for _, score in faces] == [0.9, 0.8]
    assert_allclose(faces[0][0], box(50))
    assert_allclose(faces[1][0], box(0.8 / 1.4), atol=1e-12)
    assert merge(np.empty((0, 4, 2)), np.empty(0)) == []


@given(st.lists(st.floats(0, 50), min_size=4, max_size=4), st.lists(st.floats(0, 50), min_size=4, max_size=4))
def test_overlaps_equal_box_iou(a: list[float], b: list[float]) -> None:
    boxes = [np.add(box, [0, 0, 1, 1]) for box in (a, b)]
    corners = np.array([[box[:2], box[:2] + box[2:], [0, 0], [0, 0]] for box in boxes])
    assert_allclose(overlaps(corners[0], corners), [1, box_iou(*boxes)], atol=1e-9)


class TestLoading:
    @pytest.mark.parametrize("name", ["auto", "yunet", "blazeface"])
    def test_by_name(self, name: DetectorName, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        assert load_detector(name).name == name.replace("auto", "yunet")
        assert [(r.levelno, "yunet" in r.getMessage()) for r in caplog.records] == [(logging.INFO, True)] * (
            name == "auto"
        )

    @pytest.mark.parametrize(("file", "name"), [(YUNET, "yunet"), (BLAZEFACE, "blazeface")])
    def test_auto_takes_the_one_that_reads_the_given_file(self, file: DetectorFile, name: str, tmp_path: Path) -> None:
        folder = tmp_path / "modèles 模型"
        folder.mkdir()
        shutil.copy(file.path, folder)
        assert load_detector("auto", folder / file.name).name == name

    @pytest.mark.parametrize(("file", "name"), [(YUNET, "yunet"), (BLAZEFACE, "blazeface"), (BLAZEFACE, "mediapipe")])
    def test_a_damaged_package_is_one_sentence(
        self, file: DetectorFile, name: DetectorName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if name == "mediapipe":
            pytest.importorskip("mediapipe.tasks", reason="needs mediapipe")
        damaged = tmp_path / file.name
        damaged.write_bytes(file.path.read_bytes()[:-1])
        monkeypatch.setattr(DetectorFile, "path", damaged)
        with pytest.raises(TrackerError, match=r"is damaged: expected SHA-256 .* install landmark-tracker again"):
            load_detector(name)

    @pytest.mark.parametrize("file", [YUNET, BLAZEFACE], ids=lambda file: file.name)
    def test_what_is_checked_is_what_is_loaded(
        self, file: DetectorFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is replaced as soon as it was read: nothing opens it again by its name."""
        path = tmp_path / file.name
        shutil.copy(file.path, path)
        read = packaged._read

        def read_and_replace(target: Path, *most: int) -> bytes:
            content = read(target, *most)
            path.write_bytes(b"something else")
            return content

        monkeypatch.setattr(packaged, "_read", read_and_replace)
        assert load_detector("auto", path).detect(np.zeros((64, 64, 3), np.uint8)) == []
        assert path.read_bytes() == b"something else"

    def test_a_yunet_of_ones_own(self, tmp_path: Path) -> None:
        """Retrained, as it were: the same network with other bytes."""
        onnx = pytest.importorskip("onnx", reason="needs the extra export")
        network = onnx.load(YUNET.path)
        network.producer_name = "somebody"
        onnx.save(network, tmp_path / "mine.onnx")
        image = cv2.resize(np.asarray(DemoClip().picture(0)), (320, 240))
        mine, ours = (load_detector("yunet", path).detect(image) for path in (tmp_path / "mine.onnx", None))
        assert_allclose([face.box_px for face in mine], [face.box_px for face in ours])
        assert len(mine) == 1

    def test_files_that_are_no_yunet(self, tmp_path: Path) -> None:
        """Damaged ones, on which OpenCV can crash, and other networks: one sentence, or the network as it is."""
        code = """
import random, sys
from pathlib import Path
import numpy as np
from tracker.detectors.loading import load_detector
from tracker.errors import TrackerError
from tracker.weights.packaged import WEIGHTS, YUNET
path, refused = Path(sys.argv[1]), 0
contents = [WEIGHTS.joinpath("edge68.onnx").read_bytes(), b"", bytes(1000)]
for seed in range(40):
    draw = random.Random(seed)
    content = bytearray(YUNET.path.read_bytes())
    for _ in range(draw.choice([1, 3, 10])):
        content[draw.choice([draw.randrange(3000), -1 - draw.randrange(20000)])] = draw.randrange(256)
    contents.append(bytes(content))
for content in contents:
    path.write_bytes(content)
    try:
        load_detector("yunet", path).detect(np.zeros((240, 320, 3), np.uint8))
    except TrackerError as error:
        assert chr(10) not in str(error) and str(path) in str(error), error
        refused += 1
print(refused)
"""
        command = [sys.executable, "-c", code, str(tmp_path / "mine.onnx")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert 13 <= int(done.stdout) <= 42

    def test_what_is_no_plain_file_or_too_large(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.onnx")
        with pytest.raises(TrackerError, match=r"pipe\.onnx: cannot read the model: it is a pipe"):
            load_detector("yunet", tmp_path / "pipe.onnx")
        with (tmp_path / "large.onnx").open("wb") as file:
            file.truncate(packaged.LARGEST_DETECTOR + 1)
        with pytest.raises(TrackerError, match=r"large\.onnx: .* it has 67,108,865 bytes, at most 67,108,864 are"):
            load_detector("yunet", tmp_path / "large.onnx")

    def test_a_network_with_an_absurd_output_is_refused_before_it_runs(self, tmp_path: Path) -> None:
        """A padding of 16 million pixels would be computed for minutes."""
        onnx = pytest.importorskip("onnx", reason="needs the extra export")
        network = onnx.load(YUNET.path)
        node = next(node for node in network.graph.node if "multi_level_kps.1.conv2.weight" in str(node.input))
        next(each for each in node.attribute if each.name == "pads").ints[1] = 1 << 24
        onnx.save(network, tmp_path / "mine.onnx")
        start_s = time.process_time()
        with pytest.raises(TrackerError, match=r"expected YuNet's output kps_16 of \(1, 400, 10\), its network gives"):
            load_detector("yunet", tmp_path / "mine.onnx")
        assert time.process_time() - start_s < 5

    def test_own_file_without_onnxruntime(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine.onnx").write_bytes(YUNET.path.read_bytes() + b"more")
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(TrackerError, match="checking another needs ONNX Runtime"):
            load_detector("yunet", tmp_path / "mine.onnx")

    def test_opencv_without_reading_from_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As 4.8 is: the file it is given is a private copy of the bytes that were checked."""
        create, seen = cv2.FaceDetectorYN.create, []

        class OldDetector:
            @staticmethod
            def create(model: str, *rest: object) -> object:
                if not isinstance(rest[0], str):
                    raise TypeError("Can't convert object to 'str' for 'config'")
                seen.append((Path(model).read_bytes(), Path(model).parent.stat().st_mode & 0o777))
                return create(model, *rest)

        monkeypatch.setattr(cv2, "FaceDetectorYN", OldDetector)
        assert load_detector("yunet").detect(np.zeros((64, 64, 3), np.uint8)) == []
        assert seen == [(YUNET.path.read_bytes(), 0o700)]

    def test_unknown_name(self) -> None:
        with pytest.raises(TrackerError) as error:
            load_detector(cast(DetectorName, "yunett"))
        assert all(name in str(error.value) for name in get_args(DetectorName))

    def test_opencv_that_cannot_read_the_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(cv2.dnn, "readNetFromTFLite")
        monkeypatch.delattr(cv2, "FaceDetectorYN")
        for load in (YuNet, BlazeFace):
            with pytest.raises(TrackerError, match=r"OpenCV .* cannot read .*; install opencv-python"):
                load()

    def test_mediapipe_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "mediapipe", None)
        with pytest.raises(TrackerError) as error:
            load_detector("mediapipe")
        assert "pip install 'landmark-tracker[mediapipe]'" in str(error.value) and "\n" not in str(error.value)


@needs_faces
def test_mediapipe_agrees_with_our_own_reading() -> None:
    pytest.importorskip("mediapipe.tasks", reason="needs mediapipe")
    theirs, ours = load_detector("mediapipe"), BlazeFace()
    for path in sorted(FACES.glob("*.jpg"))[::20]:
        image = read_rgb(path)
        (a,), (b,) = theirs.detect(image), ours.detect(image)
        apart = np.linalg.norm(a.eyes_px - b.eyes_px, axis=1) / np.linalg.norm(b.eyes_px[1] - b.eyes_px[0])
        assert box_iou(a.box_px, b.box_px) > 0.85 and apart.max() < 0.15 and abs(a.score - b.score) < 0.1
    assert theirs.detect(np.zeros((1, 1, 3), np.uint8)) == []
