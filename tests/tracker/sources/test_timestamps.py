"""Times of frames are those of the file, of any frame rate, and never run back."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.sources import ArraySource, Frame, Video
from tracker.sources.base import Timeline

SIZE = (32, 24)
ENCLOSING = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def write_with_durations(path: Path, durations_ms: Sequence[int]) -> Path:
    """An MP4 whose frame i is grey of level 10 i, shown for that long: of variable frame rate.

    OpenCV writes it at 25 frames a second; then the table of durations (stts, ISO/IEC 14496-12 8.6.1.2) and the
    lengths of the boxes around it are written anew. They come after the pictures, so nothing else moves.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, SIZE)
    for index in range(len(durations_ms)):
        writer.write(np.full((*SIZE[::-1], 3), 10 * index, np.uint8))
    writer.release()
    content = bytearray(path.read_bytes())
    assert content.index(b"mdat") < content.index(b"moov")
    media = content.index(b"mdhd")
    content[media + 16 : media + 24] = struct.pack(">II", 1000, sum(durations_ms))  # a clock of milliseconds
    edits = content.index(b"edts")
    content[edits : edits + 4] = b"free"  # it would end the clip where it ended before
    table = content.index(b"stts") - 4
    old_bytes = int.from_bytes(content[table : table + 4], "big")
    entries = b"".join(struct.pack(">II", 1, ms) for ms in durations_ms)
    new = struct.pack(">I4sII", 16 + len(entries), b"stts", 0, len(durations_ms)) + entries
    content[table : table + old_bytes] = new
    for name in ENCLOSING:
        at = content.index(name) - 4
        content[at : at + 4] = (int.from_bytes(content[at : at + 4], "big") + len(new) - old_bytes).to_bytes(4, "big")
    path.write_bytes(content)
    return path


def starts_s(durations_ms: Sequence[int]) -> list[float]:
    return [sum(durations_ms[:i]) / 1000 for i in range(len(durations_ms))]


def level_of(frame: Frame) -> int:
    return round(float(frame.image_rgb.mean()) / 10)


class TestVariableFrameRate:
    @settings(max_examples=40)
    @given(st.lists(st.integers(2, 2000), min_size=2, max_size=20))
    def test_every_frame_has_its_own_time(
        self, tmp_path_factory: pytest.TempPathFactory, durations_ms: list[int]
    ) -> None:
        path = write_with_durations(tmp_path_factory.mktemp("vfr") / "clip.mp4", durations_ms)
        with Video(path) as video:
            frames = list(video)
        assert [level_of(frame) for frame in frames] == list(range(len(durations_ms)))
        assert [frame.timestamp_s for frame in frames] == pytest.approx(starts_s(durations_ms), abs=1e-9)

    def test_is_not_taken_for_cut_short(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        durations_ms = [33, 34, 33, 500, 10, 10, 10, 900, 33, 33]
        with Video(write_with_durations(tmp_path / "clip.mp4", durations_ms)) as video:
            assert len(list(video)) == 10
        assert not caplog.records


def fake_clip(monkeypatch: pytest.MonkeyPatch, path: Path, stated_ms: Sequence[float], **stated: float) -> Video:
    """A Video of that file whose container states these times: a fake of cv2.VideoCapture."""
    path.write_bytes(b"x")
    answers = {
        cv2.CAP_PROP_FPS: stated.get("fps", 25.0),
        cv2.CAP_PROP_FRAME_COUNT: stated.get("count", float(len(stated_ms))),
    }

    class FakeCapture:
        def __init__(self, *_: Any) -> None:
            self.index = -1

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def grab(self) -> bool:
            self.index += 1
            if self.index == stated.get("ending"):
                raise cv2.error("Assertion failed")
            return self.index < len(stated_ms)

        def retrieve(self) -> tuple[bool, Any]:
            if self.index == stated.get("none"):
                return True, None  # as OpenCV 5 does for some damaged files
            if self.index == stated.get("raising"):
                raise cv2.error("Assertion failed: chunk.m_size <= 67108864")
            return self.index != stated.get("unreadable"), np.full((4, 4 + self.index, 3), 7, np.uint8)

        def get(self, propId: int) -> float:  # noqa: N803
            ended = not 0 <= self.index < len(stated_ms)
            if propId in answers:
                return answers[propId]
            return 0.0 if propId != cv2.CAP_PROP_POS_MSEC or ended else stated_ms[self.index]

        def set(self, propId: int, value: float) -> bool:  # noqa: N803
            return False

        def release(self) -> None: ...

    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    return Video(path)


class TestBadContainers:
    @pytest.mark.parametrize(
        ("stated_ms", "expected_ms"),
        [
            ([500, 540, 580], [0, 40, 80]),  # it begins late
            ([0, 40, 40, 80, 120], [0, 40, 80, 120, 160]),  # a time twice
            ([0, 40, 80, 20, 60, 160], [0, 40, 80, 120, 160, 260]),  # one that runs back
            ([0, 40, 80, 0, 40, 80], [0, 40, 80, 120, 160, 200]),  # two clips in one
            ([0, 0, 0, 0], [0, 40, 80, 120]),  # none at all, as of raw H.264
            ([0, math.nan, 80], [0, 40, 80]),
            ([math.nan, 40, 80], [0, 40, 80]),
        ],
    )
    def test_times_go_on(
        self,
        stated_ms: list[float],
        expected_ms: list[float],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with fake_clip(monkeypatch, tmp_path / "clip.avi", stated_ms) as video:
            frames = list(video)
        assert [1000 * frame.timestamp_s for frame in frames] == pytest.approx(expected_ms)
        mended = stated_ms[0] != 500 and not math.isnan(stated_ms[0])
        assert len(caplog.records) == mended  # said once
        assert "such frames are taken as 0.040 s apart" in caplog.text or not mended

    def test_a_size_that_changes_passes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with fake_clip(monkeypatch, tmp_path / "clip.avi", [0, 40, 80]) as video:
            assert [frame.image_rgb.shape for frame in video] == [(4, 4, 3), (4, 5, 3), (4, 6, 3)]

    def test_damage_in_the_middle_costs_its_frames_only(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path, rng = tmp_path / "clip.mkv", np.random.default_rng(0)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
        for _ in range(20):
            writer.write(cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (64, 48)))
        writer.release()
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes(900) + content[middle + 900 :])
        with Video(path) as video:
            frames = list(video)
        assert 15 <= len(frames) < 20
        on_grid = [25 * frame.timestamp_s for frame in frames]
        assert on_grid == pytest.approx(np.round(on_grid), abs=1e-6)  # those that are left keep their times
        assert on_grid[-1] == pytest.approx(19)
        assert f"damaged, or its frame rate varies: read {len(frames)} of 20 frames" in caplog.text

    @pytest.mark.parametrize("how", ["unreadable", "none", "raising"])
    def test_a_frame_that_cannot_be_retrieved_is_left_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
    ) -> None:
        with fake_clip(monkeypatch, tmp_path / "clip.avi", [0, 40, 80, 120], **{how: 2}) as video:
            assert [(frame.index, frame.timestamp_s) for frame in video] == [(0, 0.0), (1, 0.04), (3, 0.12)]
            assert video.losses.unreadable == 1
        assert "damaged, or its frame rate varies: read 3 of 4 frames" in caplog.text


