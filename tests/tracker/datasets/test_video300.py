"""300VW: frames of videos, or extracted ones, by the numbers of their labels."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tracker.datasets.pictures import Pictures
from tracker.datasets.pts_files import read_pts, write_pts
from tracker.datasets.sample import DatasetError
from tracker.datasets.video300 import CLIPS, FrameSample, excluded_frames, read_300vw, read_clip
from tracker.face.schemes import IBUG68

FRAMES, WIDTH, HEIGHT = 15, 64, 48
POINTS = np.random.default_rng(0).uniform(5, 40, (68, 2)).round(3)


def shade(frame: int) -> int:
    return 16 * frame


def write_video(path: Path, codec: str) -> None:
    """Frame n, from 1, is of shade(n) of red."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for frame in range(1, FRAMES + 1):
        writer.write(np.full((HEIGHT, WIDTH, 3), (0, 0, shade(frame)), np.uint8))
    writer.release()


def make_clip(clip: Path, frames: Any = range(1, FRAMES + 1)) -> Path:
    (clip / "annot").mkdir(parents=True)
    for frame in frames:
        write_pts(clip / f"annot/{frame:06d}.pts", POINTS + frame)
    return clip


@pytest.fixture(params=["MJPG", "mp4v"])  # each frame by itself, and frames that build on those before
def clip(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    make_clip(tmp_path / "114")
    write_video(tmp_path / "114/vid.avi", request.param)
    return tmp_path / "114"


class TestVideo:
    def test_every_frame_is_that_of_its_label(self, clip: Path) -> None:
        samples = read_clip(clip)
        assert len(samples) == FRAMES
        for frame in (1, 15, 7, 8, 2):  # in any order
            sample = samples[frame - 1]
            assert_allclose(sample.points_px, POINTS + frame, atol=1e-9)
            image = sample.read_image()
            assert image.shape == (HEIGHT, WIDTH, 3)
            red, green, blue = image.reshape(-1, 3).mean(0)
            assert abs(red - shade(frame)) < 6
            assert max(green, blue) < 12
        assert len({sample.name for sample in samples}) == FRAMES

    def test_goes_to_a_loader_worker(self, clip: Path) -> None:
        sample = read_clip(clip)[8]
        moved = pickle.loads(pickle.dumps(sample))
        assert np.array_equal(moved.read_image(), sample.read_image())

    def test_labels_beyond_its_end_are_bad(self, clip: Path) -> None:
        write_pts(clip / f"annot/{FRAMES + 1:06d}.pts", POINTS)
        with pytest.raises(DatasetError, match=f"{FRAMES + 1:06d}.pts: .*frame of vid.avi, which has {FRAMES} "):
            read_clip(clip)
        assert len(read_clip(clip, on_invalid="skip")) == FRAMES

    def test_a_frame_that_does_not_decode_is_named(self, clip: Path) -> None:
        sample = FrameSample(clip / "vid.avi", POINTS, IBUG68, frame=FRAMES + 5)
        with pytest.raises(DatasetError, match=rf"vid\.avi frame {FRAMES + 5}: expected a picture"):
            sample.read_image()

    def test_what_is_no_video_is_named(self, clip: Path) -> None:
        (clip / "vid.avi").write_bytes(b"no video")
        with pytest.raises(DatasetError, match=r"vid\.avi: expected a video, it does not open$"):
            read_clip(clip)

    def test_a_missing_one_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"vid\.avi: expected the clip's video"):
            read_clip(make_clip(tmp_path / "114"))

    def test_of_a_real_clip(self, shared: Path) -> None:
        """Its labels are not in 300W's order; the layout and the frames are."""
        samples = read_clip(shared / "data/video/talking_face")
        assert len(samples) == 500
        capture = cv2.VideoCapture(str(shared / "data/video/talking_face/vid.avi"))
        for frame in range(1, 31):
            image = capture.read()[1]
            if frame in (1, 2, 17, 30):
                assert np.array_equal(samples[frame - 1].read_image(), image[..., ::-1])
        capture.release()


class TestExtracted:
    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        make_clip(tmp_path / "401", (2, 5, 9))
        (tmp_path / "401/imgs").mkdir()
        for frame in (1, 2, 5, 9):  # frame 1 has no label
            cv2.imwrite(str(tmp_path / f"401/imgs/{frame:06d}.png"), np.full((9, 9, 3), shade(frame), np.uint8))
        return tmp_path / "401"

    def test_frames_are_read_instead_of_the_video(self, clip: Path) -> None:
        (clip / "vid.avi").touch()
        samples = read_clip(clip)
        assert [s.picture.stem for s in samples] == ["000002", "000005", "000009"]
        assert [int(s.read_image()[0, 0, 0]) for s in samples] == [shade(2), shade(5), shade(9)]

    def test_excluded_frames_are_left_out_before_they_are_read(self, clip: Path) -> None:
        (clip / "annot/000005.pts").write_text("broken")
        assert [s.picture.stem for s in read_clip(clip, excluded=[5, 7])] == ["000002", "000009"]

    def test_a_label_without_a_frame_is_bad(self, clip: Path) -> None:
        (clip / "imgs/000005.png").unlink()
        with pytest.raises(DatasetError, match=r"000005\.pts: expected a picture of that name in imgs"):
            read_clip(clip)
        assert len(read_clip(clip, on_invalid="skip")) == 2


class TestCategory:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for clip in CLIPS["C"]:
            make_clip(tmp_path / clip, (1, 2))
            (tmp_path / clip / "imgs").mkdir()
            for frame in (1, 2):
                (tmp_path / clip / f"imgs/{frame:06d}.jpg").touch()
        return tmp_path

    def test_frames_are_filed_under_their_clip(self, root: Path) -> None:
        samples = read_300vw(root, "C")
        assert len(samples) == 28
        assert samples[3].subsets == {"C", "411"}
        assert samples[3].picture == root / "411/imgs/000002.jpg"

    def test_excluded_frames(self, root: Path) -> None:
        shutil.move(root / "411/annot/000002.pts", root / "411/annot/000019.pts")  # 19 is one of the 2,127
        samples = read_300vw(root, "C")
        assert len(samples) == 27
        assert [s.picture.stem for s in samples if "411" in s.subsets] == ["000001"]

    def test_missing_clips_are_named(self, root: Path) -> None:
        shutil.rmtree(root / "411")
        with pytest.raises(DatasetError, match=r"expected the 14 clips of 300VW C; missing: 411$"):
            read_300vw(root, "C", on_invalid="skip")

    def test_real_frames(self, shared: Path) -> None:
        source = shared / "data/samples/300vw"
        samples = [*read_clip(source / "001"), *read_clip(source / "401")]
        assert Pictures(samples, 1).good(samples, "refuse") == samples
        assert [s.name for s in samples] == [
            str(source / name)
            for name in ("001/imgs/000006.jpg", "001/imgs/000009.jpg", "401/imgs/000731.jpg", "401/imgs/000732.jpg")
        ]
        for sample in samples:
            assert_allclose(sample.points_px, read_pts(sample.picture.parents[1] / f"annot/{sample.picture.stem}.pts"))
        assert [s.picture.stem for s in read_clip(source / "401", excluded_frames()["401"])] == ["000732"]
