"""What is written is complete however the run ends, and what cannot be written is said in one sentence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.tracker.sinks.sinks_shared import BLACK, ROOT, frame, play, result, run_on_full_disk, run_until_interrupted
from tracker.errors import TrackerError
from tracker.result import FrameResult
from tracker.sinks import Drawn, JsonLines, OverlayVideo, Window


class TestJsonLines:
    def test_a_line_a_frame_is_there_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "größe.jsonl"
        path.write_text("an older run\n")
        with JsonLines(path) as sink:
            for index in range(3):
                sink.write(frame(index), result(index, faces=index))
                lines = path.read_bytes().splitlines(keepends=True)
                assert len(lines) == index + 1 and lines[-1].endswith(b"\n")
        assert [json.loads(line) for line in lines] == [result(i, faces=i).to_json() for i in range(3)]

    @pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process on Windows")
    def test_interrupted_leaves_complete_lines(self, tmp_path: Path) -> None:
        done = run_until_interrupted(
            """
            with JsonLines(folder / "out.jsonl") as sink:
                for index in range(10**9):
                    sink.write(frame(index), result(index, faces=3))
                    if index == 20: print("ready", flush=True)
            """,
            tmp_path,
        )
        assert "KeyboardInterrupt" in done.stderr
        content = (tmp_path / "out.jsonl").read_text()
        assert content.endswith("\n")
        assert [json.loads(line)["frame"] for line in content.splitlines()] == list(range(content.count("\n")))
        assert content.count("\n") > 20

    def test_full_disk_is_one_sentence_and_complete_lines(self, tmp_path: Path) -> None:
        error = run_on_full_disk(
            """
            with JsonLines(folder / "out.jsonl") as sink:
                for index in range(1000):
                    sink.write(frame(index), result(index, faces=3))
            """,
            tmp_path,
        )
        assert re.search(r"TrackerError: .*out\.jsonl cannot be written \(.+\): choose", error.splitlines()[-1])
        content = (tmp_path / "out.jsonl").read_text()
        assert content.endswith("\n") and 10 < content.count("\n") < 1000
        assert all(len(json.loads(line)["faces"]) == 3 for line in content.splitlines())

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_device_that_takes_nothing(self) -> None:
        with JsonLines("/dev/full") as sink, pytest.raises(TrackerError, match="/dev/full cannot be written"):
            sink.write(frame(0), result(0))

    def test_goes_on_where_the_disk_has_space_again(self, tmp_path: Path) -> None:
        """What was written of a line is taken back, and the next one follows the last whole one."""
        resource = pytest.importorskip("resource")
        path = tmp_path / "out.jsonl"
        path.write_text("an older run\n")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with JsonLines(path) as sink:
            sink.write(frame(0), result(0))
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, before[1]))
                with pytest.raises(TrackerError, match="cannot be written"):
                    sink.write(frame(1), result(1))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            sink.write(frame(2), result(2))
        assert [json.loads(line)["frame"] for line in path.read_text().splitlines()] == [0, 2]

    def test_unwritable(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"missing.out\.jsonl cannot be written \(No such file"):
            JsonLines(tmp_path / "missing" / "out.jsonl")
        with pytest.raises(TrackerError, match="cannot be written"):
            JsonLines(tmp_path)

    def test_a_time_that_is_no_number_is_null(self, tmp_path: Path) -> None:
        with JsonLines(tmp_path / "out.jsonl") as sink:
            sink.write(frame(0), FrameResult(0, float("nan"), ()))
        assert json.loads((tmp_path / "out.jsonl").read_text()) == {"frame": 0, "timestamp_s": None, "faces": []}


class TestStandardOutput:
    """ "-", in a process of its own."""

    CODE = """
        import sys
        from tests.tracker.sinks.sinks_shared import frame, result
        from tracker.sinks import JsonLines
        with JsonLines("-") as sink:
            for index in range(int(sys.argv[1])):
                sink.write(frame(index), result(index))
    """

    def start(self, count: int, stdout: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", textwrap.dedent(self.CODE), str(count)]
        return subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE)

    def test_lines_are_piped_at_once(self) -> None:
        process = self.start(3, subprocess.PIPE)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b"")
        assert [json.loads(line)["frame"] for line in out.splitlines()] == [0, 1, 2]

    def test_a_reader_that_leaves_is_a_broken_pipe(self) -> None:
        process = self.start(100_000, subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["frame"] == 0
        process.stdout.close()
        assert b"BrokenPipeError" in process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=60) == 1

    def test_full_disk_takes_nothing_from_what_was_there_before(self, tmp_path: Path) -> None:
        """As behind `>> all.jsonl`."""
        path = tmp_path / "all.jsonl"
        path.write_text("older\n" * 5000)
        code = """
            with JsonLines("-") as sink:
                for index in range(1000):
                    sink.write(frame(index), result(index))
        """
        with path.open("ab") as stdout:
            error = run_on_full_disk(code, tmp_path, stdout)
        assert "TrackerError: standard output cannot be written (File too large)" in error
        assert path.stat().st_size < 100_000
        *older, last = path.read_text().split("\n")
        assert older[:5000] == ["older"] * 5000 and last == ""
        assert [json.loads(line)["frame"] for line in older[5000:]] == list(range(len(older) - 5000))
        assert len(older) > 5010


class Shown:
    """OpenCV's window functions, as far as a machine without a display can have them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures: list[Any] = []
        self.key, self.visible = -1, 1.0
        monkeypatch.setenv("DISPLAY", ":0")
        self.sizes: list[tuple[int, int]] = []
        monkeypatch.setattr(cv2, "namedWindow", lambda title, flags: None)
        monkeypatch.setattr(cv2, "resizeWindow", lambda title, width, height: self.sizes.append((width, height)))
        monkeypatch.setattr(cv2, "imshow", lambda title, picture: self.pictures.append(picture))
        monkeypatch.setattr(cv2, "waitKey", lambda ms: self.key)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda title, which: self.visible)
        monkeypatch.setattr(cv2, "destroyWindow", self.destroy)

    def destroy(self, title: str) -> None:
        raise cv2.error("there is no such window")


