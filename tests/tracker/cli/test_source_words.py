"""A word on the command line is the source."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.cli.source_words import source_options
from tracker.errors import TrackerError
from tracker.run import main
from tracker.sources import kind_of_source


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a.png, b.png, folder/c.png, clip.mp4 of three frames, and files of odd names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    grey = np.full((48, 64, 3), 128, np.uint8)
    for name in ("a.png", "b.png", "folder/c.png", "null", "7"):
        cv2.imwrite("picture.png", grey)
        os.rename("picture.png", name)
    writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
    for _ in range(3):
        writer.write(grey)
    writer.release()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("clip.mp4", ["--video=clip.mp4"]),
        ("not_there.mp4", ["--video=not_there.mp4"]),
        ("-", ["--video=-"]),
        ("rtsp://host/a", ["--video=rtsp://host/a"]),
        ("0", ["--camera=0"]),
        ("7", ["--camera=7"]),
        ("/dev/video0", ["--camera=/dev/video0"]),
        ("csi://0", ["--camera=csi://0"]),
        ("a.png", ["--images+=a.png"]),
        ("null", ["--images+=null"]),
        ("./7", ["--images+=./7"]),
        ("folder", ["--images+=folder"]),
        ("a.png b.png folder", ["--images+=a.png", "--images+=b.png", "--images+=folder"]),
        ("--output x clip.mp4", ["--output", "x", "--video=clip.mp4"]),
        ("clip.mp4 --output x", ["--output", "x", "--video=clip.mp4"]),
        ("--show=true 0 --camera_size 9x9", ["--show=true", "--camera_size", "9x9", "--camera=0"]),
        ("--give_up_s -1 0", ["--give_up_s", "-1", "--camera=0"]),
        ("--help clip.mp4", ["--help", "--video=clip.mp4"]),
        ("-h", ["-h"]),
        ("--output", ["--output"]),
        ("", []),
    ],
)
def test_words_become_options(given: str, expected: list[str], here: Path) -> None:
    assert source_options(given.split()) == expected


def test_a_pipeline_is_a_camera_unless_there_is_a_file_of_that_name(here: Path) -> None:
    assert kind_of_source("a ! appsink") == "camera"
    (here / "a ! appsink").touch()
    assert kind_of_source("a ! appsink") == "video"


def test_a_pipe_is_a_video(here: Path) -> None:
    os.mkfifo("pipe.png")
    assert kind_of_source("pipe.png") == "video"


@pytest.mark.parametrize("words", ["clip.mp4 clip.mp4", "a.png clip.mp4", "0 1", "output x"])
def test_several_words_are_pictures_or_refused(words: str, here: Path) -> None:
    with pytest.raises(TrackerError, match=r"^expected one source, or several pictures .* got 2 words of which"):
        source_options(words.split())


def test_a_picture_that_is_not_there_is_named(
    here: Path, track: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert track("a.png", "not_there.png", "--output", "out.jsonl") == 2
    assert "not_there.png" in capsys.readouterr().err
    assert not Path("out.jsonl").exists()


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def call(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["landmarks track", *arguments])
        return main()

    return call


def test_a_run_takes_its_source_as_a_word(here: Path, track: Callable[..., int]) -> None:
    assert track("clip.mp4", "--output", "clip.jsonl") == 0
    assert [json.loads(line)["frame"] for line in Path("clip.jsonl").read_text().splitlines()] == [0, 1, 2]
    assert track("--output", "pictures.jsonl", "a.png", "folder") == 0
    lines = [json.loads(line) for line in Path("pictures.jsonl").read_text().splitlines()]
    assert [Path(line["picture"]).name for line in lines] == ["a.png", "c.png"]


def test_a_source_that_is_an_output_is_refused(
    here: Path, track: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("clip.mp4").read_bytes()
    assert track("clip.mp4", "--overlay", "clip.mp4") == 2
    assert capsys.readouterr().err.startswith("landmarks track: --video and --overlay name the same file")
    assert Path("clip.mp4").read_bytes() == before
