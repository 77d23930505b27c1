"""Parquet files: whole or not there, with the rows of track_rows and a schema that says what they mean."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tracker.sinks.sinks_shared import ROOT, frame, result, run_on_full_disk
from tracker import Frame, Tracker, TrackerError, track_rows, track_to_parquet
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68, WFLW98, Scheme
from tracker.result import FrameResult, TrackedFace
from tracker.rows import COLUMNS, face_row
from tracker.run import run
from tracker.sinks import ParquetTable, arrow_schema
from tracker.sources import Source
from tracker.weights.packaged import WEIGHTS, identify_engine

pytestmark = pytest.mark.slow
pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow, of the extra parquet")

MakeTracker = Callable[..., Tracker]


class Recorded(Source):
    """Frames that are there already; fails_at: the number of one that cannot be given."""

    def __init__(self, frames: list[Frame], fails_at: int | None = None) -> None:
        super().__init__("a recording", len(frames), 30)
        self.given, self.fails_at = frames, fails_at

    def _read(self) -> Iterator[Frame]:  # type: ignore[override]
        for each in self.given:
            if each.index == self.fails_at:
                raise TrackerError("the connection was lost")
            yield each


SOURCE = Recorded([])


def fill(path: Path, frames: int, faces: int = 1, rows_per_group: int = 4096) -> list[dict[str, object]]:
    """Write a file of made-up faces; its rows."""
    rows: list[dict[str, object]] = []
    with ParquetTable(path, SOURCE, IBUG68, rows_per_group=rows_per_group) as table:
        for index in range(frames):
            table.write(frame(index), result(index, faces))
            made = [face_row(SOURCE.name, frame(index), result(index, faces), f) for f in result(index, faces).faces]
            rows += [{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in row.items()} for row in made]
            assert table.rows == len(rows)
    return rows


class TestContent:
    def test_is_that_of_track_rows(self, video: Path, tmp_path: Path, make_tracker: MakeTracker) -> None:
        tracker, path = make_tracker(), tmp_path / "made/on the way/clip.mp4.parquet"
        count = track_to_parquet(video, path, tracker)
        rows = pq.read_table(path).to_pylist()
        assert rows == list(track_rows(video, tracker))
        assert len(rows) == count > 60

    def test_is_that_of_the_table_beside_it(self, video: Path, tmp_path: Path) -> None:
        table, path = tmp_path / "out.csv", tmp_path / "out.parquet"
        run(video=str(video), csv=table, parquet=path)
        with table.open(newline="") as file:
            expected = list(csv.DictReader(file))
        rows = pq.read_table(path).to_pylist()
        assert [(row["frame"] + 1, row["face_id"]) for row in rows] == [
            (int(line["frame"]), int(line["face_id"])) for line in expected
        ]
        assert [round(row["points_px"][60], 1) for row in rows] == pytest.approx(
            [float(line["x_30"]) for line in expected], abs=0.06
        )

    def test_of_pictures_names_them(self, frames: list[Frame], tmp_path: Path) -> None:
        (tmp_path / "pictures").mkdir()
        for name, index in (("a", 3), ("größe", 9)):
            picture = cv2.imencode(".png", frames[index].image_rgb[..., ::-1])[1]
            (tmp_path / f"pictures/{name}.png").write_bytes(picture.tobytes())
        run(images=tmp_path / "pictures", parquet=tmp_path / "out.parquet")
        rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
        assert [(row["picture"], row["face_id"]) for row in rows] == [("a.png", 1), ("größe.png", 1)]

    @pytest.mark.parametrize("scheme", [IBUG68, WFLW98])
    def test_has_the_schema_of_its_scheme(self, tmp_path: Path, scheme: Scheme) -> None:
        """With faces and without."""
        landmarks = Landmarks.from_points(np.zeros((scheme.count, 2)), scheme)
        for faces in ((), (TrackedFace(1, "tracking", 0.5, landmarks, landmarks),)):
            with ParquetTable(tmp_path / "out.parquet", SOURCE, scheme) as table:
                table.write(frame(0), FrameResult(0, 0.0, faces))
            read = pq.read_table(tmp_path / "out.parquet")
            assert read.schema.equals(arrow_schema(scheme), check_metadata=True)
            assert read.num_rows == len(faces)
        assert read.schema.names == [column.name for column in COLUMNS]
        assert read.schema.field("points_px").type.list_size == 2 * scheme.count

    def test_says_what_it_is(self, frames: list[Frame], tmp_path: Path, make_tracker: MakeTracker) -> None:
        source, path = Recorded(frames[:7]), tmp_path / "out.parquet"
        source.losses.unreadable = 2
        track_to_parquet(source, path, make_tracker())
        metadata = {k.decode(): v.decode() for k, v in pq.read_metadata(path).metadata.items()}
        about = {k.removeprefix("landmark_tracker."): v for k, v in metadata.items() if k.startswith("landmark_")}
        assert (about["frames"], about["unreadable_frames"], about["schema_version"]) == ("7", "2", "1")
        assert (about["model"], about["scheme"]) == ("edge68", "ibug68")
        assert about["model_sha256"] == hashlib.sha256((WEIGHTS / "edge68.onnx").read_bytes()).hexdigest()
        assert about["model_licence"] == make_tracker().engine.spec.licence
        assert "x right, y down, pixel centres at integers" in about["convention"]
        units = {field.name: (field.metadata or {}).get(b"unit") for field in pq.read_schema(path)}
        assert (units["timestamp_s"], units["points_px"], units["covariances_px2"]) == (b"s", b"px", b"px^2")

    def test_of_a_video_without_a_face_counts_its_frames(self, tmp_path: Path, make_tracker: MakeTracker) -> None:
        black = [frame(index) for index in range(3)]
        assert track_to_parquet(Recorded(black), tmp_path / "out.parquet", make_tracker()) == 0
        metadata = pq.read_metadata(tmp_path / "out.parquet")
        assert (metadata.num_rows, metadata.metadata[b"landmark_tracker.frames"]) == (0, b"3")

    def test_is_read_by_pandas(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas", reason="needs pandas, of the extra dev")
        rows = fill(tmp_path / "out.parquet", 3)
        table = pandas.read_parquet(tmp_path / "out.parquet")
        points_px = np.stack(table["points_px"]).reshape(-1, 68, 2)
        np.testing.assert_array_equal(points_px[2], np.reshape(rows[2]["points_px"], (68, 2)).astype(np.float32))

    def test_engines_without_a_file_have_a_name(self) -> None:
        class Remote:
            spec = Tracker().engine.spec

        identity = identify_engine(Remote())  # type: ignore[arg-type]
        assert (identity.name, identity.sha256, identity.licence) == ("Remote", None, Remote.spec.licence)


class TestWhole:
    def test_grows_by_groups_and_appears_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "out.parquet"
        path.write_text("older")
        with ParquetTable(path, SOURCE, IBUG68, rows_per_group=10) as table:
            sizes = []
            for index in range(100):
                table.write(frame(index), result(index, faces=3))
                sizes.append((tmp_path / ".out.part.parquet").stat().st_size)
                assert path.read_text() == "older"
            assert sizes[10] < sizes[50] < sizes[99]
        assert os.listdir(tmp_path) == ["out.parquet"]
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert sum(groups) == 300 and set(groups) == {12}
        assert pq.read_table(path).to_pylist() == fill(tmp_path / "other.parquet", 100, faces=3)

    def test_nothing_appears_without_a_frame(self, tmp_path: Path) -> None:
        with ParquetTable(tmp_path / "out.parquet", SOURCE, IBUG68):
            pass
        assert os.listdir(tmp_path) == []

    def test_a_run_that_is_interrupted_keeps_what_it_has(self, tmp_path: Path) -> None:
        """As of the other sinks: a camera's run ends so."""
        path = tmp_path / "out.parquet"
        with pytest.raises(KeyboardInterrupt), ParquetTable(path, SOURCE, IBUG68) as table:  # noqa: PT012
            for index in range(5):
                table.write(frame(index), result(index))
            raise KeyboardInterrupt
        assert pq.read_table(path).num_rows == 5

    def test_a_video_that_fails_changes_nothing(
        self, frames: list[Frame], tmp_path: Path, make_tracker: MakeTracker
    ) -> None:
        path, tracker = tmp_path / "out.parquet", make_tracker()
        for older in (None, b"older"):
            if older is not None:
                path.write_bytes(older)
            with pytest.raises(TrackerError, match="the connection was lost"):
                track_to_parquet(Recorded(frames[:9], fails_at=6), path, tracker)
            assert os.listdir(tmp_path) == ([] if older is None else ["out.parquet"])
        assert path.read_bytes() == b"older"
        assert track_to_parquet(Recorded(frames[:9]), path, tracker) == pq.read_table(path).num_rows == 9

    @pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
    def test_killed_in_the_middle(self, tmp_path: Path) -> None:
        code = """
            import sys
            from tests.tracker.sinks.sinks_shared import BLACK, IBUG68, frame, result
            from tracker.sinks import ParquetTable
            from tracker.sources import ArraySource
            table = ParquetTable(sys.argv[1], ArraySource([BLACK]), IBUG68, rows_per_group=10)
            for index in range(10**9):
                table.write(frame(index), result(index))
                if index == 50:
                    print("ready", flush=True)
        """
        path = tmp_path / "out.parquet"
        for older in (False, True):
            command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None and process.stdout.readline() == b"ready\n"
                process.send_signal(signal.SIGKILL)
            assert sorted(os.listdir(tmp_path)) == [".out.part.parquet"] + ["out.parquet"] * older
            if older:
                assert pq.read_table(path).num_rows == 20
            fill(path, 20)
            assert os.listdir(tmp_path) == ["out.parquet"]

    def test_a_full_disk_is_one_sentence_and_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "out.parquet"
        path.write_text("older")
        for group in (10, 4096):  # full while it grows, and at its end
            error = run_on_full_disk(
                f"""
                from tracker.sources import ArraySource
                frames = ArraySource([BLACK])
                with ParquetTable(folder / "out.parquet", frames, IBUG68, rows_per_group={group}) as table:
                    for index in range(300):
                        table.write(frame(index), result(index, faces=3))
                """,
                tmp_path,
            )
            last = error.splitlines()[-1]
            assert "TrackerError: " in last and "out.parquet cannot be written (File too large)" in last
            assert "Exception ignored" not in error
            assert os.listdir(tmp_path) == ["out.parquet"] and path.read_text() == "older"

    def test_another_run_on_the_same_file_is_refused(self, tmp_path: Path) -> None:
        with ParquetTable(tmp_path / "out.parquet", SOURCE, IBUG68) as table:
            table.write(frame(0), result(0))
            with pytest.raises(TrackerError, match="is being written by another run"):
                ParquetTable(tmp_path / "out.parquet", SOURCE, IBUG68)
        assert pq.read_table(tmp_path / "out.parquet").num_rows == 1

    @pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
    def test_links_stay_and_devices_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("older")
        (tmp_path / "link").symlink_to("real")
        fill(tmp_path / "link", 3)
        assert (tmp_path / "link").is_symlink() and pq.read_table(tmp_path / "real").num_rows == 3
        os.mkfifo(tmp_path / "pipe")
        for name, kind in ((tmp_path, "a folder"), ("/dev/full", "a device"), (tmp_path / "pipe", "a pipe")):
            with pytest.raises(TrackerError, match=f"{name} is {kind}, so it is not replaced"):
                ParquetTable(name, SOURCE, IBUG68)
        with pytest.raises(TrackerError, match=r"missing.out\.parquet cannot be written"):
            ParquetTable(tmp_path / "missing/out.parquet", SOURCE, IBUG68)

    def test_standard_output_is_refused(self) -> None:
        with pytest.raises(TrackerError, match="cannot go to standard output"):
            ParquetTable("-", SOURCE, IBUG68)

    def test_a_video_is_not_its_own_result(self, video: Path, tmp_path: Path, make_tracker: MakeTracker) -> None:
        content = video.read_bytes()
        (tmp_path / "link").symlink_to(video)
        for output in (video, tmp_path / "link"):
            with pytest.raises(TrackerError, match="source and output name the same file"):
                track_to_parquet(str(video), output, make_tracker())
        assert video.read_bytes() == content
