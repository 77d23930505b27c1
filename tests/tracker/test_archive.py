"""The rows of a video, and which videos of an archive are still to be tracked. tests/tracker/sinks/test_parquet.py has
the files."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker import Frame, Tracker, TrackerError, track_rows, track_to_parquet, unfinished_videos
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.gpu_frame import GpuFrame
from tracker.result import FrameResult, TrackedFace
from tracker.rows import COLUMNS, face_row
from tracker.run import run
from tracker.sources import Source

MakeTracker = Callable[..., Tracker]


class TestTrackRows:
    def test_has_a_row_for_each_face_of_each_frame(self, video: Path, make_tracker: MakeTracker) -> None:
        tracker = make_tracker()
        expected = [(result, face) for result in tracker.run(str(video)) for face in result.faces]
        rows = list(track_rows(str(video), tracker))
        assert len(rows) == len(expected) > 60
        assert {row["state"] for row in rows} == {"tracking", "coasting"}
        for row, (result, face) in zip(rows, expected, strict=True):
            assert (row["source"], row["picture"], row["width"], row["height"]) == (str(video), None, 320, 240)
            assert (row["frame"], row["timestamp_s"], row["face_id"]) == (result.index, result.timestamp_s, face.id)
            assert row["pixel_aspect"] == 1 and row["score"] == np.float32(face.score)
            for name, values in (
                ("box_px", face.box_px),
                ("points_px", face.landmarks.points_px),
                ("scores", face.landmarks.scores),
                ("covariances_px2", face.landmarks.covariances_px2),
                ("raw_points_px", face.raw.points_px),
            ):
                np.testing.assert_array_equal(np.reshape(row[name], values.shape), values.astype(np.float32))

    def test_is_plain_and_has_the_columns(self, frames: list[Frame], make_tracker: MakeTracker) -> None:
        row = next(track_rows([frame.image_rgb for frame in frames[:3]], make_tracker()))
        assert list(row) == [column.name for column in COLUMNS]
        assert json.loads(json.dumps(row)) == row
        for column in COLUMNS:
            length = column.per_face + 68 * column.per_point
            if column.nullable and row[column.name] is None:
                continue
            if length:
                assert len(row[column.name]) == length and {type(value) for value in row[column.name]} == {float}
            else:
                assert type(row[column.name]) is {"s": str, "i": int, "f": float}[column.kind[0]]

    def test_forgets_the_video_before(self, frames: list[Frame], make_tracker: MakeTracker) -> None:
        tracker, pictures = make_tracker(), [frame.image_rgb for frame in frames[:8]]
        first = list(track_rows(pictures, tracker))
        next(track_rows([frame.image_rgb for frame in frames[70:80]], tracker))
        assert list(track_rows(pictures, tracker)) == first

    def test_makes_a_tracker_where_none_is_given(self, frames: list[Frame]) -> None:
        rows = list(track_rows([frame.image_rgb for frame in frames[:2]]))
        assert [row["frame"] for row in rows] == [0, 1]

    def test_closes_the_source_when_it_is_left(self, frames: list[Frame], make_tracker: MakeTracker) -> None:
        class Recorded(Source):
            closed = False

            def _read(self) -> Iterator[Frame]:  # type: ignore[override]
                yield from frames[:5]

            def close(self) -> None:
                self.closed = True

        source = Recorded("a recording", 5, 30)
        rows = track_rows(source, make_tracker())
        assert next(rows)["source"] == "a recording" and not source.closed
        rows.close()  # type: ignore[attr-defined]
        assert source.closed

    def test_of_no_video_is_one_sentence(self, tmp_path: Path, make_tracker: MakeTracker) -> None:
        tracker = make_tracker()
        (tmp_path / "text.mp4").write_text("hello")
        for path in (tmp_path / "none.mp4", tmp_path / "text.mp4"):
            with pytest.raises(TrackerError, match=path.name):
                next(track_rows(path, tracker))


class TestFaceRow:
    LANDMARKS = Landmarks.from_points(np.linspace(0, 100, 136).reshape(68, 2), IBUG68)
    FACE = TrackedFace(1, "tracking", 0.1, LANDMARKS, LANDMARKS)
    PICTURE = np.zeros((48, 64, 3), np.uint8)

    def row(
        self, frame: Frame, timestamp_s: float = 0.0, source: str = "s", picture: str | None = None
    ) -> dict[str, Any]:
        return face_row(source, frame, FrameResult(0, timestamp_s, (self.FACE,), picture=picture), self.FACE)

    def test_knows_the_size_that_landmarks_count_in(self) -> None:
        gpu = GpuFrame(address=64, width=640, height=480, row_bytes=1920)
        sizes = [self.row(frame) for frame in (Frame(self.PICTURE, 0.0, 0), Frame(self.PICTURE, 0.0, 0, gpu))]
        assert [(row["width"], row["height"]) for row in sizes] == [(64, 48), (640, 480)]
        row = self.row(Frame(self.PICTURE, 0.0, 0, pixel_aspect=16 / 11))
        assert row["pixel_aspect"] == np.float32(16 / 11)

    @pytest.mark.parametrize("timestamp_s", [np.nan, np.inf])
    def test_has_no_time_where_there_is_none(self, timestamp_s: float) -> None:
        assert self.row(Frame(self.PICTURE, 0.0, 0), timestamp_s)["timestamp_s"] is None

    def test_names_are_text_for_every_program(self) -> None:
        row = self.row(Frame(self.PICTURE, 0.0, 0), source="a\udcff.mp4", picture="b\udcff.png")
        assert row["source"].encode() and row["picture"] == "b\\udcff.png"


class TestUnfinishedVideos:
    def test_each_has_a_result_of_its_own(self, tmp_path: Path) -> None:
        names = ["b.mp4", "b.mov", "a/b.mp4", "a/c/größe.MKV", "z.webm"]
        for name in (*names, "a/notes.txt", ".hidden.mp4", "a/._b.mp4"):
            path = tmp_path / "videos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (tmp_path / "videos/folder.mp4").mkdir()
        pairs = unfinished_videos(tmp_path / "videos", tmp_path / "out")
        assert sorted(str(video.relative_to(tmp_path / "videos")) for video, _ in pairs) == sorted(names)
        for video, result in pairs:
            assert result == tmp_path / "out" / f"{video.relative_to(tmp_path / 'videos')}.parquet"
        assert len({result for _, result in pairs}) == len(names)
        assert not (tmp_path / "out").exists()

    def test_leaves_out_those_with_a_result(self, tmp_path: Path) -> None:
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            (tmp_path / name).touch()
        (tmp_path / "out").mkdir()
        (tmp_path / "out/b.mp4.parquet").touch()
        (tmp_path / "out/.c.mp4.part.parquet").touch()  # of a worker that was killed
        assert [video.name for video, _ in unfinished_videos(tmp_path, tmp_path / "out")] == ["a.mp4", "c.mp4"]

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"none: expected a folder of videos"):
            unfinished_videos(tmp_path / "none", tmp_path)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere every name is Unicode")
    def test_a_name_that_no_table_can_hold(self, tmp_path: Path) -> None:
        (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
        with pytest.raises(TrackerError, match=r"the name is not valid UTF-8.*; rename the file"):
            unfinished_videos(tmp_path, tmp_path)


class TestWithoutPyarrow:
    @pytest.fixture(autouse=True)
    def missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)

    def test_says_what_to_install(self, video: Path, tmp_path: Path, make_tracker: MakeTracker) -> None:
        sentence = "a Parquet file needs pyarrow, which is not installed; pip install 'landmark-tracker[parquet]'"
        with pytest.raises(TrackerError) as raised:
            track_to_parquet(video, tmp_path / "out.parquet", make_tracker())
        assert str(raised.value) == sentence
        with pytest.raises(TrackerError) as raised:
            run(video=str(video), parquet=tmp_path / "out.parquet")
        assert str(raised.value) == sentence
        assert os.listdir(tmp_path) == []

    def test_standard_output_takes_none(self) -> None:
        with pytest.raises(TrackerError, match="--parquet: expected the name of a file, got -"):
            run(demo=True, parquet=Path("-"))
