"""Access control of the live view.

A page of another site that is open in a browser can send requests to this machine. They are recognised by two headers
that such a page cannot forge: Host, which names the other site after DNS rebinding, and Origin, which names it when it
opens a WebSocket. On addresses other than the loopback, a token is required as well.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.system import addresses

MIN_TOKEN = 16
"""Minimum length of a token in characters, so that it cannot be guessed."""


def split_address(address: str) -> tuple[str, int]:
    """Split the address to listen on.

    Args:
        address: HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080.

    Returns:
        The host and the port; port 0 stands for any free port.

    Raises:
        TrackerError: it is not such an address.
    """
    parts = addresses.split_address(address, least_port=0)
    if parts is None:
        raise TrackerError(
            f"--serve: expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080, got {redact_source(address)}"
        )
    return parts


def expect_token(given: str) -> None:
    """Check the token that a user has chosen.

    Args:
        given: the token.

    Raises:
        TrackerError: it is shorter than MIN_TOKEN or has characters that a cookie cannot contain.
    """
    if not re.fullmatch(rf"[A-Za-z0-9_.~-]{{{MIN_TOKEN},}}", given):
        raise TrackerError(
            f"expected a --serve-token of at least {MIN_TOKEN} characters out of A-Z, a-z, 0-9 and -_.~; leave it out "
            "to have one made for you"
        )


def choose_token(given: str | None, hosts: Iterable[str]) -> str | None:
    """Choose the token that clients need.

    Args:
        given: the token that the user has chosen, if any.
        hosts: the numeric addresses that the server listens on.

    Returns:
        The given token; otherwise a new one if a host is not the loopback, else None: no token is needed.
    """
    if given is None and not all(_is_loopback(host) for host in hosts):
        return secrets.token_urlsafe(16)
    return given


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def own_names(host: str) -> frozenset[str]:
    """List the names under which clients may address this machine.

    Args:
        host: the host that the user has given to listen on.

    Returns:
        That host, localhost, and the name of the machine; in lower case.
    """
    own = socket.gethostname().lower()
    return frozenset({host.lower(), "localhost", own, f"{own}.local"})


def is_own_host(header: str | None, names: frozenset[str]) -> bool:
    """Return whether a Host header names this machine.

    Args:
        header: its value, None if it is missing.
        names: from own_names.

    Returns:
        True for a numeric address, which does not depend on DNS, and for one of the names.
    """
    try:
        host = (urlsplit(f"//{header}").hostname or "").rstrip(".") if header else ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in names
    return True


def is_same_origin(origin: str | None, host: str) -> bool:
    """Return whether a WebSocket is opened by our own page or by a program.

    Args:
        origin: value of the Origin header; None if it is missing: browsers always send it, programs do not.
        host: value of the Host header.

    Returns:
        True if there is no Origin or it is that of our page.
    """
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def tokens_in(path: str, cookies: Iterable[str], authorization: str | None, cookie_name: str) -> list[str]:
    """Find the tokens in a request: ?token=..., a cookie, or Authorization: Bearer ...

    Args:
        path: of the request, with the query.
        cookies: values of the Cookie headers.
        authorization: value of the Authorization header, None if it is missing.
        cookie_name: name of the cookie with the token.

    Returns:
        All tokens, which may be wrong.
    """
    try:
        found = parse_qs(urlsplit(path).query, max_num_fields=10).get("token", [])
    except ValueError:
        found = []
    for pair in (pair for cookie in cookies for pair in cookie.split(";")):
        name, _, value = pair.strip().partition("=")
        if name == cookie_name:
            found.append(value)
    kind, _, value = (authorization or "").partition(" ")
    if kind.lower() == "bearer":
        found.append(value.strip())
    return found


def is_right(token: str | None, offered: Iterable[str]) -> bool:
    """Check tokens, in a time that does not depend on how many characters are right.

    Args:
        token: the right one; None if none is needed.
        offered: the tokens of a request.

    Returns:
        Whether one of them is the right one.
    """
    if token is None:
        return True
    right = [hmac.compare_digest(token.encode(), each.encode("utf-8", "replace")) for each in offered]
    return any(right)
