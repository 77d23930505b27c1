"""An overlay video is whole or not there, keeps the time of its source, and its sound."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracker.sinks.sinks_shared import BLACK, play, run_on_full_disk, run_until_interrupted
from tests.tracker.sources.video_shared import SOURCE, find_program, make_clip
from tracker.errors import TrackerError
from tracker.sinks import OverlayVideo
from tracker.sinks.video import MOST_FPS, SPARE_BYTES


class FakeUsage(NamedTuple):
    """Of a disk, as far as it is asked for."""

    free: int


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.sinks.video.find_ffmpeg", lambda: None)


class TestOverlayVideo:
    def test_plays_every_picture_in_rgb(self, tmp_path: Path) -> None:
        path = tmp_path / "größe_日本.mp4"
        with OverlayVideo(path, 29.97) as sink:
            for index in range(10):
                picture = np.full((48, 64, 3), 20 * index, np.uint8)
                picture[:, :32] = (255, 0, 0)
                sink.write(picture, index / 29.97)
            assert not path.exists()
        pictures = play(path)
        assert [p.shape for p in pictures] == [(48, 64, 3)] * 10
        assert [round(float(p[:, 40:].mean()) / 20) for p in pictures] == list(range(10))
        assert all(p[24, 8, 2] > 200 > 60 > p[24, 8, 0] for p in pictures)
        assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(29.97, abs=0.01)
        assert os.listdir(tmp_path) == [path.name]

    def test_other_sizes_are_fitted_into_the_first(self, tmp_path: Path) -> None:
        with OverlayVideo(tmp_path / "out.mp4", 25) as sink:
            for index, shape in enumerate([(48, 64), (96, 128), (96, 48), (1, 200)]):
                sink.write(np.full((*shape, 3), 255, np.uint8), index / 25)
        same, half, tall, flat = (p[..., 0] for p in play(tmp_path / "out.mp4"))
        assert same.min() > 230 and half.min() > 230
        bright = tall.mean(0) > 128  # 24 of 64 columns, in the middle
        assert (bright.sum(), bright[:20].any(), bright[44:].any()) == (24, False, False)
        assert flat.shape == (48, 64)

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (481, 641)])
    def test_odd_sizes_grow_by_one(self, tmp_path: Path, height: int, width: int) -> None:
        with OverlayVideo(tmp_path / "out.mp4", 25) as sink:
            sink.write(np.full((height, width, 3), 200, np.uint8), 0.0)
        (picture,) = play(tmp_path / "out.mp4")
        assert picture.shape == (height + height % 2, width + width % 2, 3)
        assert np.abs(picture.astype(int) - 200).max() < 20

    @pytest.mark.parametrize("fps", [0.5, 1, 14.985014985, 23.976023976, 30000 / 1001, 239.76, 240.123, 999.9])
    def test_any_frame_rate(self, tmp_path: Path, fps: float) -> None:
        with OverlayVideo(tmp_path / "out.mp4", fps) as sink:
            sink.write(BLACK, 0.0)
        assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=3e-3)

    def test_without_pictures_nothing_changes(self, tmp_path: Path) -> None:
        (tmp_path / "out.mp4").write_text("kept")
        OverlayVideo(tmp_path / "out.mp4", 25).close()
        assert (tmp_path / "out.mp4").read_text() == "kept"
        assert os.listdir(tmp_path) == ["out.mp4"]

    @pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process on Windows")
    def test_interrupted_is_playable(self, tmp_path: Path) -> None:
        done = run_until_interrupted(
            """
            with OverlayVideo(folder / "out.mp4", 25) as sink:
                for index in range(10**9):
                    sink.write(BLACK, index / 25)
                    if index == 20: print("ready", flush=True)
            """,
            tmp_path,
        )
        assert "KeyboardInterrupt" in done.stderr
        assert len(play(tmp_path / "out.mp4")) > 20
        assert os.listdir(tmp_path) == ["out.mp4"]

    @pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
    def test_file_that_lacks_its_end_is_one_sentence_and_no_file(self, tmp_path: Path, suffix: str) -> None:
        """OpenCV says nothing of it, and opens what there is of an AVI or MKV."""
        error = run_on_full_disk(
            f"""
            with OverlayVideo(folder / "out{suffix}", 25) as sink:
                for index in range(60):
                    picture = np.random.default_rng(index).integers(0, 255, (240, 320, 3), np.uint8)
                    sink.write(picture, index / 25)
            """,
            tmp_path,
        )
        assert f"out{suffix} could not be completed: is the disk full?" in error.splitlines()[-1]
        assert os.listdir(tmp_path) == []

    def test_stops_before_the_disk_is_full_and_keeps_the_rest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "out.mp4"
        with OverlayVideo(path, 25) as sink:
            monkeypatch.setattr(shutil, "disk_usage", lambda folder: FakeUsage(SPARE_BYTES))
            for index in range(3):
                sink.write(BLACK, index / 25)
            monkeypatch.setattr(shutil, "disk_usage", lambda folder: FakeUsage(SPARE_BYTES - 1))
            with pytest.raises(TrackerError, match=r"out\.mp4 ends after 3 pictures: the disk is full"):
                sink.write(BLACK, 3 / 25)
        assert len(play(path)) == 3
        with pytest.raises(TrackerError, match=r"b\.mp4 ends after 0 pictures: the disk is full"):
            OverlayVideo(tmp_path / "b.mp4", 25)
        assert os.listdir(tmp_path) == [path.name]

    def test_a_name_that_was_taken_by_a_folder_meanwhile(self, tmp_path: Path) -> None:
        sink = OverlayVideo(tmp_path / "out.mp4", 25)
        sink.write(BLACK, 0.0)
        (tmp_path / "out.mp4").mkdir()
        with pytest.raises(TrackerError, match=r"out\.mp4 cannot be written"):
            sink.close()
        assert os.listdir(tmp_path) == ["out.mp4"]

    def test_what_cannot_be_written_is_said_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"out\.mp4 cannot be written \(No such file"):
            OverlayVideo(tmp_path / "missing" / "out.mp4", 25)
        for name in ("out.xyz", "out", "."):
            with pytest.raises(TrackerError, match=r"ending in \.mp4"):
                OverlayVideo(tmp_path / name, 25)
        (tmp_path / "folder.mp4").mkdir()
        with pytest.raises(TrackerError, match="expected the name of a video file"):
            OverlayVideo(tmp_path / "folder.mp4", 25)
        assert os.listdir(tmp_path) == ["folder.mp4"]

    @pytest.mark.usefixtures("no_ffmpeg")
    def test_what_the_codec_refuses_is_said_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class FakeWriter:
            fourcc = staticmethod(lambda *_: 0)

            def __init__(self, *_: object) -> None: ...

            def isOpened(self) -> bool:  # noqa: N802
                return False

        monkeypatch.setattr(cv2, "VideoWriter", FakeWriter)
        with pytest.raises(TrackerError, match=r"out\.mp4 cannot be written: this OpenCV does not write MPEG-4 of 25 "):
            OverlayVideo(tmp_path / "out.mp4", 25)
        assert os.listdir(tmp_path) == []

    @pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
    @pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"\xff.avi", b"12:30.mkv", b"a%d.mov"])
    def test_any_name_is_written(self, tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with OverlayVideo(os.fsdecode(name), 25) as sink:
            sink.write(BLACK, 0.0)
        assert os.listdir(os.fsencode(tmp_path)) == [name]
        shutil.move(name, f"plain{Path(os.fsdecode(name)).suffix}")
        assert len(play(next(tmp_path.iterdir()))) == 1


def codec_of(path: Path) -> str:
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()


@pytest.mark.usefixtures("no_ffmpeg")
class TestConstantRate:
    """Without ffmpeg. The pictures' grey is the number of the frame."""

    @staticmethod
    def shown(folder: Path, fps: float, times_s: list[float]) -> list[int]:
        """What a video shows, whose pictures 0, 1, ... were taken at those times."""
        with OverlayVideo(folder / "out.mp4", fps) as sink:
            for number, time_s in enumerate(times_s):
                sink.write(np.full((48, 64, 3), 8 * number, np.uint8), time_s)
        return [round(float(picture.mean()) / 8) for picture in play(folder / "out.mp4")]

    def test_a_frame_that_was_dropped_shows_the_one_before(self, tmp_path: Path) -> None:
        times_s = [100.0 + n / 25 for n in (0, 1, 2, 5, 6, 8)]  # a clock starts anywhere
        assert self.shown(tmp_path, 25, times_s) == [0, 1, 2, 2, 2, 3, 4, 4, 5]

    def test_a_camera_slower_than_it_says_plays_at_its_own_speed(self, tmp_path: Path) -> None:
        shown = self.shown(tmp_path, 30, [n / 10 for n in range(11)])
        assert len(shown) == 31 and shown == sorted(shown) and set(shown) == set(range(11))

    @settings(max_examples=25)
    @given(late_s=st.lists(st.floats(0, 0.029), min_size=1, max_size=30))
    def test_jitter_repeats_and_loses_nothing(self, late_s: list[float]) -> None:
        """Each picture up to .7 of a frame late: as many as were written."""
        with TemporaryDirectory() as folder:
            shown = self.shown(Path(folder), 25, [0.0, *(n / 25 + late for n, late in enumerate(late_s, 1))])
        assert shown == list(range(len(late_s) + 1))

    def test_pictures_that_come_faster_are_left_out(self, tmp_path: Path) -> None:
        """One a second and then 25, of a file that states their mean."""
        times_s = [0.0, 1.0, 2.0, 3.0, *(4 + n / 25 for n in range(25))]
        shown = self.shown(tmp_path, 6, times_s)
        assert len(shown) == pytest.approx(5 * 6, abs=2)
        assert shown == sorted(shown) and {0, 1, 2, 3, 4} < set(shown)

    def test_a_gap_at_a_high_rate_is_bounded(self, tmp_path: Path) -> None:
        assert len(self.shown(tmp_path, 2000, [0.0, 3600.0, 7200.0])) < 20 * MOST_FPS + 10

    @pytest.mark.parametrize("times_s", [[0, 0, 0, 0], [0, -5, -6, -7], [9, 1, 2, 3]])
    def test_a_clock_that_stands_or_goes_back_loses_no_picture(self, tmp_path: Path, times_s: list[float]) -> None:
        assert sorted(set(self.shown(tmp_path, 25, times_s))) == [0, 1, 2, 3]

    def test_a_long_gap_is_shortened(self, tmp_path: Path) -> None:
        shown = self.shown(tmp_path, 5, [0.0, 0.2, 86400.0, 86400.2, 86400.8])
        assert shown == [0, *[1] * 50, 2, 3, 3, 3, 4]
        assert codec_of(tmp_path / "out.mp4") == "FMP4"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
