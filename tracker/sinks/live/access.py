"""Who may look at the live view.

A page of another site, which a visitor's browser has open, can send requests to this machine. Two headers that such a
page cannot forge tell it apart: Host, which names the other site after DNS rebinding, and Origin, which names it when
it opens a WebSocket. On other addresses than the loopback a token is needed besides.
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
"""Characters: shorter ones could be guessed."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080.

    Raises:
        TrackerError: for what is no such address.
    """
    parts = addresses.split_address(address, least_port=0)
    if parts is None:
        raise TrackerError(
            f"--serve: expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080, got {redact_source(address)}"
        )
    return parts


def expect_token(given: str) -> None:
    """Raise TrackerError for a user's token that is short or cannot stand in a cookie."""
    if not re.fullmatch(rf"[A-Za-z0-9_.~-]{{{MIN_TOKEN},}}", given):
        raise TrackerError(
            f"expected a --serve-token of at least {MIN_TOKEN} characters out of A-Z, a-z, 0-9 and -_.~; leave it out "
            "to have one made for you"
        )


def choose_token(given: str | None, hosts: Iterable[str]) -> str | None:
    """The token that visitors need: the one given, a new one where a host is not the loopback, else None.

    Args:
        given: the user's own token.
        hosts: the numeric addresses that are listened on.
    """
    if given is None and not all(_is_loopback(host) for host in hosts):
        return secrets.token_urlsafe(16)
    return given


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def own_names(host: str) -> frozenset[str]:
    """The names by which this machine may be called: the one it was told to listen on, and its own."""
    own = socket.gethostname().lower()
    return frozenset({host.lower(), "localhost", own, f"{own}.local"})


def is_own_host(header: str | None, names: frozenset[str]) -> bool:
    """Whether a Host header names this machine: by a number, which needs no DNS, or by one of its names."""
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
    """Whether an Origin header is of our own page. Programs send none, browsers always do."""
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def tokens_in(path: str, cookies: Iterable[str], authorization: str | None, cookie_name: str) -> list[str]:
    """The tokens that a request brings: ?token=..., a cookie of that name, or Authorization: Bearer ..."""
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
    """Whether one of the tokens is the right one, in a time that does not tell how much of it is."""
    if token is None:
        return True
    right = [hmac.compare_digest(token.encode(), each.encode("utf-8", "replace")) for each in offered]
    return any(right)
