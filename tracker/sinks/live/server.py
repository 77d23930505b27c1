"""python -m tracker.sinks.live.server: the process that serves the live view; LiveView starts it.

Messages (messages.py) are read from standard input. One line of JSON is written to standard output, {"urls": [...]} or
{"error": "..."}, and then a byte each time that the picture of the next frame is requested.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import ipaddress
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import Any

import cv2

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sinks.live import access
from tracker.sinks.live.audience import Audience
from tracker.sinks.live.messages import Batch, End, Settings, receive
from tracker.system.extras import describe_missing

MOST_CONNECTIONS = 128
"""Connections at the same time; further ones are closed."""

SEND_BUFFER = 65536
"""Size in bytes of the system's buffer for a connection; with more, old frames would wait there."""

DISMISS_S = 0.3
_BACKLOG = 64
_NICE = 5  # the tracker has the higher priority


class Server:
    """The HTTP server: / is the page, /live and /results are WebSockets, see Audience."""

    def __init__(self, settings: Settings, audience: Audience) -> None:
        """Open the sockets.

        Args:
            settings: the address and the token.
            audience: the clients.

        Raises:
            TrackerError: websockets is not installed, or the address is invalid, unknown or in use.
        """
        self._audience = audience
        self._websockets, self._gone = _import_websockets()
        host, port = access.split_address(settings.address)
        self._names = access.own_names(host)
        self._page, self._policy = _load_page()
        resolved = _resolve(settings.address, host, port)
        self._token = access.choose_token(settings.token, [str(address[0]) for _, address in resolved])
        self._sockets = _listen(settings.address, resolved)
        self._port: int = self._sockets[0].getsockname()[1]
        self._tells_token = settings.token is None and self._token is not None
        self._connections = 0

    def urls(self) -> list[str]:
        """Return the addresses of the page, with the token if it was made here."""
        query = f"/?token={self._token}" if self._tells_token else "/"
        hosts = [_reachable(listening) for listening in self._sockets]
        return [f"http://{host}:{self._port}{query}" for host in hosts]

    async def start(self) -> None:
        """Start to serve."""
        for listening in self._sockets:
            await self._websockets.serve(
                self._serve,
                sock=listening,
                backlog=_BACKLOG,
                process_request=self._answer,
                create_connection=self._limited(),
                compression=None,  # JPEGs are compressed already
                server_header=None,
                max_size=1024,  # of a client's message
                open_timeout=5,
                ping_interval=10,
                ping_timeout=10,
                close_timeout=1,
            )

    def _limited(self) -> type[Any]:
        """Make the class of connections, which accepts at most MOST_CONNECTIONS."""
        server = self

        class Limited(self._websockets.ServerConnection):  # type: ignore[name-defined, misc]
            def connection_made(self, transport: Any) -> None:
                server._connections += 1
                super().connection_made(transport)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                if server._connections > MOST_CONNECTIONS:
                    transport.abort()

            def connection_lost(self, error: Exception | None) -> None:
                server._connections -= 1
                super().connection_lost(error)

        return Limited

    def _answer(self, connection: Any, request: Any) -> Any:
        """Return the response to a request; None if a WebSocket may be opened."""
        one = {name: request.headers.get_all(name) for name in ("Host", "Origin", "Authorization")}
        host, origin, authorization = (values[0] if values else None for values in one.values())
        if any(len(values) > 1 for values in one.values()) or not access.is_own_host(host, self._names):
            return _plain(connection, HTTPStatus.FORBIDDEN, "This host name is not served here.")
        path = request.path.partition("?")[0]
        cookies = request.headers.get_all("Cookie")
        offered = access.tokens_in(request.path, cookies, authorization, self._cookie)
        if not access.is_right(self._token, offered):
            sentence = "This live view needs its token: open the address with ?token=... that the tracker printed."
            return _plain(connection, HTTPStatus.UNAUTHORIZED, sentence)
        if getattr(request, "method", "GET") != "GET":
            return _plain(connection, HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.")
        if path in ("/live", "/results"):
            if not access.is_same_origin(origin, host or ""):
                return _plain(connection, HTTPStatus.FORBIDDEN, "Pages of other sites may not look here.")
            return None
        if path != "/":
            return _plain(connection, HTTPStatus.NOT_FOUND, "There is /, /live and /results.")
        if "token=" in request.path:  # redirected, so that the address bar does not show it
            response = _plain(connection, HTTPStatus.SEE_OTHER, "")
            response.headers["Location"] = "/"
            if self._token is not None:
                response.headers["Set-Cookie"] = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Lax"
            return response
        response = _plain(connection, HTTPStatus.OK, self._page)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        response.headers["Content-Security-Policy"] = self._policy
        return response

    @property
    def _cookie(self) -> str:
        return f"landmarks-{self._port}"  # with the port, because cookies are shared by all ports of a host

    async def _serve(self, connection: Any) -> None:
        serve = self._audience.show if connection.request.path.startswith("/live") else self._audience.stream
        with suppress(OSError, self._gone):
            await serve(connection)


def _plain(connection: Any, status: HTTPStatus, text: str) -> Any:
    response = connection.respond(status, f"{text}\n")
    for name, value in {
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }.items():
        response.headers[name] = value
    return response


def _load_page() -> tuple[str, str]:
    """Read the page; return it with a Content-Security-Policy that allows its own script and no loading."""
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    hashes = {}
    for kind in ("script", "style"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        hashes[kind] = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy


Resolved = tuple[socket.AddressFamily, Any]


def _resolve(address: str, host: str, port: int) -> list[Resolved]:
    """Look up the address families and socket addresses of a host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise TrackerError(
            f"--serve: the host of {redact_source(address)} is not known: check its name, or give its IP address"
        ) from None
    return list(dict.fromkeys((family, target) for family, _, _, _, target in found))


def _listen(address: str, resolved: Sequence[Resolved]) -> list[socket.socket]:
    """Listen on all of the addresses that this machine supports."""
    sockets: list[socket.socket] = []
    failures: list[OSError] = []
    for family, target in resolved:
        port = sockets[0].getsockname()[1] if sockets else target[1]  # the same port for all, if any is asked for
        try:
            sockets.append(socket.create_server((target[0], port, *target[2:]), family=family, backlog=_BACKLOG))
        except OSError as error:
            failures.append(error)
    taken = [error for error in failures if error.errno == errno.EADDRINUSE]
    if taken or not sockets:
        for listening in sockets:
            listening.close()
        raise TrackerError(_unavailable(address, (taken or failures)[0]))
    return sockets


def _unavailable(address: str, error: OSError) -> str:
    shown = redact_source(address)
    if error.errno == errno.EADDRINUSE:
        return f"--serve: {shown} is in use by another program, give another port; 0 takes any that is free"
    if error.errno == errno.EACCES:
        return f"--serve: {shown} may not be used by this user; give a port above 1023"
    return (
        f"--serve: this machine cannot listen on {shown} ({os.strerror(error.errno or 0)}); give an address of its own"
    )


def _reachable(listening: socket.socket) -> str:
    """Return the host under which a socket can be reached, as it is written in a URL."""
    host = str(listening.getsockname()[0])
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = _outer_address(listening.family) or socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _outer_address(family: int) -> str | None:
    """Return the address from which this machine would send to the network; nothing is sent."""
    target = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"  # reserved for documentation
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _import_websockets() -> tuple[Any, type[Exception]]:
    """Import the server of websockets, and the exception that it raises when a client has disconnected."""
    try:
        return import_module("websockets.asyncio.server"), import_module("websockets.exceptions").ConnectionClosed
    except ImportError as error:
        raise TrackerError(f"--serve {describe_missing('websockets', 'serve', error)}") from None


async def _run(settings: Settings, stdin: FileIO, tell: Callable[[bytes], None]) -> None:
    audience = Audience(lambda: tell(b"."), settings.source)
    server = Server(settings, audience)
    await server.start()
    tell(json.dumps({"urls": server.urls()}).encode() + b"\n")
    loop = asyncio.get_running_loop()
    while isinstance(message := await loop.run_in_executor(None, receive, stdin), Batch):
        await audience.take(message)
    ended = {"frames": message.frames} if isinstance(message, End) else {"unexpectedly": True}
    await audience.dismiss(json.dumps({"ended": ended}), DISMISS_S)


def main() -> int:
    """Serve until standard input ends; return the exit status."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    cv2.setNumThreads(1)
    logging.getLogger("websockets").setLevel(logging.CRITICAL + 1)  # mistakes of clients are not logged
    stdin, stdout = FileIO(0, closefd=False), FileIO(1, "wb", closefd=False)

    def tell(data: bytes) -> None:
        with suppress(OSError):  # the tracker has ended, and standard input will end, too
            stdout.write(data)

    settings = receive(stdin)
    if not isinstance(settings, Settings):
        return 1
    try:
        asyncio.run(_run(settings, stdin, tell))
    except TrackerError as error:
        tell(json.dumps({"error": str(error)}).encode() + b"\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
