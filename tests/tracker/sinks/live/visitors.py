"""What the tests of the live view share: a view that is fed without pause, and visitors."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from tests.tracker.sinks.sinks_shared import result
from tracker.result import FrameResult
from tracker.sinks import LiveView
from tracker.sources import Frame

SIZE = (160, 120)
WAIT_S = 60.0  # for what comes at once on a machine that is not busy


def grey_frame(index: int) -> Frame:
    """A frame that shows its index: all pixels have the same grey."""
    return Frame(np.full((SIZE[1], SIZE[0], 3), grey_of(index), np.uint8), index / 30, index)


def grey_of(index: int) -> int:
    return index * 5 % 256


class Fed:
    """A live view that is written frame after frame by a thread, until it is closed."""

    def __init__(self, view: LiveView, pause_s: float = 0.02, make: Callable[[int], FrameResult] = result) -> None:
        self.view = view
        self.port = urlsplit(view.urls[0]).port
        self.written = 0
        self._pause_s = pause_s
        self._make = make
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed)
        self._thread.start()

    def _feed(self) -> None:
        while not self._over.wait(self._pause_s):
            self.view.write(grey_frame(self.written), self._make(self.written))
            self.written += 1

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.view.close()

    def get(self, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of a plain request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()

    def visit(self, path: str, **options: Any) -> Any:
        """A WebSocket."""
        from websockets.sync.client import connect

        return connect(
            f"ws://127.0.0.1:{self.port}{path}", open_timeout=WAIT_S, ping_interval=None, compression=None, **options
        )

    def say(self, data: bytes, end: bool = False) -> bytes:
        """The answer to bytes, up to the end of the connection. end: say that nothing more will come."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as connection:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionError):  # it may be closed before all was taken
                while got := connection.recv(65536):
                    answer += got
            return answer

    @property
    def process(self) -> int:
        return self.view._process.pid


def ask(page: Any) -> tuple[dict[str, Any], bytes]:
    """The newest frame: its result and its picture."""
    page.send("next")
    text, picture = page.recv(WAIT_S), page.recv(WAIT_S)
    assert isinstance(text, str) and isinstance(picture, bytes)
    return json.loads(text), picture


def drain(visitor: Any) -> list[Any]:
    """All that a visitor is sent until the other side closes."""
    from websockets.exceptions import ConnectionClosed

    got = []
    with suppress(ConnectionClosed):
        while True:
            got.append(visitor.recv(WAIT_S))
    return got


def handles(process: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{process}/fd"))


def threads(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/task"))


def wait_until(what: Callable[[], bool]) -> None:
    """Raises TimeoutError where it does not come true."""
    until_s = time.monotonic() + WAIT_S
    while not what():
        if time.monotonic() > until_s:
            raise TimeoutError
        time.sleep(0.05)


def is_running(process: int) -> bool:
    """Of any process, also where it is not ours to wait for."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
