"""The clients of the live view, and what each of them is sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2

from tracker.sinks.annotate import draw_faces
from tracker.sinks.live.messages import Batch, Image, Shot

QUEUE = 256
"""Results kept for a program that reads slowly; older ones are dropped, for that program only."""

SEND_S = 10.0
"""A client that has received nothing for this many seconds is disconnected."""

PICTURES_PER_S = 30.0
JPEG_QUALITY = 80

T = TypeVar("T")


@dataclass(frozen=True)
class _View:
    number: int
    text: str
    jpeg: bytes
    made_s: float


class Audience:
    """Serves all clients, and draws and encodes a frame once for all pages that wait for it.

    There are two kinds of clients. A page sends "next" and is sent the newest frame that it has not seen: its result as
    JSON in a text message, then the annotated picture as JPEG in a binary message. So a slow page never lags behind. A
    program is sent the result of every frame as a text message, without asking.
    """

    def __init__(self, ask: Callable[[], None], source: str) -> None:
        """Start without clients.

        Args:
            ask: requests the picture of the next frame from the tracker's process.
            source: name of the source, to be shown.
        """
        self._ask = ask
        self._source = source
        self._streams: dict[Any, tuple[deque[str], asyncio.Event]] = {}
        self._view: _View | None = None
        self._came = asyncio.Event()  # set by the next picture, and then replaced by a new event
        self._asked = False
        self._asked_s = 0.0
        self._sockets: set[Any] = set()

    async def take(self, batch: Batch) -> None:
        """Send results to the programs, and their picture to the pages.

        Args:
            batch: from the tracker's process.
        """
        texts = [self._as_json(shot) for shot in batch.shots] if self._streams else []
        for waiting, filled in self._streams.values():
            waiting.extend(texts)
            filled.set()
        if batch.shown is not None and batch.picture_rgb is not None:
            loop = asyncio.get_running_loop()
            jpeg = await loop.run_in_executor(None, _encode, batch.picture_rgb, batch.shown)
            number = 0 if self._view is None else self._view.number + 1
            self._view = _View(number, self._as_json(batch.shown), jpeg, time.monotonic())
            self._asked = False
            came, self._came = self._came, asyncio.Event()
            came.set()

    def _as_json(self, shot: Shot) -> str:
        latency_ms = None if shot.latency_s is None else round(1e3 * shot.latency_s, 2)
        live = {
            "source": self._source,
            "width": shot.size[0],
            "height": shot.size[1],
            "step_ms": round(1e3 * shot.result.stage_s.get("step", 0.0), 2),
            "latency_ms": latency_ms,
            **shot.losses,
        }
        return json.dumps({**shot.result.to_json(), "live": live}, separators=(",", ":"), allow_nan=False)

    async def show(self, socket: Any) -> None:
        """Serve a page until it disconnects.

        Args:
            socket: its WebSocket.
        """
        seen = -1
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message != "next":
                    await socket.close(1008, 'expected "next"')
                    return
                view = await _unless_closed(socket, self._newer_than(seen))
                if view is None:
                    return
                seen = view.number
                await _send(socket, view.text)
                await _send(socket, view.jpeg)
        finally:
            self._sockets.discard(socket)

    async def _newer_than(self, seen: int) -> _View:
        """Return the newest picture if the page has not seen it and it is recent; otherwise wait for the next one."""
        view = self._view
        if view is not None and view.number > seen and time.monotonic() - view.made_s < 2 / PICTURES_PER_S:
            return view
        if not self._asked:
            self._asked = True
            wait_s = self._asked_s + 1 / PICTURES_PER_S - time.monotonic()
            asyncio.get_running_loop().call_later(max(0.0, wait_s), self._ask_now)
        await self._came.wait()
        assert self._view is not None
        return self._view

    def _ask_now(self) -> None:
        self._asked_s = time.monotonic()
        self._ask()

    async def stream(self, socket: Any) -> None:
        """Serve a program until it disconnects.

        Args:
            socket: its WebSocket.
        """
        waiting, filled = deque[str](maxlen=QUEUE), asyncio.Event()
        closed = asyncio.ensure_future(socket.wait_closed())
        closed.add_done_callback(lambda _: filled.set())
        self._streams[socket] = waiting, filled
        self._sockets.add(socket)
        try:
            while await filled.wait() and not closed.done():
                filled.clear()
                while waiting:
                    await _send(socket, waiting.popleft())
        finally:
            closed.cancel()
            self._sockets.discard(socket)
            del self._streams[socket]

    async def dismiss(self, text: str, within_s: float) -> None:
        """Send a last message to all clients and close their connections.

        Args:
            text: the message.
            within_s: how long to wait for slow clients, in seconds.
        """
        tasks = [asyncio.ensure_future(_dismiss(socket, text)) for socket in self._sockets]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)


async def _dismiss(socket: Any, text: str) -> None:
    await socket.send(text)
    await socket.close(1001, "the run has ended")


async def _send(socket: Any, message: str | bytes) -> None:
    """Send a message. Raises ConnectionError if the client receives nothing for SEND_S."""
    try:
        await asyncio.wait_for(socket.send(message), SEND_S)
    except asyncio.TimeoutError:
        socket.transport.abort()
        raise ConnectionAbortedError(f"nothing was taken for {SEND_S:g} s") from None


async def _unless_closed(socket: Any, awaited: Coroutine[Any, Any, T]) -> T | None:
    """Return the awaited result; None if the client disconnects before."""
    task, closed = asyncio.ensure_future(awaited), asyncio.ensure_future(socket.wait_closed())
    try:
        await asyncio.wait((task, closed), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        closed.cancel()


def _encode(picture_rgb: Image, shot: Shot) -> bytes:
    """Draw the faces over the picture and encode it as JPEG."""
    height, width = picture_rgb.shape[:2]
    drawn = draw_faces(picture_rgb, shot.result.scaled(width / shot.size[0], height / shot.size[1]))
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes()
