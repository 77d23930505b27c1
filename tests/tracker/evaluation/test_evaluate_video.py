"""Videos are compared with their labels frame by frame, by the protocol of 300VW, and the report says what came."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks._lib.moving import MovingPicture
from tracker.datasets.clips import LABELLINGS, LabelledClip, labelled_clips
from tracker.datasets.pts_files import read_pts, write_pts
from tracker.datasets.video300 import POINTS
from tracker.engines.base import EngineOutput
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from tracker.evaluate import main
from tracker.evaluation.clip_metrics import clip_figures
from tracker.evaluation.groups import group_figures
from tracker.evaluation.page import number, page, table
from tracker.evaluation.video import RAW, SMOOTH, TRUE_BOXES, ClipRun, VideoEvaluation, nearest_face
from tracker.face.geometry import extent, invert
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68, WFLW98
from tracker.metrics.nme import nme
from tracker.result import FrameResult, TrackedFace
from tracker.sources import Frame

Array = NDArray[np.float64]
MODES = (TRUE_BOXES, RAW, SMOOTH)
FGNET = {27: 36, 29: 39, 34: 42, 32: 45, **{i: i for i in range(48, 60)}, 7: 8, 67: 30}


def face_px() -> Array:
    """(68, 2) no face, but its eyes and its extent are where a face of 100 px has them."""
    points = np.random.default_rng(1).uniform(30, 110, (68, 2))
    points[36], points[45], points[0], points[16], points[8] = (45, 50), (105, 50), (20, 40), (120, 40), (70, 120)
    return points


def with_point(points_px: Array, number: int, *at: float) -> Array:
    moved = points_px.copy()
    moved[number] = at
    return moved


def write_frames(folder: Path, count: int) -> None:
    """A video whose frame n, from 1, is of the shade 10 n."""
    writer = cv2.VideoWriter(str(folder / "vid.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20, (128, 96))
    for n in range(1, count + 1):
        writer.write(np.full((96, 128, 3), 10 * n, np.uint8))
    writer.release()


def write_labels(folder: Path, numbers: Any) -> None:
    (folder / "annot").mkdir(parents=True, exist_ok=True)
    for n in numbers:
        write_pts(folder / f"annot/{n:06d}.pts", face_px() + n)


def clip_of(folder: Path, *excluded: int) -> LabelledClip:
    return LabelledClip(folder.name, "A", folder, LABELLINGS["300vw"], frozenset(excluded))


class TestClip:
    def test_every_frame_has_the_label_of_its_number(self, tmp_path: Path) -> None:
        write_labels(tmp_path, range(1, 9))
        write_frames(tmp_path, 8)
        clip = clip_of(tmp_path, 3, 5)
        rows = list(clip.read())
        assert clip.problems == []
        assert clip.fps == 20
        assert [n for n, (_, truth) in enumerate(rows, 1) if truth is None] == [3, 5]
        for n, (frame, truth) in enumerate(rows, 1):
            assert abs(frame.image_rgb.mean() - 10 * n) < 4
            assert frame.timestamp_s == pytest.approx((n - 1) / 20)
            if truth is not None:
                np.testing.assert_allclose(truth.points_px, face_px() + n, atol=1e-4)
                np.testing.assert_array_equal(truth.labels_px, truth.points_px)

    def test_what_does_not_fit_together_is_compared_as_far_as_it_goes(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_labels(tmp_path, [1, 2, 4, 5, 6, 9, 10])
        write_frames(tmp_path, 7)
        (tmp_path / "annot/000002.pts").write_text("1 2 three")
        write_pts(tmp_path / "annot/000004.pts", face_px()[:5])
        write_pts(tmp_path / "annot/000005.pts", np.full((68, 2), 9.0))
        clip = clip_of(tmp_path)
        assert [frame.index + 1 for frame, truth in clip.read() if truth is not None] == [1, 6]
        assert [problem.split(", the first: ")[0] for problem in clip.problems] == [
            "2 labels have no frame that decodes",
            "2 frames have no label",
            "3 labels are broken",
        ]
        assert "000002.pts" in clip.problems[2]
        assert [f"clip {clip.name}: {problem}" for problem in clip.problems] == caplog.messages
        list(clip.read())
        assert len(clip.problems) == 3  # not six

    def test_absurd_labels_are_named_and_left_out(self, tmp_path: Path) -> None:
        write_labels(tmp_path, [1, 2, 3, 4])
        write_frames(tmp_path, 4)
        write_pts(tmp_path / "annot/000002.pts", face_px() + 1e4)
        write_pts(tmp_path / "annot/000003.pts", with_point(face_px(), 30, 9e8, 50.0))
        clip = clip_of(tmp_path)
        assert [frame.index + 1 for frame, truth in clip.read() if truth is not None] == [1, 4]
        (problem,) = clip.problems
        assert problem.startswith("2 labels are broken, the first: ")
        assert "000002.pts: none of its points lies in its picture of 128 x 96 pixels" in problem

    def test_extracted_frames_keep_their_time(self, tmp_path: Path) -> None:
        write_labels(tmp_path, (31, 40))
        (tmp_path / "imgs").mkdir()
        for n in (31, 32, 40):
            cv2.imwrite(str(tmp_path / f"imgs/{n:06d}.png"), np.full((96, 128, 3), (0, 0, n), np.uint8))
        (tmp_path / "imgs/000041.png").write_bytes(b"no picture")
        rows = list(clip_of(tmp_path).read())
        assert [frame.timestamp_s for frame, _ in rows] == [1.2, 1.24, 1.56]
        assert [frame.image_rgb[0, 0].tolist() for frame, _ in rows] == [[n, 0, 0] for n in (31, 32, 40)]
        assert [truth is None for _, truth in rows] == [False, True, False]

    def test_of_the_talking_face_has_the_points_that_mean_the_same(self, tmp_path: Path) -> None:
        write_labels(tmp_path, (1,))
        write_frames(tmp_path, 1)
        (clip,), missing = labelled_clips("talking-face", tmp_path)
        ((_, truth),) = clip.read()
        assert truth is not None
        assert missing == []
        assert {fgnet: truth.points_px[ibug].tolist() for fgnet, ibug in FGNET.items()} == {
            fgnet: truth.labels_px[fgnet].tolist() for fgnet in FGNET
        }
        assert np.isfinite(truth.points_px).all(1).sum() == 18
        assert clip.labelling.sets == {18: tuple(sorted(FGNET.values()))}

    def test_without_labels_or_video_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"expected labels annot/000001.pts and so on, there are none"):
            clip_of(tmp_path)
        write_labels(tmp_path, (1,))
        with pytest.raises(TrackerError, match=r"vid\.avi does not exist"):
            list(clip_of(tmp_path).read())

    def test_clips_that_are_there_are_taken_and_the_others_named(self, tmp_path: Path) -> None:
        for name in ("401", "203", "001", "999"):
            write_labels(tmp_path / name, (1,))
        clips, missing = labelled_clips("300vw", tmp_path)
        assert [(clip.name, clip.category) for clip in clips] == [("401", "A"), ("203", "B")]
        assert len(missing) == 62
        assert len(clips[0].excluded) == 120
        assert [clip.name for clip in labelled_clips("300vw", tmp_path, "train")[0]] == ["001"]
        with pytest.raises(TrackerError, match=r"expected folders of the 14 clips of 300VW C, such as 410"):
            labelled_clips("300vw", tmp_path, "C")


def run_of(
    tmp_path: Path, shifts: dict[str, Array], truth: Array | None = None, ids: Any = None, name: str = "x"
) -> ClipRun:
    """A clip without pictures: each mode's points are the truth, shifted to the right by so much in each frame."""
    count = len(next(iter(shifts.values())))
    truth = np.repeat(face_px()[None], count, axis=0) if truth is None else truth
    points = {mode: truth + np.stack([shift, 0 * shift], axis=-1)[:, None] for mode, shift in shifts.items()}
    write_labels(tmp_path, (1,))
    ids = np.ones(count, np.int64) if ids is None else np.array(ids)
    clip = LabelledClip(name, "A", tmp_path, LABELLINGS["300vw"])
    return ClipRun(clip, truth, points, ids, np.zeros(count, np.bool_))


