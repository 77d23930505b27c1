"""The demo clip does what its truth says, and its report measures what it states."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68
from tracker.sources.demo import DemoClip, DemoReport
from tracker.weights.packaged import YUNET

Array = np.ndarray[Any, Any]

skimage_data = pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")


@pytest.fixture(scope="module")
def clip() -> DemoClip:
    return DemoClip()


@pytest.fixture(scope="module")
def source_px() -> Array:
    """(68, 2) the hand labels in the astronaut picture."""
    return np.loadtxt(Path(__file__).parents[3] / "tracker/sources/demo_landmarks.csv", delimiter=",")


class TestClip:
    def test_is_a_source(self, clip: DemoClip) -> None:
        short = DemoClip(size=(160, 120), fps=25, seconds=1)
        frames = list(short)
        assert (short.frame_count, short.fps, short.live, len(frames)) == (25, 25, False, 25)
        assert [frame.index for frame in frames] == list(range(25))
        assert [frame.timestamp_s for frame in frames] == pytest.approx([i / 25 for i in range(25)])
        assert all(f.image_rgb.shape == (120, 160, 3) and f.image_rgb.dtype == np.uint8 for f in frames)
        assert (clip.frame_count, clip.fps, clip.size) == (300, 30, (640, 480))

    def test_every_frame_is_a_similarity(self, clip: DemoClip) -> None:
        for index in range(clip.count):
            matrix = clip.frame_from_source(index)[:, :2]
            zoom = np.sqrt(np.linalg.det(matrix))
            assert 1 < zoom < 1.8
            np.testing.assert_allclose(matrix @ matrix.T, zoom**2 * np.eye(2), atol=1e-12)

    def test_motion_is_smooth_but_for_one_cut(self, clip: DemoClip) -> None:
        truth = np.array([clip.truth_px(index) for index in range(clip.count)])
        steps = np.linalg.norm(np.diff(truth, axis=0), axis=2).max(1)
        jumps = np.flatnonzero(steps > 6)
        assert jumps.tolist() == [clip.cut - 1]
        assert steps[clip.cut - 1] > 180  # further than a face is wide
        assert np.linalg.norm(truth[-1] - truth[0], axis=1).mean() > 50
        assert truth.min() > 5 and (truth.max((0, 1)) < np.array(clip.size) - 5).all()

    @pytest.mark.parametrize("index", [0, 60, 150, 224, 225, 299])
    @pytest.mark.parametrize("size", [(640, 480), (200, 150)])
    def test_picture_is_where_the_truth_says(self, index: int, size: tuple[int, int]) -> None:
        """Warped back, the face lies on the astronaut's to a twentieth of a pixel."""
        clip = DemoClip(size=size)
        inverse = cv2.invertAffineTransform(clip.frame_from_source(index))
        back = cv2.warpAffine(clip.picture(index), inverse, (512, 512), flags=cv2.INTER_CUBIC)
        face = slice(70, 190), slice(165, 285)
        there, here = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[face] for x in (skimage_data.astronaut(), back))
        blurred = [cv2.GaussianBlur(x.astype(np.float32), (0, 0), 3) for x in (there, here)]
        assert np.abs(blurred[0] - blurred[1]).mean() < 2
        gradient_y, gradient_x = np.gradient(blurred[0])
        shift = np.linalg.lstsq(
            np.stack([gradient_x.ravel(), gradient_y.ravel()], 1),
            (blurred[0] - blurred[1]).ravel(),
            rcond=None,
        )[0]
        assert np.abs(shift).max() < 0.05

    def test_small_frames_do_not_alias(self) -> None:
        """Compared with a frame of 8 times the size, shrunk by area."""
        small = DemoClip(size=(160, 120))
        for index in (20, 100):
            grow = np.array([[8, 0, 3.5], [0, 8, 3.5]])
            matrix = grow[:, :2] @ small.frame_from_source(index) + np.c_[np.zeros((2, 2)), grow[:, 2]]
            large = cv2.warpAffine(skimage_data.astronaut(), matrix, (1280, 960), borderMode=cv2.BORDER_REFLECT_101)
            exact = cv2.resize(large, small.size, interpolation=cv2.INTER_AREA)
            assert np.abs(small.picture(index).astype(int) - exact).mean() < 3  # 1.6 of it is noise

    def test_truth_is_the_labels_moved(self, clip: DemoClip, source_px: Array) -> None:
        for index in (0, 170, 250):
            expected = cv2.transform(source_px[None], clip.frame_from_source(index))[0]
            np.testing.assert_allclose(clip.truth_px(index), expected, atol=1e-9)

    def test_cover_hides_the_whole_face_for_a_few_frames(self, clip: DemoClip) -> None:
        covered = [index for index in range(clip.count) if clip.occluded(index)]
        assert covered == list(range(covered[0], covered[0] + 12)) and covered[-1] < clip.cut - 30
        for index in (covered[0], covered[-1]):
            inverse = cv2.invertAffineTransform(clip.frame_from_source(index))
            back = cv2.warpAffine(clip.picture(index), inverse, (512, 512))
            face = slice(85, 178), slice(182, 268)
            change = np.abs(back[face].astype(int) - skimage_data.astronaut()[face]).max(2)
            assert (change > 15).mean() > 0.9

    def test_noise_is_mild_seeded_and_different_in_every_frame(self) -> None:
        still = [DemoClip(size=(160, 120), seed=seed) for seed in (1, 1, 2)]
        same, again, other = (clip.picture(3).astype(int) for clip in still)
        assert (same == again).all()
        assert 1.5 < (same - other).std() / np.sqrt(2) < 2.5
        one, two = (still[0].picture(i) - still[2].picture(i).astype(int) for i in (3, 4))
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.1

    def test_never_holds_the_clip(self) -> None:
        clip = DemoClip(size=(160, 120), seconds=4)
        next(clip)
        tracemalloc.start()
        for _ in clip:
            pass
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 20 * 160 * 120 * 3  # of 119 frames

    def test_without_scikit_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "skimage.data", None)
        with pytest.raises(TrackerError, match=r"pip install 'landmark-tracker\[demo\]'"):
            DemoClip()

    def test_detector_finds_one_face_where_the_truth_is(self, clip: DemoClip) -> None:
        detector = cv2.FaceDetectorYN.create(str(YUNET.path), "", (320, 240), score_threshold=0.6)
        for index in range(0, clip.count, 12):
            small = cv2.resize(clip.picture(index), (320, 240), interpolation=cv2.INTER_AREA)
            found = detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
            if clip.occluded(index):
                assert found is None
                continue
            assert found is not None and len(found) == 1
            five_px = (found[0, 4:14].reshape(5, 2) + 0.5) * 2 - 0.5
            truth = clip.truth_px(index)
            parts = [truth[36:42].mean(0), truth[42:48].mean(0), truth[30], truth[48], truth[54]]
            ocular = np.linalg.norm(truth[36] - truth[45])
            assert np.linalg.norm(five_px - parts, axis=1).mean() < 0.12 * ocular  # YuNet is coarse


