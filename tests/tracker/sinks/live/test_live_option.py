"""--serve and --serve-token of the command line."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tracker.run
from tests.tracker.sinks.live.visitors import WAIT_S
from tests.tracker.sinks.sinks_shared import ROOT
from tracker.sources.demo import DemoClip

pytest.importorskip("websockets", reason="needs websockets, of the extra serve")
pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
TOKEN = "a-token-of-the-user-0123"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """tracker.run with these arguments, on a demo of one second."""

    class Short(DemoClip):
        def __init__(self) -> None:
            super().__init__(size=(320, 240), seconds=1)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(tracker.run, "DemoClip", Short)
        monkeypatch.setattr(sys, "argv", ["tracker.run", *arguments])
        return tracker.run.main()

    return run


def test_the_address_is_printed_and_free_again(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jsonl"
    arguments = ("--demo", "--serve", "127.0.0.1:0", "--serve-token", TOKEN, "--output", str(path))
    assert command(*arguments) == 0
    shown = capsys.readouterr()
    port = re.search(r"^live view: http://127\.0\.0\.1:(\d+)/$", shown.out, re.M)
    assert port is not None and TOKEN not in shown.out + shown.err
    assert len(path.read_text().splitlines()) == 30
    with socket.create_server(("127.0.0.1", int(port[1]))):
        pass


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--serve-token", TOKEN), "--serve-token is for --serve; give --serve HOST:PORT, too"),
        (("--serve", "127.0.0.1:0", "--serve-token=SECRET"), "expected a --serve-token of at least 16 characters"),
        (("--serve", "8080"), "--serve: expected HOST:PORT such as 127.0.0.1:8080"),
        (("--serve", "anna:SECRET@127.0.0.1:99999"), "--serve: expected HOST:PORT such as 127.0.0.1:8080"),
    ],
)
def test_mistakes_are_one_sentence_without_the_secret(
    command: Callable[..., int], arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--demo", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line and "SECRET" not in line and TOKEN not in line


def test_the_token_is_not_in_the_configuration_that_is_shown(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--serve-token", TOKEN, "--print_config") == 0
    shown = capsys.readouterr().out
    assert "serve_token: " in shown and TOKEN not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_ctrl_c_ends_a_run_that_is_watched(tmp_path: Path) -> None:
    """The file ends with a whole line, and the visitor is told."""
    from websockets.sync.client import connect

    script = (
        "import signal, sys, tracker.run\nsignal.signal(2, signal.default_int_handler)\nsys.exit(tracker.run.main())"
    )
    path = tmp_path / "a.jsonl"
    arguments = ["--demo", "--serve", "127.0.0.1:0", "--output", str(path)]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    ) as run:
        assert run.stdout is not None
        url = run.stdout.readline().split()[-1]
        with connect(f"{url.replace('http', 'ws')}results", ping_interval=None) as program:
            program.recv(WAIT_S)
            run.send_signal(signal.SIGINT)
            start_s = time.monotonic()
            texts = list(program)
            assert run.wait(WAIT_S) == 130
        assert time.monotonic() - start_s < 10  # within a second on a machine that is not busy
    lines = path.read_text().splitlines()
    shown = json.loads(texts[-1])["ended"]["frames"]
    assert shown in (len(lines), len(lines) - 1)  # the file is written first
    assert [json.loads(line)["frame"] for line in lines] == [*range(len(lines))]