def same(shift: Any) -> dict[str, Array]:
    return dict.fromkeys(MODES, np.array(shift, np.float64))


class TestFigures:
    def test_errors_are_those_of_the_stills(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(0)
        run = run_of(tmp_path, same(np.zeros(5)))
        run.points_px[RAW] += generator.normal(0, 3, (5, 68, 2))
        errors = clip_figures(run).errors
        expected = [nme(points, truth, IBUG68) for points, truth in zip(run.points_px[RAW], run.truth_px)]
        np.testing.assert_allclose(errors[RAW][68], expected)
        for points, indices in POINTS.items():
            distances = np.linalg.norm((run.points_px[RAW] - run.truth_px)[:, list(indices)], axis=2)
            np.testing.assert_allclose(errors[RAW][points], distances.mean(1) / 60)
        assert not errors[SMOOTH][49].any()

    def test_frames_without_a_face_are_failures_and_lost(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, same([0.0, np.nan, 30.0, 6.0, 0.6]))
        figures = clip_figures(run)
        np.testing.assert_allclose(figures.errors[RAW][68], [0, np.inf, 0.5, 0.1, 0.01])
        assert figures.lost.tolist() == [False, True, True, False, False]
        assert (figures.losses.times, figures.losses.recovered) == (1, (2,))
        group = group_figures([figures])
        accuracy = group["accuracy"][RAW][68]["per_frame"]
        assert accuracy["nme_percent"] == pytest.approx(100 * (0 + 0.5 + 0.1 + 0.01) / 4)
        assert accuracy["failure_percent"] == 60
        assert accuracy["found_percent"] == 80
        assert group["tracking"]["lost_percent"] == 40
        assert group["tracking"]["recovery_mean_s"] == pytest.approx(2 / 25)
        assert (group["tracking"]["first_found_s"], group["tracking"]["never_found"]) == (0, 0)
        assert math.isnan(group["stability"][RAW]["lag_frames"])

    def test_a_face_that_comes_late_or_never(self, tmp_path: Path) -> None:
        late, never = (clip_figures(run_of(tmp_path, same([np.nan, np.nan, end]))) for end in (0, 20))
        tracking = group_figures([late, never])["tracking"]
        assert tracking["first_found_s"] == pytest.approx(2 / 25)
        assert (tracking["never_found"], tracking["losses"]) == (1, 0)
        assert tracking["lost_percent"] == pytest.approx(100 * 5 / 6)
        assert math.isnan(tracking["recovery_mean_s"])

    def test_frames_left_out_count_for_nothing(self, tmp_path: Path) -> None:
        truth = np.repeat(face_px()[None], 5, axis=0)
        truth[1:3] = np.nan
        figures = clip_figures(run_of(tmp_path, same([0.6, 0.6, np.nan, 0.6, 0.6]), truth))
        assert figures.frames == 3
        assert figures.lost.tolist() == [False] * 5
        assert group_figures([figures])["accuracy"][RAW][51]["per_frame"]["failure_percent"] == 0
        assert math.isnan(figures.stability[RAW]["acceleration_error_percent"])  # no three frames in a row

    def test_held_landmarks_are_errors_but_no_measure_of_stability(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, same([0, 0, 0, 6, 6, 0, 0, 0]))
        run.coasting[3:5] = True
        figures = clip_figures(run)
        assert figures.stability[SMOOTH]["acceleration_error_percent"] == 0
        assert figures.stability[TRUE_BOXES]["acceleration_error_percent"] == pytest.approx(100 * 4 * 0.1 / 6)
        assert figures.coasting == 2
        assert figures.errors[SMOOTH][68].tolist() == pytest.approx([0, 0, 0, 0.1, 0.1, 0, 0, 0])

    def test_identities(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, same([0, 0, np.nan, 0, 0, 40, 0]), ids=[1, 1, 0, 2, 2, 7, 1])
        assert clip_figures(run).identity_changes == 2  # the face of id 7 is another one

    def test_lag_that_smoothing_adds(self, tmp_path: Path) -> None:
        times = np.arange(100)
        truth = face_px() + 20 * np.stack([np.sin(times / 9), np.cos(times / 7)], axis=-1)[:, None]
        run = run_of(tmp_path, same(np.zeros(100)), truth)
        run.points_px[RAW][1:], run.points_px[SMOOTH][3:] = truth[:-1] + 2, truth[:-3] + 2
        tracking = group_figures([clip_figures(run)])["tracking"]
        assert tracking["smoothing_lag_frames"] == pytest.approx(2, abs=0.05)
        assert tracking["smoothing_lag_ms"] == pytest.approx(80, abs=2)

    def test_per_frame_weighs_frames_per_video_weighs_videos(self, tmp_path: Path) -> None:
        short, long = (
            clip_figures(run_of(tmp_path, same(np.full(count, shift)))) for count, shift in ((1, 6.0), (9, 0.6))
        )
        accuracy = group_figures([short, long])["accuracy"][SMOOTH][68]
        assert accuracy["per_frame"]["nme_percent"] == pytest.approx(1.9)
        assert accuracy["per_video"]["nme_percent"] == pytest.approx(5.5)
        assert accuracy["per_frame"]["failure_percent"] == pytest.approx(10)
        assert accuracy["per_video"]["failure_percent"] == pytest.approx(50)
        assert accuracy["per_video"]["auc"] == pytest.approx((0 + (8 - 1) / 8) / 2, abs=1e-3)

    def test_the_nearest_face_is_compared(self) -> None:
        faces = [
            TrackedFace(i, "tracking", 1.0, *2 * [Landmarks.from_points(face_px() + shift, IBUG68)])
            for i, shift in enumerate((70, 8, -30))
        ]
        truth = face_px()
        truth[:17] = np.nan  # not labelled
        assert nearest_face(faces, truth, IBUG68) is faces[1]
        assert nearest_face([], truth, IBUG68) is None


class Watching:
    """Stands for a tracker: finds nothing, and counts the pictures that anybody still holds."""

    def __init__(self) -> None:
        self.engine = Blind()
        self.seen: list[weakref.ref[Frame]] = []
        self.most = 0

    def reset(self) -> None:
        self.seen.clear()

    def step(self, frame: Frame) -> FrameResult:
        self.seen.append(weakref.ref(frame))
        self.most = max(self.most, sum(one() is not None for one in self.seen))
        return FrameResult(frame.index, frame.timestamp_s, ())


class Blind:
    """An engine that finds every point in the corner."""

    spec = ModelSpec(32, "ibug68", presence=0.5, decode="", licence="", config={}, commit="")

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        shape = (len(crops), 68)
        return EngineOutput(*(np.zeros((*shape, *more), np.float32) for more in ((2,), (), (3,))))


class TestOtherSchemes:
    @pytest.mark.parametrize("scheme", ["cofw29", "ibug51"])
    def test_a_model_without_the_labelled_points_is_refused(self, scheme: str) -> None:
        tracker: Any = Watching()
        tracker.engine.spec = replace(Blind.spec, scheme=scheme)
        with pytest.raises(
            TrackerError, match=f"the labels are ibug68, the model gives {scheme}: .*; give another --m"
        ):
            VideoEvaluation(tracker)

    def test_landmarks_become_the_labels(self, tmp_path: Path) -> None:
        """Of 98 points, all on a spot: tracked and in the true boxes."""
        write_labels(tmp_path, range(1, 4))
        write_frames(tmp_path, 3)
        tracker: Any = Watching()
        tracker.engine = Spots()
        spots = Landmarks.from_points(np.tile([[40.0, 50.0]], (98, 1)), WFLW98)
        faces = (TrackedFace(7, "tracking", 0.9, spots, spots),)
        tracker.step = lambda frame: FrameResult(frame.index, frame.timestamp_s, faces)
        run = VideoEvaluation(tracker).run(clip_of(tmp_path))
        assert run.points_px[SMOOTH].shape == run.points_px[TRUE_BOXES].shape == (3, 68, 2)
        assert run.points_px[RAW] == pytest.approx(np.broadcast_to([40.0, 50.0], (3, 68, 2)))
        assert run.ids.tolist() == [7, 7, 7]


class Spots:
    """An engine of 98 points."""

    spec = replace(Blind.spec, scheme="wflw98")

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        points = np.random.default_rng(0).uniform(0, 32, (98, 2)).astype(np.float32)
        ones = np.ones((len(crops), 98, 3), np.float32)
        return EngineOutput(np.tile(points, (len(crops), 1, 1)), ones[..., 0], ones)


def test_pictures_are_let_go(tmp_path: Path) -> None:
    write_labels(tmp_path, range(1, 21))
    write_frames(tmp_path, 20)
    tracker: Any = Watching()
    run = VideoEvaluation(tracker).run(clip_of(tmp_path))
    assert len(tracker.seen) == 20
    assert tracker.most <= 2
    assert run.compared.all()
    assert np.isnan(run.points_px[SMOOTH]).all()
    assert np.isfinite(run.points_px[TRUE_BOXES]).all()


class TestPage:
    def test_is_escaped_and_whole(self) -> None:
        text = page("<a> & b", [table(["x<y", "n"], [["<b>", 1], ["", 2]], texts=1)]).decode()
        assert "<title>&lt;a&gt; &amp; b</title>" in text
        assert "x&lt;y" in text
        assert text.count('<tr class="first">') == 1

    @pytest.mark.parametrize(
        ("value", "shown"), [(1.234, "1.23"), (3, "3"), (None, "–"), (math.nan, "–"), (math.inf, "–"), (-0.5, "-0.50")]
    )
    def test_numbers(self, value: Any, shown: str) -> None:
        assert number(value) == shown


class Balanced(HTMLParser):
    """Every tag that is opened is closed, in order; collects what pictures and links point at."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def still(shared: Path, place: int) -> tuple[NDArray[np.uint8], Array]:
    """A picture of LFPW's test set, 360 px at its longer side, and its labels in it."""
    path = sorted((shared / "data/300w/lfpw/testset").glob("*.jpg"))[place]
    image = cv2.imread(str(path))
    assert image is not None
    scale = 360 / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    zoom = np.array(small.shape[1::-1]) / image.shape[1::-1]
    return small[..., ::-1].astype(np.uint8), (read_pts(path.with_suffix(".pts")) + 0.5) * zoom - 0.5


def one_face(picture: tuple[NDArray[np.uint8], Array]) -> tuple[NDArray[np.uint8], list[Array]]:
    return picture[0], [picture[1]]


class TestMovingPicture:
    def test_moves_smoothly_halts_and_shows_its_truth(self, shared: Path) -> None:
        image_rgb, points = still(shared, 0)
        clip = MovingPicture(image_rgb, [points], 40, still=range(10, 20), covered=range(25, 27), gone=range(30, 33))
        truths = [clip.truths_px(index) for index in range(40)]
        assert [len(faces) for faces in truths] == [0 if 30 <= i < 33 else 1 for i in range(40)]
        track = np.array([faces[0] for faces in truths[:30]])
        moved = np.abs(np.diff(track, axis=0)).max((1, 2))
        assert not moved[10:20].any()
        assert moved[:10].min() > 0.1
        assert np.abs(np.diff(track[20:], 2, axis=0)).max() < 0.5
        assert clip.picture(31).std() == 0
        for index in (0, 5, 22):  # moved back, it is the picture
            back = cv2.warpAffine(clip.picture(index), invert(clip.frame_from_picture(index)), image_rgb.shape[1::-1])
            x, y, width, height = extent(points).round().astype(int)
            face = np.s_[y : y + height, x : x + width]
            assert np.abs(back[face].astype(float) - image_rgb[face]).mean() < 4
        x, y = clip.truths_px(25)[0][30].round().astype(int)
        assert clip.picture(25)[y, x].tolist() == [110, 110, 110]


@pytest.fixture(scope="module")
def vw300(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips in the layout of 300VW: 114 halts and is covered, in 203 the face goes and comes back, and of 411
    frames 19 and 20 are left out."""
    root = tmp_path_factory.mktemp("300vw")
    parts: dict[str, dict[str, Any]] = {
        "114": {"count": 38, "still": range(4, 12), "covered": range(26, 32)},
        "203": {"count": 32, "gone": range(10, 26)},
        "411": {"count": 24},
    }
    for place, (name, options) in enumerate(parts.items()):
        MovingPicture(*one_face(still(shared, 3 * place + 1)), **options).write_clip(root / name)
    return root


@pytest.fixture(scope="module")
def evaluate() -> Callable[..., int]:
    def run(*arguments: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
            return main()

    return run


@pytest.fixture(scope="module")
def report(vw300: Path, evaluate: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib", reason="needs the extra report")
    path = tmp_path_factory.mktemp("report") / "out.json"
    assert evaluate("--dataset", "300vw", "--root", vw300, "--report", path) == 0
    return path


@pytest.fixture(scope="module")
def record(report: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(report.read_text())
    return content


class TestMovedStills:
    """The whole way, with the real detector and the packaged model."""

    def test_categories(self, record: dict[str, Any]) -> None:
        assert list(record["categories"]) == ["A", "B", "C", "all"]
        assert {name: clip["frames"] for name, clip in record["by_clip"].items()} == {"114": 38, "203": 16, "411": 22}
        assert record["categories"]["all"]["frames"] == 76
        assert len(record["missing_clips"]) == 61
        assert list(record["problems"]) == ["203"]
        assert "16 frames have no label" in record["problems"]["203"][0]

    def test_true_boxes_find_every_face_that_is_seen(self, record: dict[str, Any]) -> None:
        for name in ("203", "411"):
            by_points = record["by_clip"][name]["accuracy"][TRUE_BOXES]
            assert list(by_points) == ["68", "51", "49"]
            for figures in by_points.values():
                assert figures["per_frame"]["nme_percent"] < 6  # 300W's labels are of another kind than edge68's
                assert figures["per_frame"]["failure_percent"] == 0
                assert figures["per_frame"]["found_percent"] == 100
            assert by_points["51"]["per_frame"]["nme_percent"] < by_points["68"]["per_frame"]["nme_percent"]

    def test_the_tracker_follows_without_lag_and_smoothing_adds_some(self, record: dict[str, Any]) -> None:
        clip = record["by_clip"]["411"]
        assert clip["accuracy"][RAW]["68"]["per_frame"]["nme_percent"] < 5
        assert clip["tracking"]["lost_percent"] == 0
        assert record["by_clip"]["114"]["tracking"]["coasting_percent"] > 10
        for name in ("114", "411"):
            steady = record["by_clip"][name]["stability"]
            assert abs(steady[RAW]["lag_frames"] or 0) < 0.1
            for mode in (RAW, SMOOTH):  # in motion the filter opens, so that neither need be the steadier one
                assert 0 < steady[mode]["acceleration_error_percent"] < 1.5
        assert 0.02 < record["categories"]["all"]["tracking"]["smoothing_lag_frames"] < 1.5

    def test_the_truths_own_acceleration_is_that_of_the_motion(self, shared: Path, record: dict[str, Any]) -> None:
        clip = MovingPicture(*one_face(still(shared, 7)), count=24)
        truth = [clip.truths_px(index)[0] for index in range(24)]
        # t counts from 0, the frames left out from 1
        windows = [t for t in range(1, 23) if not {t, t + 1, t + 2} & {19, 20}]
        shakes = [np.linalg.norm(truth[t - 1] - 2 * truth[t] + truth[t + 1], axis=1).mean() for t in windows]
        eyes = [math.dist(truth[t][36], truth[t][45]) for t in windows]
        measured = record["by_clip"]["411"]["stability"][RAW]["truth_acceleration_percent"]
        assert measured == pytest.approx(100 * np.mean(np.divide(shakes, eyes)), rel=1e-3)

    def test_a_face_that_goes_is_found_when_it_is_back(self, record: dict[str, Any]) -> None:
        tracking = record["by_clip"]["203"]["tracking"]
        assert tracking["not_recovered"] == 0
        assert tracking["lost_percent"] < 20
        assert tracking["identity_changes"] == 1  # gone for longer than a face is held

    def test_csv_has_each_clip_and_way(self, report: Path, record: dict[str, Any]) -> None:
        with report.with_suffix(".csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["clip"], row["mode"]) for row in rows] == [(c, w) for c in ("114", "203", "411") for w in MODES]
        for row in rows:
            figures = record["by_clip"][row["clip"]]["accuracy"][row["mode"]]
            assert float(row["nme_percent_49"]) == figures["49"]["per_frame"]["nme_percent"]
            assert float(row["failure_percent_68"]) == figures["68"]["per_frame"]["failure_percent"]
        assert [row["lost_percent"] != "" for row in rows] == [row["mode"] == SMOOTH for row in rows]

    def test_page_stands_for_itself(self, report: Path, record: dict[str, Any]) -> None:
        text = report.with_suffix(".html").read_text(encoding="utf-8")
        parser = Balanced()
        parser.feed(text)
        assert parser.open == []
        assert len(parser.sources) == 3 + 3  # a distribution for each set of points, a timeline for each clip
        assert all(source.startswith("data:image/") for source in parser.sources)
        assert not re.search(r"https?://|<script|@import|url\(", text)
        assert "Not the official figures: 61 clips of the split are missing" in text
        shown = record["categories"]["B"]["accuracy"][SMOOTH]["49"]["per_video"]["nme_percent"]
        assert f"<td>{shown:.2f}</td>" in text

    def test_a_broken_video_does_not_stop_the_others(
        self, vw300: Path, evaluate: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("410", "411"):
            shutil.copytree(vw300 / "411", tmp_path / name)
        (tmp_path / "410/vid.avi").write_bytes(b"no video")
        options = ("--dataset", "300vw", "--root", tmp_path, "--report", tmp_path / "out.json")
        assert evaluate(*options, "--split", "C") == 0
        record = json.loads((tmp_path / "out.json").read_text())
        assert list(record["by_clip"]) == ["411"]
        assert "could not be opened as a video" in record["problems"]["410"][0]
        shutil.rmtree(tmp_path / "411")
        (tmp_path / "out.json").unlink()
        assert evaluate(*options, "--split", "C") == 2
        assert "can be compared; clip 410:" in capsys.readouterr().err
        assert not (tmp_path / "out.json").exists()

    def test_without_matplotlib(
        self,
        vw300: Path,
        evaluate: Callable[..., int],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        monkeypatch.chdir(tmp_path)
        assert evaluate("--dataset", "300vw", "--root", vw300, "--split", "C") == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["300vw.csv", "300vw.html", "300vw.json"]
        assert "<img" not in (tmp_path / "300vw.html").read_text(encoding="utf-8")
        assert sum("pip install 'landmark-tracker[report]'" in message for message in caplog.messages) == 1


def test_talking_face(shared: Path, evaluate: Callable[..., int], tmp_path: Path) -> None:
    """Its first 12 frames; benchmarks/talking_face.py measures all."""
    source, root = shared / "data/video/talking_face", tmp_path / "clip"
    (root / "imgs").mkdir(parents=True)
    (root / "annot").mkdir()
    capture = cv2.VideoCapture(str(source / "vid.avi"))
    for n in range(1, 13):
        cv2.imwrite(str(root / f"imgs/{n:06d}.png"), capture.read()[1])
        (root / f"annot/{n:06d}.pts").write_bytes((source / f"annot/{n:06d}.pts").read_bytes())
    capture.release()
    assert evaluate("--dataset", "talking-face", "--root", root, "--report", tmp_path / "out.json") == 0
    record = json.loads((tmp_path / "out.json").read_text())
    group = record["categories"]["talking-face"]
    assert list(group["accuracy"][RAW]) == ["18"]
    assert group["tracking"]["lost_percent"] == 0
    for mode in MODES:
        assert 2 < group["accuracy"][mode]["18"]["per_frame"]["nme_percent"] < 6  # FGNET's points are not quite iBUG's
        assert group["stability"][mode]["offset_removed_percent"] < 1.5


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("300vw", "--root", "{}"), "expected folders of the 64 clips of 300VW full, such as 114"),
            (("300vw", "--root", "{}", "--split", "afw"), "--dataset 300vw has no --split afw; give one of full, A"),
            (("300w", "--root", "{}", "--split", "A"), "--dataset 300w has no --split A; give one of lfpw-test"),
            (("300W", "--root", "{}"), "talking-face, got 300W; did you mean 300w?"),
            (("300w", "--root", "{}", "--split", "comon"), "got comon; did you mean common?"),
            (("300vw", "--root", "{}", "--split", "all"), "--dataset 300vw has no --split all; give one of full, A"),
            (("talking-face", "--root", "{}"), "expected labels annot/000001.pts"),
        ],
    )
    def test_are_one_sentence(
        self,
        evaluate: Callable[..., int],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        options: tuple[str, ...],
        said: str,
    ) -> None:
        given = [option.format(tmp_path) for option in options]
        assert evaluate("--dataset", *given, "--report", tmp_path / "out.json") == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert not list(tmp_path.iterdir())