def test_a_file_that_opencv_cannot_go_on_in_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with fake_clip(monkeypatch, tmp_path / "clip.avi", [0, 40, 80, 120], ending=3) as video:
        assert [frame.index for frame in video] == [0, 1, 2]
    assert "it is damaged: OpenCV cannot read on" in caplog.text


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=30))
def test_a_timeline_increases_whatever_is_stated(stated: list[float]) -> None:
    timeline = Timeline("clip", 0.04)
    times = [timeline(time_s) for time_s in stated]
    assert times[0] == 0
    assert all(map(math.isfinite, times))
    assert all(later > earlier for earlier, later in pairwise(times))


class TestArrays:
    def test_times_increase_at_a_rate_that_leaves_no_time_between(self) -> None:
        with ArraySource(np.zeros((3, 2, 2, 3), np.uint8), fps=1e300, timestamps_s=[5, 9, 9]) as source:
            assert [frame.timestamp_s for frame in source] == [0, 4, math.nextafter(4, 5)]

    def test_at_a_rate(self) -> None:
        pictures = np.arange(4 * 6 * 8 * 3, dtype=np.uint8).reshape(4, 6, 8, 3)
        with ArraySource(pictures, fps=50) as source:
            assert (source.frame_count, source.fps, source.live) == (4, 50, False)
            frames = list(source)
        assert [(frame.index, frame.timestamp_s) for frame in frames] == [(0, 0.0), (1, 0.02), (2, 0.04), (3, 0.06)]
        assert all((frame.image_rgb == picture).all() for frame, picture in zip(frames, pictures))

    def test_a_generator_is_taken_one_by_one(self) -> None:
        made: list[int] = []

        def pictures() -> Any:
            for level in range(3):
                made.append(level)
                yield np.full((2, 2 + level, 3), level, np.uint8)

        with ArraySource(pictures()) as source:
            assert source.frame_count is None
            next(source)
            assert made == [0]
            assert [frame.image_rgb.shape[1] for frame in source] == [3, 4]

    def test_with_times_of_their_own(self, caplog: pytest.LogCaptureFixture) -> None:
        pictures = [np.zeros((2, 2, 3), np.uint8)] * 4
        times = [frame.timestamp_s for frame in ArraySource(pictures, timestamps_s=[10.0, 10.5, 10.5, 12.0], fps=10)]
        assert times == pytest.approx([0, 0.5, 0.6, 2.1])
        assert "the arrays states 10.500 s after 10.500 s" in caplog.text

    def test_refuses_what_cannot_be(self) -> None:
        picture = np.zeros((2, 2, 3), np.uint8)
        with pytest.raises(TrackerError, match="fps must be a positive number, got 0"):
            ArraySource([picture], fps=0)
        with pytest.raises(TrackerError, match="expected a timestamp for each picture, got 1"):
            list(ArraySource([picture] * 2, timestamps_s=[0.0]))
        with pytest.raises(TrackerError, match=r"RGB array .* got \(2, 2, 3\) of float32: convert it"):
            next(ArraySource([np.full((2, 2, 3), np.nan, np.float32)]))  # type: ignore[list-item]
