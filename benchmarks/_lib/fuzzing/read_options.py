"""Fuzzes command lines, YAML files of options, and messages about them, which must not contain secrets."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks._lib.fuzzing.reader import Files, Reader, expect
from tracker.cli.command import USER_ERROR, run_command
from tracker.errors import TrackerError
from tracker.redaction import redact, redact_arguments, redact_source
from tracker.run import run


@functools.wraps(run)
def _only_parsed(**options: Any) -> None:
    """Takes the options of tracker.run and does nothing."""


def said(command: Callable[[], int | str | None]) -> None:
    """Run a command line; raise a refusal as a TrackerError with its message on standard error."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = command()
        except SystemExit as error:
            status = error.code
    if isinstance(status, str):
        raise TrackerError(status)
    expect(status in (0, None, USER_ERROR), f"it ends with status {status}: {errors.getvalue()[:300]}")
    if status == USER_ERROR:
        shown = errors.getvalue().removesuffix("\n").encode("utf-8", "backslashreplace")  # as standard error does
        raise TrackerError(shown.decode())


def _run(arguments: Sequence[str]) -> None:
    said(lambda: run_command(_only_parsed, "tracker.run", arguments))


def _read_arguments(folder: Path) -> None:
    path = folder / "arguments.txt"
    text = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
    _run([line for line in text.replace("\0", "").split("\n") if line])


def _arguments() -> list[Files]:
    lines = [
        ["--demo", "--max-faces=2", "--smoothing", "steady", "--give-up-s=3.5"],
        ["--video", "rtsp://me:word@host:554/a?token=1", "--osc=127.0.0.1:9000", "--csv=-"],
        ["--camera", "0", "--camera-size=640x480", "--camera-fps", "30", "--show", "--allow-cpu"],
        ["--images=pictures", "--output", "a.jsonl", "--model=edge68_fast", "--provider=cpu"],
    ]
    return [{"arguments.txt": "\n".join(each).encode()} for each in lines]


def _files() -> list[Files]:
    texts = [
        "video: clip.mp4\nmax_faces: 2\nsmoothing: balanced\ngive_up_s: 1.5e1\nshow: false\n",
        "demo: true\noutput: &a out.jsonl\npts: *a\nprovider: cpu\nstats: null\n",
        '{"images": "pictures", "max_faces": 3, "camera_size": null, "detector": "yunet"}',
        "# a comment\ncamera: csi://0\ncamera_size: 640x480\ncamera_fps: 30\nosc: |\n  127.0.0.1:9000\n",
    ]
    return [{"options.yaml": text.encode()} for text in texts]


def _messages() -> list[Files]:
    texts = [
        "cannot open rtsp://me:word@host:554/stream?token=abc&x=1: refused",
        "rtspsrc location=rtsp://me:word@host/a user-id=me user-pw='a b' ! decodebin ! appsink",
        "--video=https://host/a;password=x --osc 1.2.3.4:9\nAuthorization: Basic abc\n{'token': 'x', \"pwd\": \"y\"}",
        "file:///a/b.mp4 C:\\a\\b.mp4 me:word@host user@host/path key=value secret: 'it''s' [::1]:80",
    ]
    return [{"message.txt": text.encode()} for text in texts]


def _hide(folder: Path) -> None:
    path = folder / "message.txt"
    text = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
    for hide in (redact, redact_source):
        once = hide(text)
        expect(hide(once) == once, f"{hide.__name__} twice is not once")
    redact_arguments(text, text.split("\n")[:20])


READERS = {
    "options": Reader(_arguments, _read_arguments, (TrackerError,), ("tracker.cli.command",), traced=20),
    "YAML": Reader(
        _files,
        lambda folder: _run(["--config", str(folder / "options.yaml")]),
        (TrackerError,),
        ("tracker.cli.config_files", "tracker.cli.command"),
        traced=20,
    ),
    "messages": Reader(_messages, _hide, (), ("tracker.redaction",)),
}