class TestLabels:
    def test_are_plausible(self, source_px: Array) -> None:
        assert source_px.shape == (68, 2)
        mirrored = source_px[IBUG68.flip] * (-1, 1)
        centre = source_px.mean(0), mirrored.mean(0)
        a, b = source_px - centre[0], mirrored - centre[1]
        u, _, vt = np.linalg.svd(b.T @ a)
        ocular = np.linalg.norm(source_px[36] - source_px[45])
        asymmetry = np.linalg.norm(b @ (u @ vt) - a, axis=1) / ocular
        assert asymmetry.mean() < 0.04 and asymmetry.max() < 0.1  # a nearly frontal face

    def test_eyes_are_on_the_irises(self, source_px: Array) -> None:
        grey = cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2GRAY)
        for eye in (source_px[36:42], source_px[42:48]):
            x, y = eye.mean(0).round().astype(int)
            assert grey[y - 2 : y + 3, x - 2 : x + 3].mean() < 0.5 * grey[y + 12, x]


class TestReport:
    def test_perfect_tracking(self, clip: DemoClip) -> None:
        report = DemoReport(clip)
        for index in range(clip.count):
            report.add(index, None if clip.occluded(index) else clip.truth_px(index))
        summary = report.summary()
        assert (summary.visible, summary.found) == (288, 288)
        assert (summary.error_percent, summary.jitter_percent) == (0, 0)
        assert (summary.after_occlusion, summary.after_cut) == (0, 0)

    @given(st.floats(0.1, 9), st.floats(0, 2 * np.pi))
    @settings(max_examples=10, deadline=None)
    def test_steady_offset_is_error_without_jitter(self, percent: float, angle: float) -> None:
        clip = DemoClip(size=(64, 48), seconds=1)
        report = DemoReport(clip)
        for index in range(12):
            truth = clip.truth_px(index)
            ocular = np.linalg.norm(clip.truth_px(5)[36] - clip.truth_px(5)[45])
            report.add(index, truth + np.array([np.cos(angle), np.sin(angle)]) * ocular * percent / 100)
        summary = report.summary()
        assert summary.error_percent == pytest.approx(percent, rel=0.05)
        assert summary.jitter_percent == pytest.approx(0, abs=1e-9)

    def test_shake_is_four_times_its_amplitude(self, clip: DemoClip) -> None:
        """+a, -a, +a: the second difference is 4 a."""
        report = DemoReport(clip)
        for index in range(30):
            truth = clip.truth_px(index)
            ocular = float(np.linalg.norm(truth[36] - truth[45]))
            report.add(index, truth + (0, 0.01 * ocular * (-1) ** index))
        assert report.summary().error_percent == pytest.approx(1)
        assert report.summary().jitter_percent == pytest.approx(4, rel=0.01)

    def test_cover_cut_and_misses_are_not_jitter(self, clip: DemoClip) -> None:
        """Every run of frames found has an offset of its own: within it nothing shakes."""
        report, offset = DemoReport(clip), 0.0
        for index in range(clip.count):
            if index in (50, clip.covered.start, clip.cut):
                offset += 1.5
            truth = clip.truth_px(index)
            report.add(index, None if index == 50 else truth + offset)
        summary = report.summary()
        assert summary.jitter_percent == pytest.approx(0, abs=1e-9) and summary.found == 287

    def test_counts_frames_until_found_again(self, clip: DemoClip) -> None:
        report = DemoReport(clip)
        for index in range(clip.count):
            truth = clip.truth_px(index)
            if clip.covered.start <= index < clip.covered.stop + 3:
                report.add(index, None)
            elif clip.cut <= index < clip.cut + 5:
                report.add(index, clip.truth_px(clip.cut - 1))  # still where the face was
            else:
                report.add(index, truth)
        summary = report.summary()
        assert (summary.after_occlusion, summary.after_cut) == (3, 5)
        assert (summary.visible, summary.found, summary.error_percent) == (288, 280, 0)

    def test_lost_for_good(self, clip: DemoClip) -> None:
        report = DemoReport(clip)
        for index in range(clip.count):
            report.add(index, clip.truth_px(index) if index < 20 else None)
        summary = report.summary()
        assert (summary.after_occlusion, summary.after_cut, summary.found) == (None, None, 20)

    def test_nothing_found(self, clip: DemoClip) -> None:
        report = DemoReport(clip)
        report.add(0, None)
        assert np.isnan(report.summary().error_percent) and np.isnan(report.summary().jitter_percent)
