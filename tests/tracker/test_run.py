"""The command, as people and machines use it: what it writes, what it says, and how it takes bad input."""

from __future__ import annotations

import csv
import errno
import importlib
import io
import json
import os
import pstats
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker import Frame, Tracker, TrackerError
from tracker.datasets.pts_files import read_pts
from tracker.detectors.loading import load_detector
from tracker.engines.spec import ModelSpec
from tracker.run import main
from tracker.sinks import OverlayVideo
from tracker.sources import Source
from tracker.sources.demo import DemoClip

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "tracker/weights/edge68.onnx"

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and terminals")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tracker.run", *map(str, arguments)]


def finish(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, its output piped."""
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def lines_of(path: Path) -> list[dict[str, Any]]:
    content = path.read_text()
    assert content.endswith("\n")
    return [json.loads(line) for line in content.splitlines()]


def count_pictures(path: Path) -> int:
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


def assert_is_a_record(record: dict[str, Any], index: int) -> None:
    """Pixels to 2 decimals, scores to 4."""
    assert list(record) == ["frame", "timestamp_s", "faces"]
    assert record["frame"] == index
    assert type(record["timestamp_s"]) is float
    for face in record["faces"]:
        assert list(face) == ["id", "state", "score", "box_px", "points_px", "scores", "visibility"]
        assert type(face["id"]) is int
        assert face["id"] > 0
        assert face["state"] in ("tracking", "coasting")
        assert len(face["box_px"]) == 4
        assert len(face["points_px"]) == len(face["scores"]) == len(face["visibility"]) == 68
        pixels = [*face["box_px"], *(x for point in face["points_px"] for x in point)]
        assert len(pixels) == 4 + 2 * 68
        assert all(type(x) is float and x == round(x, 2) for x in pixels)
        shares = (face["score"], *face["scores"], *face["visibility"])
        assert all(type(s) is float and 0 <= s <= 1 and s == round(s, 4) for s in shares)
        points = np.array(face["points_px"])
        np.testing.assert_allclose(face["box_px"], [*points.min(0), *np.ptp(points, axis=0)], atol=0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "made/on the way"


@pytest.fixture(scope="module")
def done(folder: Path, clip: DemoClip) -> subprocess.CompletedProcess[str]:
    output = ["--output", folder / "größe.jsonl", "--overlay", folder / "overlay.mp4"]
    done = finish("--demo", *output)
    assert done.returncode == 0, done.stderr
    return done


class TestWholeDemo:
    """`--demo` in a process of its own, with a real detector, its output piped."""

    def test_says_where_things_are_and_what_it_was_like(
        self, done: subprocess.CompletedProcess[str], folder: Path
    ) -> None:
        frames, _, *stages = done.stdout.splitlines()
        assert re.fullmatch(r"300 frames, \d+ with a face, 2 faces in all, \d+\.\d frames/s", frames)
        *stages, share, model, truth, again, output, overlay = stages
        assert [line.split()[0] for line in stages] == ["detect", "crop", "engine", "smooth", "step", "write"]
        assert re.fullmatch(r"model edge68, SHA-256 [0-9a-f]{8}, licence: .+", model)
        assert all(0 < float(line.split()[1]) <= float(line.split()[2]) <= float(line.split()[3]) for line in stages)
        assert re.fullmatch(r"the detector took \d+\.\d % of the steps' time", share)
        assert again.startswith("found again: ")
        assert output == f"written: {folder / 'größe.jsonl'}"
        assert overlay == f"written: {folder / 'overlay.mp4'}"
        match = re.search(r"in (\d+) of (\d+) frames .* error ([\d.]+) %, jitter ([\d.]+) %", truth)
        assert match is not None
        assert int(match[2]) == 288
        assert int(match[1]) >= 0.97 * 288
        assert float(match[3]) <= 4.5
        assert float(match[4]) < 0.7

    def test_is_quiet_when_piped(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.stderr == ""
        assert "\r" not in done.stdout
        assert "%|" not in done.stdout

    def test_one_record_a_frame(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        records = lines_of(folder / "größe.jsonl")
        assert len(records) == 300
        for index, record in enumerate(records):
            assert_is_a_record(record, index)
            assert record["timestamp_s"] == round(index / 30, 6)

    def test_ids_and_states(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        clip = DemoClip()
        records = lines_of(folder / "größe.jsonl")
        seen = [[(face["id"], face["state"]) for face in record["faces"]] for record in records]
        for index in clip.covered:
            assert seen[index] == [(1, "coasting")]
        assert seen[0] == seen[clip.covered.stop + 5] == seen[clip.cut - 1] == [(1, "tracking")]
        assert seen[clip.cut + 20] == seen[-1] == [(2, "tracking")]

    def test_the_overlay_plays_whole(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        assert count_pictures(folder / "overlay.mp4") == 300
        assert sorted(os.listdir(folder)) == ["größe.jsonl", "overlay.mp4"]


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_with_complete_lines_and_a_playable_video(tmp_path: Path, clip: DemoClip, name: str) -> None:
    """Of Ctrl-C, `docker stop` and systemd, and a terminal that is closed."""
    number = signal.Signals[name]
    output, overlay, stats, profile = (tmp_path / f"out.{suffix}" for suffix in ("jsonl", "mp4", "json", "prof"))
    arguments = ["--demo", "--output", output, "--overlay", overlay, "--stats", stats, "--profile", profile]
    process = subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # ignored where tests run behind `&` or nohup
    )
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if output.exists() and output.stat().st_size > 30_000:
            break
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    records = lines_of(output)
    assert 10 < len(records) < 300
    for index, record in enumerate(records):
        assert_is_a_record(record, index)
    assert count_pictures(overlay) in (len(records), len(records) - 1)
    assert re.match(rf"({len(records)}|{len(records) - 1}) frames, ", out)
    assert "against the clip's truth" not in out  # which is of the whole clip
    assert sorted(os.listdir(tmp_path)) == ["out.json", "out.jsonl", "out.mp4", "out.prof"]
    assert json.loads(stats.read_text())["frames"] in (len(records), len(records) - 1)
    assert pstats.Stats(str(profile)).total_calls > 0  # type: ignore[attr-defined]


@POSIX
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed_lose_nothing(avi: Path, tmp_path: Path, redirection: str) -> None:
    line = f'"$@" {redirection}'
    arguments = ["--video", avi, "--output", tmp_path / "out.jsonl", "--csv", tmp_path / "out.csv"]
    done = subprocess.run(
        ["sh", "-c", line, "sh", *command(*arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(lines_of(tmp_path / "out.jsonl")) == len((tmp_path / "out.csv").read_text().splitlines()) - 1 == 30


@POSIX
def test_results_that_nobody_can_have_are_refused_at_the_start(avi: Path) -> None:
    line = ["sh", "-c", '"$@" >&-', "sh", *command("--video", avi, "--output", "-")]
    done = subprocess.run(line, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("tracker.run: standard output cannot be written (it is closed)")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_is_said_after_all_is_written(avi: Path, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        arguments = command("--video", avi, "--output", tmp_path / "out.jsonl")
        done = subprocess.run(arguments, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "tracker.run: standard output cannot be written (No space left on device)\n"
    assert len(lines_of(tmp_path / "out.jsonl")) == 30


@POSIX
def test_a_name_that_the_terminal_cannot_say(avi: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    arguments = command("--video", avi, "--output", tmp_path / "größe.jsonl")
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"gr\\xf6\\xdfe.jsonl" in done.stdout
    assert len(lines_of(tmp_path / "größe.jsonl")) == 30


@pytest.fixture(scope="module")
def avi(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip's first 30 frames, at 25 a second, in a file that can be read when its end is missing."""
    path = tmp_path_factory.mktemp("avi") / "whole.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
    for frame in frames[:30]:
        writer.write(cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@POSIX
def test_progress_is_shown_on_a_terminal(avi: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    termios, fcntl = pytest.importorskip("termios"), pytest.importorskip("fcntl")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # else it has no columns
    arguments = ["--video", avi, "--output", tmp_path / "out.jsonl"]
    process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux says so at the end
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.search(rb"\d+%\|.*\| \d+/30 ", shown)
    assert b" frames/s" in shown
    assert b"30 frames, " in out
    assert b"\r" not in out
    assert len(lines_of(tmp_path / "out.jsonl")) == 30


def test_a_video_cut_short_is_read_as_far_as_it_goes(avi: Path, tmp_path: Path) -> None:
    cut, output = tmp_path / "cut.avi", tmp_path / "out.jsonl"
    cut.write_bytes(avi.read_bytes()[: avi.stat().st_size // 2])
    done = finish("--video", cut, "--output", output)
    assert done.returncode == 0
    records = lines_of(output)
    assert 5 < len(records) < 25
    assert all(len(record["faces"]) == 1 for record in records)
    assert records[-1]["timestamp_s"] == round((len(records) - 1) / 25, 6)
    assert done.stderr == f"{cut} is cut short: read {len(records)} of 30 frames\n"
    assert done.stdout.startswith(f"{len(records)} frames, ")


def test_a_mistake_in_a_process_of_its_own() -> None:
    done = finish("--video", "none.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tracker.run: expected a video file, but none.mp4 does not exist\n"


def test_a_number_that_no_camera_has() -> None:
    done = finish("--camera", -1)
    assert done.returncode == 2
    assert re.fullmatch(r"tracker\.run: camera .*-1.*\n", done.stderr)


Call = Callable[..., int]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def call(fake_detector: Any, clip: DemoClip, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command in this process: its exit status. The demo is short, its faces are found by a FakeDetector
    that knows the truth, unless --detector or --detector-model is given."""

    def load(*asked: Any) -> Any:
        return fake_detector if asked == ("auto", None) else load_detector(*asked)

    monkeypatch.setattr("tracker.tracking.tracker.load_detector", load)
    monkeypatch.setattr("tracker.run.DemoClip", ShortDemo)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["tracker.run", *map(str, arguments)])
        try:
            return main()
        except SystemExit as stop:
            return int(stop.code or 0)

    return run


class ShortDemo(DemoClip):
    def __init__(self) -> None:
        super().__init__(size=(320, 240), fps=10, seconds=3)


@pytest.fixture
def refused(call: Call, capfd: Said) -> Callable[..., str]:
    """The one sentence with which the command refuses its arguments, written to stderr alone."""

    def sentence(*arguments: object) -> str:
        assert call(*arguments) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n"), err[-1:]) == ("", 1, "\n")
        assert err.startswith("tracker.run: ")
        assert "Traceback" not in err
        return err.removeprefix("tracker.run: ").strip()

    return sentence


Refused = Callable[..., str]


@pytest.mark.parametrize("option", ["--output", "--csv", None])
def test_says_when_nothing_was_written(option: str | None, call: Call, capfd: Said, tmp_path: Path) -> None:
    assert call("--demo", *([] if option is None else [option, tmp_path / "out"])) == 0
    said = "no results were written; --output, --csv and --overlay write files, --help lists more\n"
    assert capfd.readouterr().err == ("" if option else said)


def test_the_help_begins_with_the_source(call: Call, capfd: Said) -> None:
    assert call("--help") == 0
    usage, _, *text = capfd.readouterr().out.splitlines()
    assert usage == "usage: tracker.run [SOURCE ...] [OPTIONS]"
    assert "Without a source camera 0 is shown in a window; if it cannot be opened" in " ".join(text)


class TestBadInput:
    def test_video(self, refused: Refused, tmp_path: Path) -> None:
        assert refused("--video", tmp_path / "größe.mp4").endswith("größe.mp4 does not exist")
        assert refused("--video", tmp_path).endswith("is a folder: use --images for pictures")
        (tmp_path / "text.mp4").write_text("this is not a video\n" * 100)
        (tmp_path / "empty.avi").touch()
        for name in ("text.mp4", "empty.avi"):
            sentence = refused("--video", tmp_path / name)
            assert f"{name} could not be opened as a video: expected a complete MP4" in sentence

    def test_camera(self, refused: Refused) -> None:
        assert "camera 63 could not be opened: check that it is connected" in refused("--camera", 63)
        assert refused("--camera", "front").startswith("camera front does not exist: expected a number, a device such")
        assert "v4l/by-id/usb-none could not be opened" in refused("--camera", "/dev/v4l/by-id/usb-none")

    def test_what_is_asked_of_the_camera(self, refused: Refused, video: Path) -> None:
        expected = "--camera-size: expected width and height such as 1280x720, got "
        for size in ("1280", "1280*720", "0x720", "big"):
            assert refused("--camera", 0, "--camera-size", size) == expected + size
        expected = "--camera-size and --camera-fps are for a camera; name it with --camera"
        assert refused("--camera-size", "640x480") == expected
        assert refused("--video", video, "--camera-fps", 30) == expected
        assert "give_up_s must be a number of seconds, 0 or more" in refused("--camera", 0, "--give-up-s", -1)

    def test_camera_with_a_number_beyond_all(self, refused: Refused) -> None:
        assert "99999999999" in refused("--camera", 99999999999)

    def test_folder(self, refused: Refused, tmp_path: Path) -> None:
        assert refused("--images", tmp_path).startswith(f"{tmp_path} holds no pictures: expected files")
        assert refused("--images", tmp_path / "none").endswith("none does not exist")
        file = tmp_path / "file.png"
        file.write_text("not a picture")
        assert refused("--images", file) == f"{file} cannot be decoded as a picture"
        sentence = refused("--images", tmp_path, "--output", tmp_path / "out.jsonl")
        assert sentence == f"{file} cannot be decoded as a picture"

    @pytest.mark.parametrize("suffix", [".webm", ".WMV"])
    def test_a_video_of_pictures_in_a_format_that_is_not_written(
        self, refused: Refused, tmp_path: Path, suffix: str
    ) -> None:
        for name in ("a.png", "b.png"):
            cv2.imwrite(str(tmp_path / name), np.zeros((9, 9, 3), np.uint8))
        drawn = tmp_path / f"drawn{suffix}"
        expected = f"{drawn}: expected the name of a video file ending in .mp4, .mov, .avi, .mkv"
        assert refused("--images", tmp_path, "--overlay", drawn) == expected
        assert not drawn.exists()

    def test_more_than_one_source(self, refused: Refused, video: Path) -> None:
        expected = (
            "expected one source, got several; give one word such as clip.mp4, or one of --camera, --video, --images, "
            "--demo"
        )
        assert refused("--demo", "--video", video) == expected
        assert refused("--camera", 0, "--images", "folder") == expected
        assert refused(video, "--demo") == expected
        assert refused("", "--demo") == "expected a source such as clip.mp4, got an empty word"

    def test_options(self, refused: Refused) -> None:
        assert refused("--demo", "--max-faces", 0) == "max_faces must be a whole number in 1..1000, got 0"
        assert "did you mean --max-faces?" in refused("--max-face", 2)
        assert "did you mean --overlay?" in refused("--demo", "--overlai=x.mp4")
        assert refused("--detector", "yolo").startswith(
            "--detector: expected one of auto, yunet, blazeface, mediapipe, got yolo"
        )
        assert refused("clip.mp4") == "expected a video file, but clip.mp4 does not exist"

    def test_model(self, refused: Refused, tmp_path: Path) -> None:
        content = WEIGHTS.read_bytes()
        damaged = bytearray(content)
        damaged[1000:1200] = bytes(200)
        bad = {"cut": content[: len(content) // 2], "damaged": bytes(damaged), "text": b"hello", "empty": b""}
        for name, part in bad.items():
            path = tmp_path / f"{name}.onnx"
            path.write_bytes(part)
            sentence = refused("--demo", "--model", path)
            assert sentence.startswith(f"{path}: expected an ONNX model, ONNX Runtime cannot load it")
        names = "edge68, edge68_fast, edge68_int8, edge68_fast_int8, edge68_300w, edge68_fast_300w, mid68_300w"
        expected = f"landmark model: expected an .onnx or .plan file that exists, or one of {names}, got"
        assert refused("--demo", "--model", "none.onnx") == f"{expected} none.onnx"
        for given in ("edge86", "Edge68", "EDGE68", "edge68.onnx"):
            assert refused("--demo", "--model", given) == f"{expected} {given}; did you mean edge68?"
        foreign = onnx_model(tmp_path / "foreign.onnx", {})
        expected = f"{foreign}: expected a landmark model with a landmark_tracker.spec entry"
        assert refused("--demo", "--model", foreign).startswith(expected)

    def test_detector_model(self, refused: Refused, tmp_path: Path) -> None:
        path = tmp_path / "detector.onnx"
        path.write_text("hello")
        sentence = refused("--demo", "--detector-model", path)
        assert sentence.startswith(f"{path}: expected YuNet as an ONNX file, ONNX Runtime cannot run it")
        sentence = refused("--demo", "--detector", "blazeface", "--detector-model", path)
        assert sentence.startswith(f"{path} is not face_detection_short_range.tflite, the only network")
        sentence = refused("--demo", "--detector-model", tmp_path / "none.tflite")
        assert "none.tflite: cannot read the model: No such file or directory; check the path" in sentence

    def test_what_cannot_be_written(self, refused: Refused, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("kept")
        for option, name in (("--output", "out.jsonl"), ("--csv", "out.csv"), ("--overlay", "out.mp4")):
            for folder in (file, file / "below"):
                assert refused("--demo", option, folder / name).startswith(f"{folder}: cannot make this folder")
        for option in ("--output", "--csv"):
            assert refused("--demo", option, tmp_path).startswith(f"{tmp_path} cannot be written (Is a directory)")
        assert refused("--demo", "--pts", file).startswith(f"{file}/annot cannot be written (Not a directory)")
        assert "expected the name of a video file" in refused("--demo", "--overlay", tmp_path)
        assert "ending in .mp4, .mov, .avi, .mkv" in refused("--demo", "--overlay", tmp_path / "out.gif")
        assert file.read_text() == "kept"
        assert os.listdir(tmp_path) == ["file"]

    @pytest.mark.parametrize("option", ["--output", "--csv", "--parquet", "--pts", "--overlay"])
    def test_to_write_over_its_own_source(self, refused: Refused, tmp_path: Path, option: str) -> None:
        source = tmp_path / "mine.mp4"
        source.write_bytes(b"a recording")
        assert "name the same file" in refused("--video", source, option, tmp_path / "." / "mine.mp4")
        assert source.read_bytes() == b"a recording"

    @pytest.mark.parametrize("pair", list(combinations(["--output", "--csv", "--pts", "--overlay", "--parquet"], 2)))
    def test_two_outputs_of_one_name(self, refused: Refused, tmp_path: Path, pair: tuple[str, str]) -> None:
        both = tmp_path / "both.mp4"
        sentence = refused("--demo", pair[0], both, pair[1], tmp_path / "elsewhere" / ".." / "both.mp4")
        assert sentence.startswith(f"{pair[0]} and {pair[1]} name the same file, ")

    def test_two_outputs_on_standard_output(self, refused: Refused) -> None:
        assert "--output and --csv name the same file, -;" in refused("--demo", "--output", "-", "--csv", "-")

    def test_labels_that_are_there(self, refused: Refused, tmp_path: Path) -> None:
        (tmp_path / "annot").mkdir()
        (tmp_path / "annot/000001.pts").write_text("by hand")
        assert "annot contains labels already: empty it" in refused("--demo", "--pts", tmp_path)

    def test_osc(self, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("pythonosc", reason="needs python-osc, of the extra osc")
        assert "expected HOST:PORT such as 127.0.0.1:9000, got 9000" in refused("--demo", "--osc", 9000)
        monkeypatch.setitem(sys.modules, "pythonosc.osc_message_builder", None)
        sentence = refused("--demo", "--osc", "127.0.0.1:9000")
        assert sentence == "OSC needs python-osc, which is not installed; pip install 'landmark-tracker[osc]'"

    @pytest.mark.parametrize("option", ["--openseeface", "--vmc", "--opentrack"])
    def test_avatars(self, refused: Refused, option: str) -> None:
        pytest.importorskip("pythonosc", reason="needs python-osc, of the extra osc")
        assert "expected HOST:PORT such as 127.0.0.1:9000, got 9000" in refused("--demo", option, 9000)
        assert "the host of host.invalid:1 is not known" in refused("--demo", option, "127.0.0.1:1", "host.invalid:1")

    def test_an_overlay_without_a_name(self, refused: Refused) -> None:
        assert "expected the name of a video file" in refused("--demo", "--overlay", ".")

    def test_what_is_wrong_is_said_before_an_older_file_is_lost(self, refused: Refused, tmp_path: Path) -> None:
        older = tmp_path / "out.jsonl"
        older.write_text("older")
        refused("--demo", "--output", older, "--model", "none.onnx")
        for option, value in (("--overlay", tmp_path / "out.gif"), ("--osc", "here"), ("--pts", older), ("--csv", "/")):
            refused("--demo", "--output", older, option, value)
        refused("--video", "none.mp4", "--output", older)
        assert older.read_text() == "older"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_full_disk(self, refused: Refused) -> None:
        expected = "/dev/full cannot be written (No space left on device): choose a writable folder"
        assert refused("--demo", "--output", "/dev/full").startswith(expected)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_full_disk_under_the_table(self, refused: Refused, tmp_path: Path) -> None:
        output, overlay = tmp_path / "out.jsonl", tmp_path / "out.mp4"
        sentence = refused("--demo", "--csv", "/dev/full", "--output", output, "--overlay", overlay)
        assert sentence.startswith("/dev/full cannot be written (No space left on device): choose a writable folder")
        assert os.listdir(tmp_path) == []

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")
    def test_no_display(self, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert refused("--demo", "--show").startswith("there is no display to show a window on: leave out --show")


class TestPictures:
    def test_of_every_kind(self, call: Call, capfd: Said, frames: list[Frame], tmp_path: Path) -> None:
        """Colour, grey, with alpha, 16 bits deep, 1 x 1, a name beyond ASCII, and one that is none."""
        folder, output = tmp_path / "bilder", tmp_path / "out.jsonl"
        folder.mkdir()
        bgr = np.ascontiguousarray(frames[10].image_rgb[..., ::-1])
        grey, deep = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), bgr.astype(np.uint16) * 257
        alpha = np.dstack([bgr, bgr[..., 0]])
        pictures = {"1": bgr, "2": grey, "3": alpha, "4": deep, "5": grey * np.uint16(257), "6": bgr[:1, :1]}
        for name, picture in {**pictures, "größe_日本": bgr}.items():
            (folder / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        (folder / "9.png").write_text("not a picture")
        overlay = tmp_path / "out.mp4"
        assert call("--images", folder, "--output", output, "--overlay", overlay) == 0
        records = lines_of(output)
        assert [record["frame"] for record in records] == [0, 1, 2, 3, 4, 5, 7]  # 6 cannot be decoded
        assert [record["timestamp_s"] for record in records] == [0, 1, 2, 3, 4, 5, 7]
        assert [len(record["faces"]) for record in records] == [1, 1, 1, 1, 1, 0, 1]
        colour, *others = (np.array(r["faces"][0]["points_px"]) for r in records if r["faces"])
        for points in others:
            assert np.linalg.norm(points - colour, axis=1).mean() < 1.5
        assert count_pictures(overlay) == 7  # the fifth is shown until the one after 6 is due
        assert capfd.readouterr().out.startswith("7 pictures, 6 with a face, 6 faces in all")


class FullDisk(io.FileIO):
    """A file on a disk that is full when a .csv has grown to 30 kB."""

    def write(self, content: Any) -> int:
        room = 30_000 - self.tell() if str(self.name).endswith(".csv") else len(content)
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content[:room])


class TestStats:
    def test_are_written(self, call: Call, tmp_path: Path) -> None:
        stats, profile = tmp_path / "s/stats.json", tmp_path / "run.prof"
        assert call("--demo", "--stats", stats, "--profile", profile) == 0
        record = json.loads(stats.read_text())
        assert (record["source"], record["frames"], record["losses"]["dropped"]) == ("the demo clip", 30, 0)
        assert record["engine"] == "ONNX Runtime on cpu"
        assert record["stages_ms"].keys() == {"detect", "crop", "engine", "smooth", "step", "write"}
        assert record["stages_ms"]["step"]["calls"] == 30
        assert 0 < record["detector_share_percent"] < 100
        called = {name for _, _, name in pstats.Stats(str(profile)).stats}  # type: ignore[attr-defined]
        assert {"estimate", "warp"} <= called  # not "step": Python 3.13.0's profiler misses calls of short functions

    def test_of_a_live_source_tell_the_latency(
        self, call: Call, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class FakeCamera(Source):
            """Hands out frames 20 ms after they were taken."""

            def __init__(self, *options: object) -> None:
                super().__init__("camera 0", None, None, live=True)

            def _read(self) -> Iterator[Frame]:  # type: ignore[override]
                self.started_s = time.monotonic()
                for frame in frames[:9]:
                    taken_s = time.monotonic() - self.started_s
                    time.sleep(0.02)
                    yield Frame(frame.image_rgb, taken_s, frame.index)

        monkeypatch.setattr("tracker.run.Camera", FakeCamera)
        assert call("--camera", "0", "--stats", tmp_path / "stats.json") == 0
        stages = json.loads((tmp_path / "stats.json").read_text())["stages_ms"]
        assert 20 < stages["latency"]["p50"] < 1000
        assert stages["latency"]["p50"] >= 20 + 0.9 * stages["step"]["p50"]

    @pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
    @pytest.mark.parametrize("option", ["--stats", "--profile", "--output", "--csv"])
    def test_a_link_or_a_device_stays(self, call: Call, tmp_path: Path, option: str) -> None:
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to("real")
        (tmp_path / "null").symlink_to("/dev/null")
        for name in ("link", "null"):
            assert call("--demo", option, tmp_path / name) == 0
            assert (tmp_path / name).is_symlink()
        assert (tmp_path / "real").read_bytes() != b"old" and Path("/dev/null").is_char_device()

    @pytest.mark.parametrize("option", ["--stats", "--profile", "--output", "--csv", "--overlay", "--pts"])
    def test_another_run_on_the_same_file_is_refused(
        self, call: Call, capfd: Said, tmp_path: Path, option: str, frames: list[Frame]
    ) -> None:
        path = tmp_path / "out.mp4"
        refused: list[str] = []

        class Second(ShortDemo):
            """In the middle of the first run."""

            def __next__(self) -> Frame:
                if not refused:
                    refused.append("")
                    assert call("--images", tmp_path / "pictures", option, path) == 2
                    refused.append(capfd.readouterr().err)
                return super().__next__()

        (tmp_path / "pictures").mkdir()
        cv2.imwrite(str(tmp_path / "pictures/a.png"), frames[0].image_rgb)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tracker.run.DemoClip", Second)
            assert call("--demo", option, path) == 0
        assert re.fullmatch(r"tracker\.run: .* is being written by another run; .*\n", refused[1])
        assert os.listdir(tmp_path / "out.mp4/annot") if option == "--pts" else path.stat().st_size > 500

    def test_of_a_run_that_fails_are_written_too(self, call: Call, tmp_path: Path) -> None:
        stats = tmp_path / "stats.json"
        assert call("--demo", "--output", "/dev/full", "--stats", stats) == 2
        assert json.loads(stats.read_text())["frames"] == 0

    def test_that_cannot_be_written_are_one_sentence(self, call: Call, capfd: Said, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        assert call("--demo", "--stats", tmp_path / "folder") == 2
        assert "folder is a folder, so it is not replaced" in capfd.readouterr().err

    def test_are_no_other_outputs_file(self, call: Call, capfd: Said, tmp_path: Path) -> None:
        assert call("--demo", "--stats", tmp_path / "x", "--output", tmp_path / "x") == 2
        assert "--output and --stats name the same file" in capfd.readouterr().err


@POSIX
class TestSignalsAtTheEnd:
    """That come when all frames are written and the overlay is being completed, which may take a while."""

    @pytest.fixture
    def signalled(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The signals that come, one after the other, while the overlay is being completed."""
        numbers: list[int] = []
        complete = OverlayVideo._complete

        def completed(overlay: OverlayVideo) -> None:
            for number in numbers:
                signal.raise_signal(number)
            complete(overlay)

        monkeypatch.setattr(OverlayVideo, "_complete", completed)
        return numbers

    @pytest.mark.parametrize(
        "number", [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name == "posix" else [])]
    )
    def test_the_first_waits(self, call: Call, tmp_path: Path, signalled: list[int], number: int) -> None:
        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        signalled.append(number)
        overlay, stats = tmp_path / "out.mp4", tmp_path / "stats.json"
        assert (
            call("--demo", "--overlay", overlay, "--output", tmp_path / "out.jsonl", "--stats", stats) == 128 + number
        )
        assert count_pictures(overlay) == len(lines_of(tmp_path / "out.jsonl")) == 30
        assert json.loads(stats.read_text())["frames"] == 30
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before

    def test_the_second_does_not(self, call: Call, tmp_path: Path, signalled: list[int]) -> None:
        signalled += [signal.SIGTERM, signal.SIGINT]
        assert call("--demo", "--overlay", tmp_path / "out.mp4", "--output", tmp_path / "out.jsonl") == 130
        assert len(lines_of(tmp_path / "out.jsonl")) == 30
        assert os.listdir(tmp_path) == ["out.jsonl"]


class TestOutputs:
    def test_avatars_at_several_places(self, call: Call) -> None:
        """Options repeated and lists; each receiver gets every frame with a face."""
        pytest.importorskip("pythonosc", reason="needs python-osc, of the extra osc")
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(4)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
                each.settimeout(5)
            one, two, three, four = (f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
            assert call("--demo", "--openseeface", one, "--openseeface", two, "--opentrack", three, "--vmc", four) == 0
            assert [len(each.recv(65535)) for each in sockets[:3]] == [1785, 1785, 48]
            assert sockets[3].recv(65535).startswith(b"#bundle")

    def test_all_at_once_say_the_same(self, call: Call, capfd: Said, tmp_path: Path) -> None:
        osc_server = pytest.importorskip("pythonosc.osc_server", reason="needs python-osc, of the extra osc")
        dispatcher = importlib.import_module("pythonosc.dispatcher").Dispatcher()
        heard: list[int] = []
        dispatcher.map("/frame", lambda address, index, *rest: heard.append(index))
        output, table, overlay = tmp_path / "o/out.jsonl", tmp_path / "t/out.csv", tmp_path / "v/out.mp4"
        with osc_server.ThreadingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                files = ["--output", output, "--csv", table, "--pts", tmp_path / "p", "--overlay", overlay]
                assert call("--demo", *files, "--osc", f"127.0.0.1:{server.server_address[1]}") == 0
            finally:
                server.shutdown()
                thread.join()
        records = lines_of(output)
        faces = [(record["frame"], face) for record in records for face in record["faces"]]
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert sorted(heard) == [record["frame"] for record in records] == list(range(30))
        assert [(int(row["frame"]) - 1, int(row["face_id"])) for row in rows] == [(i, face["id"]) for i, face in faces]
        for row, (_, face) in zip(rows, faces, strict=True):
            assert [float(row["x_30"]), float(row["y_30"])] == face["points_px"][30]
        measured = {f"{index + 1:06d}.pts": face for index, face in faces if face["state"] == "tracking"}
        assert sorted(os.listdir(tmp_path / "p/annot")) == sorted(measured)
        for name, face in measured.items():
            np.testing.assert_allclose(read_pts(tmp_path / "p/annot" / name), face["points_px"], atol=0.0051)
        assert count_pictures(overlay) == 30
        said = [line for line in capfd.readouterr().out.splitlines() if line.startswith("written: ")]
        assert said == [f"written: {path}" for path in (output, table, tmp_path / "p", overlay)]

    @pytest.mark.parametrize("option", ["--output", "--csv"])
    def test_standard_output_has_results_only(self, call: Call, capfd: Said, tmp_path: Path, option: str) -> None:
        assert call("--demo", option, "-", "--pts", tmp_path) == 0
        out, err = capfd.readouterr()
        lines = out.splitlines()
        if option == "--output":
            assert [json.loads(line)["frame"] for line in lines] == list(range(30))
        else:
            assert {len(line.split(",")) for line in lines} == {5 + 6 + 7 * 68 + 3} and len(lines) > 20
        assert err.startswith("30 frames, ") and f"written: {tmp_path}\n" in err and "written: -" not in err

    def test_a_disk_that_fills_up_ends_the_run_and_keeps_it(
        self, call: Call, capfd: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.sinks.json_lines.io.FileIO", FullDisk)
        output, table, overlay = (tmp_path / name for name in ("out.jsonl", "out.csv", "out.mp4"))
        assert call("--demo", "--output", output, "--csv", table, "--overlay", overlay, "--pts", tmp_path) == 2
        sentence = f"tracker.run: {table} cannot be written (No space left on device): choose a writable folder"
        assert capfd.readouterr().err.startswith(sentence)
        rows, records = table.read_text().splitlines(), lines_of(output)
        assert table.stat().st_size < 30_000 and len({row.count(",") for row in rows}) == 1
        assert len(rows) == len(records) > 5  # the header, and one less
        assert count_pictures(overlay) == len(os.listdir(tmp_path / "annot")) == len(records) - 1
        assert sorted(os.listdir(tmp_path)) == ["annot", "out.csv", "out.jsonl", "out.mp4"]

    def test_the_first_that_fails_is_the_reason(
        self, call: Call, capfd: Said, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The overlay, which is lost too, is only reported."""
        monkeypatch.setattr("tracker.sinks.json_lines.io.FileIO", FullDisk)
        monkeypatch.setattr("tracker.sinks.video._is_whole", lambda path, count: False)
        table, overlay = tmp_path / "out.csv", tmp_path / "out.mp4"
        assert call("--demo", "--csv", table, "--overlay", overlay) == 2
        assert capfd.readouterr().err.startswith(f"tracker.run: {table} cannot be written (No space left on device)")
        assert f"{overlay} could not be completed: is the disk full?" in caplog.text
        assert os.listdir(tmp_path) == ["out.csv"]
        assert call("--demo", "--overlay", overlay) == 2
        assert capfd.readouterr().err.startswith(f"tracker.run: {overlay} could not be completed")


@POSIX
def test_a_reader_that_leaves_ends_the_run_quietly(avi: Path, tmp_path: Path) -> None:
    """As `tracker.run --output - | head -n 1`: the other outputs are completed."""
    overlay = tmp_path / "out.mp4"
    arguments = ["--video", avi, "--output", "-", "--overlay", overlay]
    process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert json.loads(process.stdout.readline())["frame"] == 0
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert "Traceback" not in err and "Broken" not in err
    assert 1 <= count_pictures(overlay) <= 30


class TestSources:
    def test_video(self, call: Call, capfd: Said, avi: Path, tmp_path: Path) -> None:
        assert call("--video", avi, "--output", tmp_path / "out.jsonl") == 0
        records = lines_of(tmp_path / "out.jsonl")
        assert [record["frame"] for record in records] == list(range(30))
        for index in (0, 15, 29):
            assert_is_a_record(records[index], index)
        out = capfd.readouterr().out
        assert out.startswith("30 frames, 30 with a face, 1 faces in all")
        assert "truth" not in out
        assert out.endswith(f"written: {tmp_path / 'out.jsonl'}\n")

    def test_demo_is_compared_with_its_truth_for_any_number_of_faces(self, call: Call, capfd: Said) -> None:
        """With room for two, the face before the cut still coasts where the newcomer is the one to compare."""
        assert call("--demo", "--max-faces", 2) == 0
        out = capfd.readouterr().out
        match = re.search(r"found in (\d+) of 26 frames that show the face, error ([\d.]+) %", out)
        assert match is not None
        assert int(match[1]) >= 25
        assert float(match[2]) <= 4.5
        again = r"found again: (at once|1 frames) after the occlusion, (at once|1 frames) after the cut"
        assert re.search(again, out)

    def test_demo_with_other_landmarks_is_not_compared(self, call: Call, capfd: Said, tmp_path: Path) -> None:
        spec = ModelSpec(64, "wflw98", presence=0.5, decode="", licence="", config={}, commit="")
        model, output = onnx_model(tmp_path / "wflw.onnx", spec.to_metadata()), tmp_path / "out.jsonl"
        assert call("--demo", "--model", model, "--output", output) == 0
        assert len(lines_of(output)[0]["faces"][0]["points_px"]) == 98
        out = capfd.readouterr().out
        assert out.startswith("30 frames, ")
        assert "truth" not in out

    @pytest.fixture
    def no_camera(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def camera(index: int) -> None:
            raise TrackerError(f"camera {index} could not be opened")

        monkeypatch.setattr("tracker.run.Camera", camera)

    @pytest.mark.usefixtures("no_camera")
    @pytest.mark.parametrize("display", ["", ":0"])
    def test_nothing_said_and_no_camera_or_display(
        self, display: str, call: Call, capfd: Said, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert call() == 0
        out = capfd.readouterr().out
        assert out.startswith("no camera with a display here: tracking the built-in demo clip\n30 frames, ")
        assert "against the clip's truth" in out

    def test_nothing_said_with_a_camera_and_a_display(
        self, call: Call, capfd: Said, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Camera 0 in a window, until its user closes that."""
        shown: list[Any] = []

        class FakeCamera(Source):
            def __init__(self, index: int) -> None:
                assert index == 0
                super().__init__("camera 0", None, None, live=True)

            def _read(self) -> Iterator[Frame]:  # type: ignore[override]
                yield from frames

        class FakeWindow:
            def __init__(self, title: str, at_speed: bool) -> None:
                assert not at_speed  # a camera's pictures are not held back

            def __enter__(self) -> FakeWindow:
                return self

            def __exit__(self, *exception: object) -> None: ...

            def close(self) -> None: ...

            def write(self, image_rgb: Any, timestamp_s: float) -> None:
                shown.append(image_rgb)

            @property
            def closed(self) -> bool:
                return len(shown) == 7

        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr("tracker.run.Camera", FakeCamera)
        monkeypatch.setattr("tracker.run.Window", FakeWindow)
        assert call() == 0
        assert [picture.shape for picture in shown] == [(240, 320, 3)] * 7
        assert np.abs(shown[0].astype(int) - frames[0].image_rgb).max() > 50  # the landmarks are drawn
        out = capfd.readouterr().out
        assert out.startswith("7 frames, 7 with a face, 1 faces in all")
        assert out.endswith("camera 0: 0 frames dropped, 0 unreadable, 0 gaps\n")


def onnx_model(path: Path, metadata: dict[str, str]) -> Path:
    """A model that gives every 64 px crop the same 98 landmarks, all sure; with that metadata."""
    onnx = pytest.importorskip("onnx", reason="needs onnx, of the extra export")
    helper, rng = onnx.helper, np.random.default_rng(0)
    values = {
        "points_px": rng.uniform(8, 56, (1, 98, 2)),
        "scores": np.ones((1, 98)),
        "covariances_px2": np.ones((1, 98, 3)) * (1, 0, 1),
    }
    nodes = [
        helper.make_node("Shape", ["crops"], ["count"], start=0, end=1),
    ]
    for name, value in values.items():
        rest = onnx.numpy_helper.from_array(np.array(value.shape[1:], np.int64), f"{name}_shape")
        constant = onnx.numpy_helper.from_array(value.astype(np.float32), f"{name}_value")
        nodes += [
            helper.make_node("Constant", [], [f"{name}_rest"], value=rest),
            helper.make_node("Constant", [], [f"{name}_one"], value=constant),
            helper.make_node("Concat", ["count", f"{name}_rest"], [f"{name}_all"], axis=0),
            helper.make_node("Expand", [f"{name}_one", f"{name}_all"], [name]),
        ]
    crops = helper.make_tensor_value_info("crops", onnx.TensorProto.UINT8, ["n", 64, 64, 3])
    outputs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *value.shape[1:]])
        for name, value in values.items()
    ]
    graph = helper.make_graph(nodes, "same everywhere", [crops], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def test_the_packaged_model_is_the_default(make_tracker: Callable[..., Tracker]) -> None:
    assert make_tracker().engine.spec == make_tracker(model=WEIGHTS).engine.spec
