"""python -m benchmarks._lib.live_visitors URL PAGES PROGRAMS: simulates clients of a live view, one of which stalls.

They run until standard input ends. Then one line of JSON states what each received.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

REQUEST = (
    "GET /results HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


async def look(url: str, counts: list[int], index: int) -> None:
    """Request the newest frame repeatedly, like the page."""
    client: Any = import_module("websockets.asyncio.client")
    async with client.connect(f"{url}live", ping_interval=None, compression=None) as page:
        while True:
            await page.send("next")
            await page.recv()
            await page.recv()
            counts[index] += 1


async def read(url: str, counts: list[int], index: int) -> None:
    """Receive every result, like a program."""
    client: Any = import_module("websockets.asyncio.client")
    async with client.connect(f"{url}results", ping_interval=None, compression=None) as program:
        while True:
            await program.recv()
            counts[index] += 1


def stall(address: str) -> socket.socket:
    """Request results, but never read them."""
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    connection.sendall(REQUEST.format(host=parts.netloc).encode())
    return connection


async def visit(address: str, pages: int, programs: int) -> dict[str, list[int]]:
    """Return what each page and program received until standard input ended."""
    url = address.replace("http", "ws", 1)
    shown, taken = [0] * pages, [0] * programs
    with stall(address):
        tasks = [asyncio.create_task(look(url, shown, index)) for index in range(pages)]
        tasks += [asyncio.create_task(read(url, taken, index)) for index in range(programs)]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task  # raises what it failed with
    return {"pages": shown, "programs": taken}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(visit(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
