"""The sink of the live view. It starts the process that serves the page, and never waits for it."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import asdict

import cv2
import numpy as np

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.result import FrameResult
from tracker.sinks.base import Closing, Image
from tracker.sinks.live.access import expect_token, split_address
from tracker.sinks.live.messages import Batch, End, Message, Settings, Shot, send
from tracker.sources import Frame, Source
from tracker.system.process import module_command

log = logging.getLogger(__name__)

MOST_RESULTS = 256
"""Results kept for the process of the page; older ones are dropped."""

LARGEST_SIDE = 1280
"""Longer side of a picture in pixels; larger pictures are shrunk."""

CLOSE_S = 0.5
"""Seconds that the process has to tell its clients that the run has ended."""


class LiveView(Closing):
    """Shows the run in web browsers and streams the results to programs, from a separate process.

    Drawing, encoding and serving happen in that process. write only keeps the newest results, which a thread passes on,
    and copies the frame if a page has asked for one. Frames that the process or a client is too slow for are dropped
    for the live view only; other sinks get them.

    Attributes:
        urls: the addresses of the page, with the token if it was made here.
    """

    def __init__(self, address: str, source: Source | None = None, token: str | None = None) -> None:
        """Start the process and wait until it listens.

        Args:
            address: HOST:PORT such as 127.0.0.1:8080 or [::1]:8080; port 0 takes any free port. Addresses other than
                the loopback need a token.
            source: of the frames, for its name, its losses and the latency.
            token: that clients must send; by default one is made if it is needed.

        Raises:
            TrackerError: the address is invalid, unknown or in use; the token is too short; or websockets is not
                installed.
        """
        if getattr(sys, "frozen", False) or not sys.executable:
            raise TrackerError("--serve needs a Python interpreter to start, which is not available in this program")
        split_address(address)
        if token is not None:
            expect_token(token)
        self._source = source
        self._changed = threading.Condition()
        self._shots: deque[Shot] = deque(maxlen=MOST_RESULTS)
        self._shown: tuple[Shot, Image] | None = None  # the picture that was requested
        self._wanted = False
        self._frames = 0
        self._closing = self._failed = False
        command, environment = module_command("tracker.sinks.live.server")
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # so that Ctrl-C ends only the tracker, which then ends this process
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._threads: list[threading.Thread] = []
        name = "" if source is None else redact_source(source.name)
        try:
            self.urls = self._begin(Settings(address, token, name))
        except BaseException:
            self._end_process()
            raise
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._hand_over, self._listen)]
        for thread in self._threads:
            thread.start()

    def _begin(self, settings: Settings) -> list[str]:
        """Send the settings; return the addresses. Raises TrackerError with the message of the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):  # the process has ended; what it wrote, or did not write, tells why
            send(self._process.stdin, settings)
        line = bytearray()
        while not line.endswith(b"\n") and (got := self._process.stdout.read(1)):
            line += got
        if not line:
            raise TrackerError(f"--serve: its process ended at once, with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise TrackerError(answer["error"])
        return [str(url) for url in answer["urls"]]

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Pass a result on, with the picture if a page has asked for it, see Sink.write."""
        if self._failed:
            return
        started_s = None if self._source is None else self._source.started_s
        latency_s = None if started_s is None else time.monotonic() - started_s - frame.timestamp_s
        losses = {} if self._source is None else asdict(self._source.losses)
        size: tuple[int, ...] = (
            frame.image_rgb.shape[1::-1] if frame.gpu is None else (frame.gpu.width, frame.gpu.height)
        )
        shot = Shot(result, (size[0], size[1]), latency_s, losses)
        picture = _shown(frame) if self._wanted else None
        with self._changed:
            self._frames += 1
            self._shots.append(shot)
            if picture is not None:
                self._shown, self._wanted = (shot, picture), False
            self._changed.notify()

    def close(self) -> None:
        """Tell the clients that the run has ended, and end the process within CLOSE_S."""
        if self._closing:
            return
        with self._changed:
            self._closing = True
            self._changed.notify()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_S)
        self._end_process()

    def _end_process(self) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:  # they end now, because their pipes are closed
            thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()

    def _hand_over(self) -> None:
        """In a thread: pass results to the process, until the run or the process ends."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._shots or self._closing)
                shots, shown = tuple(self._shots), self._shown or (None, None)
                self._shots.clear()
                self._shown = None
            if shots and not self._send(Batch(shots, *shown)):
                return
            if self._closing and not self._shots:
                self._send(End(self._frames))
                return

    def _send(self, message: Message) -> bool:
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, message)
        except (OSError, ValueError):
            if not self._closing:
                log.warning("the live view has ended unexpectedly; the run goes on without it")
            self._failed = True
            return False
        return True

    def _listen(self) -> None:
        """In a thread: each byte from the process requests the picture of the next frame."""
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while self._process.stdout.read(1):
                self._wanted = True
        self._wanted = False


def _shown(frame: Frame) -> Image:
    """Copy the picture of a frame, with square pixels and at most LARGEST_SIDE."""
    height, width = frame.image_rgb.shape[:2]
    x, y = frame.square_scale
    shrink = min(1.0, LARGEST_SIDE / max(width * x, height * y))
    size = max(1, math.floor(width * x * shrink + 0.5)), max(1, math.floor(height * y * shrink + 0.5))
    if size == (width, height):
        return frame.image_rgb.copy()
    how = cv2.INTER_AREA if shrink < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame.image_rgb, size, interpolation=how), dtype=np.uint8)
