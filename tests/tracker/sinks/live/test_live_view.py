"""The live view, asked by real HTTP and WebSocket clients over the loopback."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tracker.sinks.live.visitors import (
    SIZE,
    WAIT_S,
    Fed,
    ask,
    drain,
    grey_frame,
    grey_of,
    handles,
    is_running,
    threads,
    wait_until,
)
from tests.tracker.sinks.sinks_shared import ROOT, result
from tracker.errors import TrackerError
from tracker.sinks import JsonLines, LiveView
from tracker.sources import Frame

websockets = pytest.importorskip("websockets", reason="needs websockets, of the extra serve")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
TOKEN = "a-token-of-the-user-0123"


@pytest.fixture(scope="module")
def live() -> Iterator[Fed]:
    with closing(Fed(LiveView("127.0.0.1:0"))) as fed:
        yield fed


@pytest.fixture(scope="module")
def guarded() -> Iterator[Fed]:
    """On every address of the machine, with a token that was made for it."""
    with closing(Fed(LiveView("0.0.0.0:0"))) as fed:
        yield fed


def test_the_page_loads_nothing_from_elsewhere(live: Fed) -> None:
    status, headers, page = live.get()
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "http://" not in page and "https://" not in page and "//cdn" not in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!data:)", page)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert headers["X-Frame-Options"] == "DENY" and "Access-Control-Allow-Origin" not in headers
    assert live.get("/elsewhere")[0] == 404


def test_a_program_is_sent_every_result(live: Fed) -> None:
    with live.visit("/results") as program:
        got = [json.loads(program.recv(WAIT_S)) for _ in range(20)]
    first = got[0]["frame"]
    assert [each["frame"] for each in got] == [*range(first, first + 20)]
    for each in got:
        figures = each.pop("live")
        assert each == result(each["frame"]).to_json()
        assert (figures["width"], figures["height"], figures["latency_ms"]) == (*SIZE, None)


def test_a_page_is_sent_the_newest_picture_and_its_own_result(live: Fed) -> None:
    with live.visit("/live", origin=f"http://127.0.0.1:{live.port}") as page:
        for pause_s in (0, 0, 0.5, 0):
            time.sleep(pause_s)
            before = live.written
            got, jpeg = ask(page)
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None and picture.shape == (SIZE[1], SIZE[0], 3)
            assert got["frame"] >= before - 5  # none that waited in a queue
            assert abs(float(np.median(picture)) - grey_of(got["frame"])) < 3


@pytest.mark.slow
def test_frames_that_come_in_bursts() -> None:
    """The picture that was asked for comes, though other frames follow it at once."""
    from websockets.sync.client import connect

    with (
        LiveView("127.0.0.1:0") as view,
        connect(f"{view.urls[0].replace('http', 'ws')}live", ping_interval=None) as page,
    ):
        for burst in range(5):
            page.send("next")
            wait_until(lambda: view._wanted)
            for index in range(100 * burst, 100 * (burst + 1)):
                view.write(grey_frame(index), result(index))
            assert json.loads(page.recv(WAIT_S))["frame"] == 100 * burst
            assert isinstance(page.recv(WAIT_S), bytes)


def test_no_picture_is_copied_while_nobody_watches(live: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    from tracker.sinks.live import view

    copy = view._shown
    monkeypatch.setattr(view, "_shown", lambda frame: copied.append(frame.index) or copy(frame))
    with live.visit("/results") as program:
        [program.recv(WAIT_S) for _ in range(10)]
    before = len(copied)
    with live.visit("/results") as program:
        [program.recv(WAIT_S) for _ in range(10)]
    assert len(copied) == before <= 1  # a page of another test may have asked for one
    with ExitStack() as stack:
        pages = [stack.enter_context(live.visit("/live")) for _ in range(5)]
        for page in pages:
            page.send("next")
        frames = [json.loads(page.recv(WAIT_S))["frame"] for page in pages]
    assert set(frames) <= set(copied) and len(copied) - before <= 5


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "", "evil.example@127.0.0.1.x"])
def test_names_that_were_bound_to_this_machine_by_others(live: Fed, host: str) -> None:
    assert live.get("/", Host=host)[0] == 403
    request = f"GET /live HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    assert live.say(request.encode() + b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n").startswith(
        b"HTTP/1.1 403"
    )


def test_two_hosts_are_none(live: Fed) -> None:
    assert live.say(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n").startswith(b"HTTP/1.1 403")
    assert live.say(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("path", ["/live", "/results"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1"])
def test_pages_of_others_open_no_connection(live: Fed, path: str, origin: str) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught, live.visit(path, origin=origin):
        pass
    assert caught.value.response.status_code == 403


def test_a_token_is_needed_beyond_the_loopback(guarded: Fed) -> None:
    url, token = guarded.view.urls[0].split("?token=")
    assert len(token) >= 20 and "0.0.0.0" not in url
    for path in ("/", "/?token=wrong", f"/?token={token[:-1]}", "/live", "/elsewhere"):
        status, headers, text = guarded.get(path)
        assert status == 401 and "token" in text and token not in text and "Set-Cookie" not in headers
    for path in ("/live", "/results", "/live?token=wrong"):
        with pytest.raises(websockets.exceptions.InvalidStatus, match="401"), guarded.visit(path):
            pass


def test_a_token_is_taken_from_the_address_a_cookie_or_a_header(guarded: Fed) -> None:
    token = guarded.view.urls[0].split("?token=")[1]
    status, headers, _ = guarded.get(f"/?token={token}")
    assert (status, headers["Location"]) == (303, "/")
    cookie, *properties = headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} == {*properties}
    assert guarded.get("/", Cookie=cookie)[0] == 200
    for option in ({"Cookie": cookie}, {"Authorization": f"Bearer {token}"}):
        with guarded.visit("/live", additional_headers=option) as page:
            assert ask(page)[0]["frame"] >= 0
    with guarded.visit(f"/results?token={token}") as program:
        assert "faces" in json.loads(program.recv(WAIT_S))
    with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):
        guarded.visit("/live", origin="http://evil.example", additional_headers={"Cookie": cookie})


MALFORMED = [
    b"",
    b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
    b"GET / HTTP/1.1\r\nHost",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc",
    b"DELETE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: \xff\xff\r\n\r\n",
    b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
]
HANDSHAKE = (
    b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
MALFORMED += [HANDSHAKE + rest for rest in (b"\xff" * 50, b"\x81\x04next", b"\x82\xff" + b"\x7f" * 8 + bytes(50))]


@pytest.mark.slow
@on_linux
def test_malformed_visitors_and_a_hundred_reconnections_leave_nothing(live: Fed) -> None:
    with live.visit("/live") as page:
        ask(page)
        time.sleep(0.5)
        opened = handles(live.process)
    for data in MALFORMED:
        with suppress(ConnectionError):
            assert b"HTTP/1.1 200" not in live.say(data, end=True)[:12]
    with live.visit("/live") as page:
        page.send("something else")
        with pytest.raises(websockets.exceptions.ConnectionClosedError, match="1008"):
            page.recv(WAIT_S)
    with live.visit("/live") as page:
        page.send("x" * 100_000)
        assert drain(page) == []
    for index in range(100):
        with live.visit("/live" if index % 2 else "/results") as page:
            if index % 3:
                page.send("next")
            if index % 4:
                page.socket.shutdown(socket.SHUT_RDWR)  # gone without a word
    assert live.get()[0] == 200
    wait_until(lambda: handles(live.process) <= opened - 1)  # the page that was counted is gone, too
    assert threads(live.process) < 40


@pytest.mark.slow
def test_ten_visitors_at_once_of_whom_some_stall(live: Fed) -> None:
    """Each is sent what it asks for, while others take nothing."""
    with ExitStack() as stack:
        for path in ("/results", "/live"):
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", live.port)))
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.sendall(HANDSHAKE.replace(b"/live", path.encode()))
        pages = [stack.enter_context(live.visit("/live")) for _ in range(5)]
        programs = [stack.enter_context(live.visit("/results")) for _ in range(5)]
        for program in programs:
            got = [json.loads(program.recv(WAIT_S))["frame"] for _ in range(10)]
            assert got == [*range(got[0], got[0] + 10)]
        frames = [[ask(page)[0]["frame"] for page in pages] for _ in range(3)]
        assert (np.diff(frames, axis=0) > 0).all()


@pytest.mark.slow
@on_linux
def test_a_process_that_stands_still_holds_nothing_up(tmp_path: Path) -> None:
    """The frames all reach a file, and closing does not wait for long."""
    before = threading.active_count(), handles(os.getpid())
    view, lines = LiveView("127.0.0.1:0"), JsonLines(tmp_path / "a.jsonl")
    image = np.zeros((720, 1280, 3), np.uint8)
    os.kill(view._process.pid, signal.SIGSTOP)
    view._wanted = True  # as if it had asked for a picture, which is larger than the pipe
    for index in range(2000):
        frame, found = Frame(image, index / 30, index), result(index)
        view.write(frame, found)
        lines.write(frame, found)
    start_s = time.monotonic()
    view.close()
    assert time.monotonic() - start_s < 5  # half a second on a machine that is not busy
    lines.close()
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2000
    assert (threading.active_count(), handles(os.getpid())) == before


@pytest.mark.slow
@on_linux
def test_visitors_are_told_of_the_end() -> None:
    fed = Fed(LiveView("[::1]:0" if socket.has_dualstack_ipv6() else "127.0.0.1:0"))
    with ExitStack() as stack:
        stack.callback(fed.close)
        from websockets.sync.client import connect

        address = fed.view.urls[0].replace("http", "ws")
        page, program = (
            stack.enter_context(connect(f"{address}{path}", ping_interval=None)) for path in ("live", "results")
        )
        assert ask(page)[0]["frame"] >= 0
        fed.close()
        fed.close()  # once more does nothing
        for socket_ in (page, program):
            assert json.loads(drain(socket_)[-1]) == {"ended": {"frames": fed.written}}
    assert not is_running(fed.process)


@on_linux
def test_a_process_that_dies_is_said_once_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    view = LiveView("127.0.0.1:0", token=TOKEN)
    assert TOKEN not in repr(view.urls)  # its user knows it
    os.kill(view._process.pid, signal.SIGKILL)
    view._process.wait()
    with caplog.at_level(logging.WARNING):
        for index in range(50):
            view.write(grey_frame(index), result(index))
            time.sleep(0.002)
        view.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the live view has ended unexpectedly; the run goes on without it"
    ]


KILLED = """
import os, signal, sys, time
from tests.tracker.sinks.live.visitors import *
view = LiveView("127.0.0.1:0")
print(view.urls[0], view._process.pid, flush=True)
for index in range(10**6):
    view.write(grey_frame(index), result(index))
    time.sleep(.01)