class TestH264:
    """With ffmpeg: every picture once, at its own time."""

    @staticmethod
    def shown_s(path: Path, times_s: list[float], sound_of: Path | None = None) -> list[float]:
        find_program()
        with OverlayVideo(path, 25, sound_of) as sink:
            for time_s in times_s:
                sink.write(BLACK, time_s)
        capture, shown = cv2.VideoCapture(str(path)), []
        while capture.grab():
            shown.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        assert codec_of(path) in ("h264", "avc1", "H264")
        return shown

    def test_pictures_keep_their_times(self, suffix: str, tmp_path: Path) -> None:
        times_s = [7.0, 7.001, 7.5, 9.25, *(10 + n / 120 for n in range(10))]
        shown_s = self.shown_s(tmp_path / f"out{suffix}", times_s)
        assert shown_s == pytest.approx([time_s - 7 for time_s in times_s], abs=0.0011 if suffix == ".mkv" else 1e-4)

    def test_a_gap_of_a_file_is_kept_and_costs_nothing(self, suffix: str, tmp_path: Path) -> None:
        """Of a file without sound, which is looked for in vain."""
        source = make_clip(tmp_path / "source.mp4", f"{SOURCE} -c:v mpeg4")
        times_s = [0.0, 0.04, 4000.0, 4000.04]
        assert self.shown_s(tmp_path / f"out{suffix}", times_s, source) == pytest.approx(times_s, abs=1e-3)
        assert (tmp_path / f"out{suffix}").stat().st_size < 10_000

    def test_a_gap_of_a_camera_is_shortened(self, suffix: str, tmp_path: Path) -> None:
        shown_s = self.shown_s(tmp_path / f"out{suffix}", [0.0, 0.2, 86400.0, 86400.2])
        assert shown_s == pytest.approx([0.0, 0.2, 10.2, 10.4], abs=1e-3)
