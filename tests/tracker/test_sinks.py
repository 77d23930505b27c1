"""What is written is complete however the run ends, and what cannot be written is said in one sentence."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.frames import Frame
from tracker.result import FrameResult, TrackedFace
from tracker.sinks import Drawn, JsonLines, OverlayVideo, Window

ROOT = Path(__file__).parents[2]
BLACK = np.zeros((48, 64, 3), np.uint8)


def result(index: int, faces: int = 1) -> FrameResult:
    points = np.random.default_rng(index).uniform(0, 640, (68, 2))
    landmarks = Landmarks.from_points(points, IBUG68)
    tracked = tuple(TrackedFace(i, "tracking", 0.5, landmarks, landmarks) for i in range(faces))
    return FrameResult(index, index / 30, tracked)


def frame(index: int, image_rgb: np.ndarray[Any, Any] = BLACK) -> Frame:
    return Frame(image_rgb, index / 30, index)


def play(path: Path) -> list[np.ndarray[Any, Any]]:
    """All pictures of a video, BGR."""
    capture, pictures = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        pictures.append(got[1])
    return pictures


def run_until_interrupted(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code that prints "ready" and goes on for ever; press Ctrl-C a moment later."""
    script = (
        "from tests.tracker.test_sinks import *\nfolder = Path(sys.argv[1])\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        + textwrap.dedent(code)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(code, process.returncode, out, err)


def run_on_full_disk(code: str, folder: Path) -> str:
    """Run code in a process whose files may not grow beyond 100 kB; its standard error."""
    pytest.importorskip("resource")
    script = (
        "from tests.tracker.test_sinks import *\nimport resource\nfolder = Path(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + textwrap.dedent(code)
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 1
    return done.stderr


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

    def test_unwritable(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"missing.out\.jsonl cannot be written \(No such file"):
            JsonLines(tmp_path / "missing" / "out.jsonl")
        with pytest.raises(TrackerError, match="cannot be written"):
            JsonLines(tmp_path)

    def test_numbers_that_are_not_json_are_refused(self, tmp_path: Path) -> None:
        with JsonLines(tmp_path / "out.jsonl") as sink, pytest.raises(ValueError, match="not JSON"):
            sink.write(frame(0), FrameResult(0, float("nan"), ()))


class TestOverlayVideo:
    def test_plays_every_picture_in_rgb(self, tmp_path: Path) -> None:
        path = tmp_path / "größe_日本.mp4"
        with OverlayVideo(path, 29.97) as sink:
            for index in range(10):
                picture = np.full((48, 64, 3), 20 * index, np.uint8)
                picture[:, :32] = (255, 0, 0)
                sink.write(picture)
            assert not path.exists()
        pictures = play(path)
        assert [p.shape for p in pictures] == [(48, 64, 3)] * 10
        assert [round(float(p[:, 40:].mean()) / 20) for p in pictures] == list(range(10))
        assert all(p[24, 8, 2] > 200 > 60 > p[24, 8, 0] for p in pictures)
        assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(29.97, abs=0.01)
        assert os.listdir(tmp_path) == [path.name]

    def test_other_sizes_are_fitted_into_the_first(self, tmp_path: Path) -> None:
        with OverlayVideo(tmp_path / "out.mp4", 25) as sink:
            for shape in ((48, 64), (96, 128), (96, 48), (1, 200)):
                sink.write(np.full((*shape, 3), 255, np.uint8))
        same, half, tall, flat = (p[..., 0] for p in play(tmp_path / "out.mp4"))
        assert same.min() > 230 and half.min() > 230
        bright = tall.mean(0) > 128  # 24 of 64 columns, in the middle
        assert (bright.sum(), bright[:20].any(), bright[44:].any()) == (24, False, False)
        assert flat.shape == (48, 64)

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (481, 641)])
    def test_odd_sizes_grow_by_one(self, tmp_path: Path, height: int, width: int) -> None:
        with OverlayVideo(tmp_path / "out.mp4", 25) as sink:
            sink.write(np.full((height, width, 3), 200, np.uint8))
        (picture,) = play(tmp_path / "out.mp4")
        assert picture.shape == (height + height % 2, width + width % 2, 3)
        assert np.abs(picture.astype(int) - 200).max() < 20

    @pytest.mark.parametrize("fps", [0.5, 1, 14.985014985, 23.976023976, 30000 / 1001, 239.76, 240.123, 999.9])
    def test_any_frame_rate(self, tmp_path: Path, fps: float) -> None:
        with OverlayVideo(tmp_path / "out.mp4", fps) as sink:
            sink.write(BLACK)
        assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=2e-3)

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
                    sink.write(BLACK)
                    if index == 20: print("ready", flush=True)
            """,
            tmp_path,
        )
        assert "KeyboardInterrupt" in done.stderr
        assert len(play(tmp_path / "out.mp4")) > 20
        assert os.listdir(tmp_path) == ["out.mp4"]

    def test_full_disk_is_one_sentence_and_no_file(self, tmp_path: Path) -> None:
        error = run_on_full_disk(
            """
            with OverlayVideo(folder / "out.mp4", 25) as sink:
                for index in range(60):
                    sink.write(np.random.default_rng(index).integers(0, 255, (240, 320, 3), np.uint8))
            """,
            tmp_path,
        )
        assert "out.mp4 could not be completed: is the disk full?" in error.splitlines()[-1]
        assert os.listdir(tmp_path) == []

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

    def test_what_the_codec_refuses_is_said_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"this OpenCV cannot write .*out\.mp4 as MPEG-4 of 70000 frames"):
            OverlayVideo(tmp_path / "out.mp4", 70000)
        assert os.listdir(tmp_path) == []


class Shown:
    """OpenCV's window functions, as far as a machine without a display can have them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures: list[Any] = []
        self.key, self.visible = -1, 1.0
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(cv2, "namedWindow", lambda title, flags: None)
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
            window.write(np.full((2, 2, 3), (255, 0, 0), np.uint8))
            assert not window.closed
            assert (shown.pictures[0] == (0, 0, 255)).all()
            shown.key, shown.visible = key, visible
            window.write(BLACK)
            assert window.closed
            window.write(BLACK)
            assert len(shown.pictures) == 2

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
            def write(self, image_rgb: Any) -> None:
                taken.append(image_rgb)

            def close(self) -> None:
                taken.append(None)

        def draw(image_rgb: Any, result: FrameResult) -> Any:
            calls.append((image_rgb, result))
            return image_rgb + 1

        with Drawn(draw, [Output(), Output()]) as sink:
            sink.write(frame(0), expected := result(0))
        assert len(calls) == 1 and calls[0][0] is BLACK and calls[0][1] is expected
        assert taken[0] is taken[1] and (taken[0] == 1).all() and taken[2:] == [None, None]

    def test_one_that_fails_to_close_leaves_none_open(self, tmp_path: Path) -> None:
        class Broken(OverlayVideo):
            def close(self) -> None:
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
