"""Datagrams to programs that listen on UDP: addresses are looked up once, sending never waits."""

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
    """One receiver. UDP does not say whether anybody listens: a datagram that cannot be sent is dropped.

    Args:
        protocol: its name, for messages, such as "OSC".
        address: HOST:PORT, as 127.0.0.1:9000, localhost:9000 or [::1]:9000. A broadcast address will do. A name is
            looked up here and never again; of its addresses the first of IPv4 is taken, since most receivers of
            avatar programs listen there only.

    Raises:
        TrackerError: for an address that is none, a name that is not known, and where no socket can be opened.
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
        """Hand the datagram to the system, or drop it. The first one that is dropped is logged."""
        try:
            self._socket.sendto(datagram, self._target)
        except OSError as error:
            if not self._has_warned:
                log.warning("%s cannot be sent (%s): what cannot is dropped", self._name, error.strerror)
            self._has_warned = True

    def close(self) -> None:
        self._socket.close()


class UdpTargets(Closing):
    """The same datagrams to one or several receivers.

    Args:
        protocol: as of UdpTarget.
        addresses: one address or several, see UdpTarget.

    Raises:
        TrackerError: as UdpTarget does; none of the sockets stays open then.
    """

    def __init__(self, protocol: str, addresses: str | Sequence[str]) -> None:
        several = [addresses] if isinstance(addresses, str) else addresses
        with ExitStack() as stack:
            self._targets = [stack.enter_context(UdpTarget(protocol, address)) for address in several]
            self._stack = stack.pop_all()

    def send(self, datagram: bytes) -> None:
        for target in self._targets:
            target.send(datagram)

    def close(self) -> None:
        self._stack.close()


def _look_up(protocol: str, address: str) -> tuple[socket.AddressFamily, Any]:
    """The family and the socket address of HOST:PORT."""
    parts = split_address(address)
    if parts is None:
        raise TrackerError(
            f"{protocol}: expected HOST:PORT such as 127.0.0.1:9000, got {redact_source(address)}; "
            f"a port is 1 to {LARGEST_PORT}, and an IPv6 number stands in brackets: [::1]:9000"
        )
    try:
        found = socket.getaddrinfo(*parts, type=socket.SOCK_DGRAM)
    except (OSError, ValueError) as error:  # ValueError: characters that no name has
        raise TrackerError(
            f"{protocol}: the host of {redact_source(address)} is not known: check its name, or give its number"
        ) from error
    family, *_, target = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, target
