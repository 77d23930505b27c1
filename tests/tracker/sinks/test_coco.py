"""COCO key points: what is in the file, that it appears whole or not at all, and what other programs read from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tests.tracker.sinks.sinks_shared import frame, run_on_full_disk, run_until_interrupted
from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import AFLW19, COFW29, IBUG49, IBUG51, IBUG68, WFLW98, Scheme
from tracker.result import FrameResult, State, TrackedFace
from tracker.run import run
from tracker.sinks import CocoKeypoints
from tracker.sinks.coco import keypoint_names, skeleton
from tracker.sources import Frame

HEIGHT, WIDTH = 120, 160
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def face(number: int, state: State = "tracking", scheme: Scheme = IBUG68, shift: float = 0.0) -> TrackedFace:
    """Its points lie in 10 to 100; shift moves them to the right."""
    points = np.random.default_rng(number).uniform(10, 100, (scheme.count, 2)) + (shift, 0)
    landmarks = Landmarks(points, np.full(scheme.count, 0.7), np.ones((scheme.count, 3)), scheme)
    return TrackedFace(number, state, 0.1 * number, landmarks, landmarks)


def written(path: Path, *results: FrameResult, scheme: Scheme = IBUG68) -> dict[str, Any]:
    with CocoKeypoints(path, scheme) as sink:
        for one in results:
            still = one.picture is not None
            sink.write(Frame(IMAGE, one.timestamp_s, one.index, still=still, name=one.picture), one)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_an_entry_for_every_frame_and_every_measured_face(tmp_path: Path) -> None:
    results = (
        FrameResult(0, 0.0, (face(3), face(1))),
        FrameResult(1, 0.1, ()),
        FrameResult(7, 0.7, (face(2), face(4, "coasting"))),
    )
    content = written(tmp_path / "out.json", *results)
    assert [image["file_name"] for image in content["images"]] == [f"frame_00000{i}.PNG" for i in (0, 1, 7)]
    assert all((image["width"], image["height"]) == (WIDTH, HEIGHT) for image in content["images"])
    annotations = content["annotations"]
    assert [(each["image_id"], each["attributes"]["track_id"]) for each in annotations] == [(1, 3), (1, 1), (3, 2)]
    assert [each["id"] for each in annotations] == [1, 2, 3] and [image["id"] for image in content["images"]] == [
        1,
        2,
        3,
    ]
    for each, one in zip(annotations, (face(3), face(1), face(2))):
        assert each["category_id"] == content["categories"][0]["id"]
        keypoints = np.reshape(each["keypoints"], (68, 3))
        assert_allclose(keypoints[:, :2], one.landmarks.points_px, atol=0.0051)
        assert (keypoints[:, 2] == 2).all() and each["num_keypoints"] == 68
        assert_allclose(each["bbox"], one.box_px, atol=0.011)
        assert each["area"] == pytest.approx(each["bbox"][2] * each["bbox"][3], abs=0.006)
        assert each["score"] == round(one.score, 4) and each["iscrowd"] == 0 and each["segmentation"] == []


def test_hidden_points_have_their_flag(tmp_path: Path) -> None:
    one = face(1)
    visibility = np.linspace(0, 1, 68)
    one = replace(one, landmarks=replace(one.landmarks, visibility=visibility))
    annotation = written(tmp_path / "out.json", FrameResult(0, 0.0, (one, face(2))))["annotations"]
    assert annotation[0]["keypoints"][2::3] == [1 if share < 0.5 else 2 for share in visibility]
    assert annotation[0]["num_keypoints"] == 68
    assert set(annotation[1]["keypoints"][2::3]) == {2}


def test_pictures_keep_their_names_and_have_no_tracks(tmp_path: Path) -> None:
    names = ("größe/a.jpg", "b\udc80.png")
    results = [FrameResult(i, 0.0, (face(1),), picture=name) for i, name in enumerate(names)]
    content = written(tmp_path / "out.json", *results)
    assert [image["file_name"] for image in content["images"]] == ["größe/a.jpg", "b\\udc80.png"]
    assert all("attributes" not in each for each in content["annotations"])


@settings(max_examples=40, deadline=None)
@given(shift=st.floats(-130, 180), seed=st.integers(0, 99))
def test_points_outside_are_not_labelled(tmp_path_factory: pytest.TempPathFactory, shift: float, seed: int) -> None:
    """COCO: such a point is 0, 0, 0 and is not counted; a face without any other is no annotation."""
    one = face(seed, shift=shift)
    content = written(tmp_path_factory.mktemp("coco") / "out.json", FrameResult(0, 0.0, (one,)))
    inside = [-0.5 <= x <= WIDTH - 0.5 for x in one.landmarks.points_px[:, 0].round(2).tolist()]
    assert len(content["annotations"]) == any(inside)
    for each in content["annotations"]:
        keypoints = np.reshape(each["keypoints"], (68, 3))
        assert (keypoints[:, 2] > 0).tolist() == inside and each["num_keypoints"] == sum(inside)
        assert not keypoints[~np.array(inside)].any()
        x, y, width, height = each["bbox"]
        assert x >= -0.5 and y >= -0.5 and x + width <= WIDTH - 0.499 and y + height <= HEIGHT - 0.499
        assert min(width, height, each["area"]) >= 0


@pytest.mark.parametrize("scheme", [IBUG68, WFLW98, COFW29, AFLW19, IBUG51, IBUG49], ids=lambda scheme: scheme.name)
def test_names_and_skeleton(scheme: Scheme) -> None:
    names, edges = keypoint_names(scheme), skeleton(scheme)
    assert len(set(names)) == len(names) == scheme.count
    assert [int(name.rsplit("_", 1)[1]) for name in names] == list(range(scheme.count))
    drawn = sum(len(curve.indices) - 1 + curve.closed for curve in scheme.curves)
    assert len(edges) == drawn == len({tuple(sorted(edge)) for edge in edges})
    assert {i for edge in edges for i in edge} == {i + 1 for curve in scheme.curves for i in curve.indices}


def test_names_of_68_and_98() -> None:
    assert [keypoint_names(IBUG68)[i] for i in (8, 36, 45, 54, 67)] == [
        "jaw_8", "right_eye_36", "left_eye_45", "outer_lips_54", "inner_lips_67",
    ]  # fmt: skip
    assert keypoint_names(WFLW98)[96:] == ["right_pupil_96", "left_pupil_97"]
    assert [37, 42] in [sorted(edge) for edge in skeleton(IBUG68)]  # an eye is closed


class TestWhole:
    def test_the_old_file_stays_until_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "out.json"
        path.write_text("old")
        with CocoKeypoints(path, IBUG68) as sink:
            sink.write(frame(0, IMAGE), FrameResult(0, 0.0, (face(1),)))
            assert path.read_text() == "old"
            with pytest.raises(TrackerError, match="another run"):
                CocoKeypoints(path, IBUG68)
        assert len(json.loads(path.read_text())["images"]) == 1
        assert [each.name for each in tmp_path.iterdir()] == ["out.json"]

    def test_a_run_without_frames(self, tmp_path: Path) -> None:
        content = written(tmp_path / "out.json")
        assert content["images"] == content["annotations"] == [] and len(content["categories"]) == 1

    def test_ctrl_c_completes_it(self, tmp_path: Path) -> None:
        code = """
        with CocoKeypoints(folder / "out.json", IBUG68) as sink:
            sink.write(frame(0), result(0))
            print("ready", flush=True)
            while True:
                pass
        """
        run_until_interrupted(code, tmp_path)
        assert len(json.loads((tmp_path / "out.json").read_text())["images"]) == 1

    def test_a_full_disk_leaves_the_old_one(self, tmp_path: Path) -> None:
        (tmp_path / "out.json").write_text("old")
        code = """
        with CocoKeypoints(folder / "out.json", IBUG68) as sink:
            for index in range(2000):
                sink.write(frame(index), result(index))
        """
        assert "cannot be written" in run_on_full_disk(code, tmp_path)
        assert (tmp_path / "out.json").read_text() == "old"
        assert [each.name for each in tmp_path.iterdir()] == ["out.json"]

    def test_standard_output_is_refused(self) -> None:
        with pytest.raises(TrackerError, match=r"not to standard output; name a \.json file"):
            CocoKeypoints("-", IBUG68)

    @pytest.mark.parametrize("name", ["", "nowhere/out.json"])
    def test_what_cannot_be_written(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(TrackerError):
            CocoKeypoints(tmp_path / name, IBUG68)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs of a face, one smaller, and one picture without."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    picture = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), picture)
    cv2.imwrite(str(folder / "sub/b.png"), cv2.resize(picture, (300, 300), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(folder / "none.png"), np.full((64, 80, 3), 90, np.uint8))
    return folder


def test_the_command_writes_pictures(photos: Path, tmp_path: Path) -> None:
    run(images=photos, recursive=True, coco=tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in content["images"]}
    assert sizes == {"a.png": (512, 512), "none.png": (80, 64), "sub/b.png": (300, 300)}
    named = {image["id"]: image["file_name"] for image in content["images"]}
    assert sorted(named[each["image_id"]] for each in content["annotations"]) == ["a.png", "sub/b.png"]
    with pytest.raises(TrackerError, match="--coco"):
        run(images=photos, recursive=True, coco=photos / "a.png")


class TestPycocotools:
    """With the real package, by which COCO's own evaluation is done."""

    @pytest.fixture
    def content(self, tmp_path: Path) -> dict[str, Any]:
        pytest.importorskip("pycocotools", reason="needs pycocotools: tests/requirements-slow.txt")
        faces = [face(1), face(2, shift=80), face(3)]
        return written(tmp_path / "out.json", *(FrameResult(i, i / 30, (one,)) for i, one in enumerate(faces)))

    def test_loads_and_finds(self, content: dict[str, Any], tmp_path: Path) -> None:
        from pycocotools.coco import COCO

        coco = COCO(str(tmp_path / "out.json"))
        assert coco.getImgIds() == [1, 2, 3] and coco.getCatIds(catNms=["face"]) == [1]
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[3], catIds=[1]))
        assert annotation["keypoints"] == content["annotations"][2]["keypoints"]
        assert len(coco.loadCats([1])[0]["keypoints"]) == 68

    @pytest.mark.parametrize("moved_px", [0.0, 30.0])
    def test_its_evaluation_reads_them_as_truth_and_as_results(
        self, content: dict[str, Any], tmp_path: Path, moved_px: float
    ) -> None:
        """Average precision is 1 against themselves, and falls where the points are elsewhere."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        truth = COCO(str(tmp_path / "out.json"))
        results = json.loads(json.dumps(content["annotations"]))
        for each in results:
            each["keypoints"] = [value + moved_px * (k % 3 < 2) for k, value in enumerate(each["keypoints"])]
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.full(68, 0.05)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == (pytest.approx(1) if moved_px == 0 else pytest.approx(0, abs=0.3))


def test_the_reader_of_cvat_takes_it_without_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Datumaro reads what is uploaded to CVAT as "COCO Keypoints"."""
    datumaro = pytest.importorskip(
        "datumaro", reason="needs datumaro in an environment of its own: tests/requirements-slow.txt"
    )
    for name in ("annotations", "images"):
        (tmp_path / name).mkdir()
    one = face(1, shift=80)
    written(tmp_path / "annotations/person_keypoints_train.json", FrameResult(5, 0.2, (one,)))
    (item,) = datumaro.Dataset.import_from(str(tmp_path), "coco_person_keypoints")
    points, box = item.annotations
    assert (item.id, type(points).__name__, type(box).__name__) == ("frame_000005", "Points", "Bbox")
    assert points.attributes["track_id"] == one.id and caplog.text == ""
    inside = one.landmarks.points_px[:, 0] <= WIDTH - 0.5
    assert [each.value == 2 for each in points.visibility] == inside.tolist() and not inside.all()
    assert_allclose(np.reshape(points.points, (68, 2))[inside], one.landmarks.points_px[inside], atol=0.0051)
