"""Sends datagrams by UDP. Addresses are looked up once, and sending never blocks."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sinks.base import Closing
from tracker.system.addresses import LARGEST_PORT, split_address

log = logging.getLogger(__name__)


class UdpTarget(Closing):
    """One receiver. UDP does not report whether a datagram arrives; one that cannot be sent is dropped.

    Args:
        protocol: its name for messages, such as "OSC".
        address: HOST:PORT such as 127.0.0.1:9000, localhost:9000 or [::1]:9000; a broadcast address is possible. A name
            is looked up here, once. If it has several addresses, the first IPv4 address is taken, because most avatar
            programs listen on IPv4 only.

    Raises:
        TrackerError: the address is invalid, the name is not known, or no socket can be opened.
    """

    def __init__(self, protocol: str, address: str) -> None:
        self._name = f"{protocol} to {redact_source(address)}"
        family, self._target = _look_up(protocol, address)
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            raise TrackerError(f"{self._name}: a socket cannot be opened: {error.strerror}") from error
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._has_warned = False

    def send(self, datagram: bytes) -> None:
        """Send a datagram, or drop it if that would block or fail; the first one that is dropped is logged.

        Args:
            datagram: its content.
        """
        try:
            self._socket.sendto(datagram, self._target)
        except OSError as error:
            if not self._has_warned:
                log.warning(
                    "%s cannot be sent (%s) and is dropped; later failures are not reported", self._name, error.strerror
                )
            self._has_warned = True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class UdpTargets(Closing):
    """One receiver or several, which get the same datagrams.

    Args:
        protocol: see UdpTarget.
        addresses: one address or several, see UdpTarget.

    Raises:
        TrackerError: see UdpTarget; no socket is left open.
    """

    def __init__(self, protocol: str, addresses: str | Sequence[str]) -> None:
        several = [addresses] if isinstance(addresses, str) else addresses
        with ExitStack() as stack:
            self._targets = [stack.enter_context(UdpTarget(protocol, address)) for address in several]
            self._stack = stack.pop_all()

    def send(self, datagram: bytes) -> None:
        """Send a datagram to every receiver, see UdpTarget.send.

        Args:
            datagram: its content.
        """
        for target in self._targets:
            target.send(datagram)

    def close(self) -> None:
        """Close the sockets."""
        self._stack.close()


def _look_up(protocol: str, address: str) -> tuple[socket.AddressFamily, Any]:
    """Look up the address family and the socket address of HOST:PORT."""
    parts = split_address(address)
    if parts is None:
        raise TrackerError(
            f"{protocol}: expected HOST:PORT such as 127.0.0.1:9000, got {redact_source(address)}; "
            f"a port is 1 to {LARGEST_PORT}, and an IPv6 address is written in brackets: [::1]:9000"
        )
    try:
        found = socket.getaddrinfo(*parts, type=socket.SOCK_DGRAM)
    except (OSError, ValueError) as error:  # ValueError: characters that host names cannot have
        raise TrackerError(
            f"{protocol}: the host of {redact_source(address)} is not known: check its name, or give its IP address"
        ) from error
    family, *_, target = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, target