class TestWindow:
    @pytest.mark.parametrize(("key", "visible"), [(ord("q"), 1.0), (27, 1.0), (27 + 256, 1.0), (-1, 0.0), (-1, -1.0)])
    def test_closed_by_its_user(self, monkeypatch: pytest.MonkeyPatch, key: int, visible: float) -> None:
        shown = Shown(monkeypatch)
        with Window("faces") as window:
            window.write(np.full((2, 2, 3), (255, 0, 0), np.uint8), 0.0)
            assert not window.closed
            assert (shown.pictures[0] == (0, 0, 255)).all()
            shown.key, shown.visible = key, visible
            window.write(BLACK, 0.0)
            assert window.closed
            window.write(BLACK, 0.0)
            assert len(shown.pictures) == 2

    @pytest.mark.parametrize(
        ("shape", "size"), [((48, 64), (64, 48)), ((2160, 3840), (1920, 1080)), ((4000, 10), (3, 1080))]
    )
    def test_is_as_large_as_its_pictures(
        self, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], size: tuple[int, int]
    ) -> None:
        shown = Shown(monkeypatch)
        with Window("faces") as window:
            for index in range(2):
                window.write(np.zeros((*shape, 3), np.uint8), index / 25)
        assert shown.sizes == [size]

    def test_a_file_plays_at_its_own_speed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By a fake clock, which waiting for keys and 0.3 s of work before the third picture put on."""
        shown, now_s, at_s = Shown(monkeypatch), [100.0], []

        def wait(ms: int) -> int:
            now_s[0] += ms / 1000
            return -1

        monkeypatch.setattr(cv2, "waitKey", wait)
        monkeypatch.setattr(cv2, "imshow", lambda *_: at_s.append(now_s[0]))
        monkeypatch.setattr("tracker.sinks.window.time.monotonic", lambda: now_s[0])
        with Window("faces", at_speed=True) as window:
            for index, timestamp_s in enumerate([0.0, 0.2, 0.4, 0.6, 2.6]):
                now_s[0] += 0.3 if index == 2 else 0
                window.write(BLACK, timestamp_s)
            assert np.diff(at_s) == pytest.approx([0.2, 0.3, 0.2, 2.0], abs=0.003)
            shown.visible = 0.0
            window.write(BLACK, 9999.0)  # closed while it waits
        assert window.closed and len(at_s) == 5

    def test_opencv_without_windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(title: str, flags: int) -> None:
            raise cv2.error("The function is not implemented")

        Shown(monkeypatch)
        monkeypatch.setattr(cv2, "namedWindow", refuse)
        with pytest.raises(TrackerError, match="install opencv-python"):
            Window("faces")

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
    def test_no_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(TrackerError, match="no display"):
            Window("faces")


class TestDrawn:
    def test_draws_once_for_all(self) -> None:
        calls, taken = [], []

        class Output:
            def write(self, image_rgb: Any, timestamp_s: float) -> None:
                taken.append(image_rgb)
                assert timestamp_s == 2 / 30

            def close(self) -> None:
                taken.append(None)

        def draw(image_rgb: Any, result: FrameResult) -> Any:
            calls.append((image_rgb, result))
            return image_rgb + 1

        with Drawn(draw, [Output(), Output()]) as sink:
            sink.write(frame(2), expected := result(2))
        assert len(calls) == 1 and calls[0][0] is BLACK and calls[0][1] is expected
        assert taken[0] is taken[1] and (taken[0] == 1).all() and taken[2:] == [None, None]

    def test_one_that_fails_to_close_leaves_none_open(self, tmp_path: Path) -> None:
        class Broken(OverlayVideo):
            def close(self) -> None:
                super().close()
                raise TrackerError("broken")

        with (
            pytest.raises(TrackerError, match="broken"),
            Drawn(
                lambda image, result: image,
                [OverlayVideo(tmp_path / "a.mp4", 25), Broken(tmp_path / "b.mp4", 25)],
            ) as s,
        ):
            s.write(frame(0), result(0))
        assert len(play(tmp_path / "a.mp4")) == 1