"""


@pytest.mark.slow
@on_linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_by_a_run_that_ends_otherwise(number: signal.Signals) -> None:
    """Killed, or by Ctrl-C without a close."""
    from websockets.sync.client import connect

    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as run:
        assert run.stdout is not None
        url, process = run.stdout.readline().split()
        with connect(f"{url.replace('http', 'ws')}results", ping_interval=None) as program:
            program.recv(WAIT_S)
            run.send_signal(number)
            assert json.loads(drain(program)[-1]) == {"ended": {"unexpectedly": True}}
    wait_until(lambda: not is_running(int(process)))


def test_addresses_that_cannot_be_listened_on(live: Fed) -> None:
    in_use = rf"^--serve: 127\.0\.0\.1:{live.port} is in use by another program, give another port"
    for address, sentence in {
        f"127.0.0.1:{live.port}": in_use,
        "8080": r"^--serve: expected HOST:PORT",
        "no such host:8080": r"^--serve: the host of no such host:8080 is not known",
        "192.0.2.1:8080": r"^--serve: this machine cannot listen on 192\.0\.2\.1:8080",
    }.items():
        with pytest.raises(TrackerError, match=sentence):
            LiveView(address)
    with pytest.raises(TrackerError, match="expected a --serve-token of at least 16") as caught:
        LiveView("127.0.0.1:0", token="SECRET")
    assert "SECRET" not in str(caught.value)


def test_without_websockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "websockets.py").write_text("raise ModuleNotFoundError(name='websockets')")
    monkeypatch.syspath_prepend(tmp_path)
    sentence = r"^--serve needs websockets, which is not installed; pip install 'landmark-tracker\[serve\]'$"
    with pytest.raises(TrackerError, match=sentence):
        LiveView("127.0.0.1:0")
