"""Receivers that are not there, addresses that are none, and what is left open: for every sink that sends over UDP."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tracker.sinks.test_avatars import a_face, head_px, write
from tracker.errors import TrackerError
from tracker.sinks import OpenSeeFacePackets, OpenTrackPose, OscMessages, Sink, VmcMessages
from tracker.sinks.udp import UdpTarget, UdpTargets

MAKE: dict[str, Callable[[str], Any]] = {
    "OSC": OscMessages,
    "VMC": VmcMessages,
    "OpenSeeFace": OpenSeeFacePackets,
    "opentrack": OpenTrackPose,
}


@pytest.fixture(params=MAKE)
def protocol(request: pytest.FixtureRequest) -> str:
    if request.param in ("OSC", "VMC"):
        pytest.importorskip("pythonosc", reason="needs python-osc, of the extra osc")
    return str(request.param)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def descriptors() -> int:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    return len(os.listdir("/proc/self/fd"))


def send(sink: Sink, frames: int = 5) -> None:
    face = a_face(head_px())
    for index in range(frames):
        write(sink, index, face)


@pytest.mark.parametrize(
    "address",
    [
        *("", ":", "9000", ":9000", "localhost", "localhost:", "localhost:port", "a:0", "a:65536", "a:-1", "a:9.5"),
        *("[]:9000", "::1:9000", "fe80::1:9000", "a:" + "9" * 5000, "a:\u0669", "a: 9000", "a:+9000"),
    ],
)
def test_addresses_that_are_none(protocol: str, address: str) -> None:
    with pytest.raises(TrackerError, match=rf"^{protocol}: expected HOST:PORT such as 127\.0\.0\.1:9000, got"):
        MAKE[protocol](address)


@pytest.mark.parametrize("host", ["no such host", "a" * 70, "..", "a\0b", "host.invalid", "\ud800"])
def test_hosts_that_are_not_known(protocol: str, host: str) -> None:
    with pytest.raises(TrackerError, match=rf"^{protocol}: the host of .*:9000 is not known"):
        MAKE[protocol](f"{host}:9000")


def test_nobody_listens(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), MAKE[protocol](f"127.0.0.1:{free_port()}") as sink:
        send(sink, 20)
    assert not caplog.records


def test_the_receiver_vanishes_and_comes_back(protocol: str) -> None:
    """The system's answer that nobody listens does not end sending."""
    first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    first.bind(("127.0.0.1", 0))
    first.settimeout(5)
    place = first.getsockname()
    with MAKE[protocol](f"127.0.0.1:{place[1]}") as sink:
        send(sink, 1)
        assert first.recv(65535)
        first.close()
        send(sink, 10)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
            second.bind(place)
            second.settimeout(5)
            send(sink, 1)
            assert second.recv(65535)


def test_a_receiver_that_never_reads_holds_nobody_up(protocol: str) -> None:
    """Its buffer is full after some frames: what follows is dropped, at no cost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stalled:
        stalled.bind(("127.0.0.1", 0))
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with MAKE[protocol](f"127.0.0.1:{stalled.getsockname()[1]}") as sink:
            start = time.perf_counter()
            send(sink, 100)
            assert time.perf_counter() - start < 10  # one that waits is there for ever


def test_a_hundred_runs_leave_nothing_open(protocol: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    before, threads = descriptors(), threading.active_count()
    for _ in range(100):
        with MAKE[protocol](address) as sink:
            send(sink, 1)
    assert (descriptors(), threading.active_count()) == (before, threads)


def test_a_hundred_bad_addresses_leave_nothing_open(protocol: str) -> None:
    before = descriptors()
    good = f"127.0.0.1:{free_port()}"
    for _ in range(100):
        with pytest.raises(TrackerError):
            UdpTargets(protocol, [good, "nowhere"])
    assert descriptors() == before


def test_several_receivers_get_the_same() -> None:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
        each.settimeout(5)
    with OpenSeeFacePackets([f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]) as sink:
        send(sink, 1)
    got = [each.recv(65535) for each in sockets]
    for each in sockets:
        each.close()
    assert got[0] == got[1] == got[2] and len(got[0]) == 1785


def test_ipv6(protocol: str) -> None:
    try:
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        receiver.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with receiver, MAKE[protocol](f"[::1]:{receiver.getsockname()[1]}") as sink:
        receiver.settimeout(5)
        send(sink, 1)
        assert receiver.recv(65535)


def test_names_are_looked_up_once_and_give_ipv4_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most avatar programs listen on IPv4 only, and localhost is ::1 first on many machines."""
    asked: list[str] = []

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        with OpenSeeFacePackets(f"avatar:{receiver.getsockname()[1]}") as sink:
            send(sink)
        assert len(receiver.recv(65535)) == 1785
    assert asked == ["avatar"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a loopback that broadcasts")
def test_broadcast(protocol: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", 0))
        receiver.settimeout(5)
        with MAKE[protocol](f"127.255.255.255:{receiver.getsockname()[1]}") as sink:
            send(sink, 1)
        assert receiver.recv(65535)


def test_no_socket_can_be_opened(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(TrackerError, match=f"^{protocol} to 127.0.0.1:9000: a socket cannot be opened: Address family"):
        MAKE[protocol]("127.0.0.1:9000")


class BrokenSocket:
    """A socket whose network is gone, or whose buffer is full."""

    def __init__(self, number: int) -> None:
        self.number = number

    def sendto(self, content: bytes, target: Any) -> None:
        raise OSError(self.number, os.strerror(self.number))

    def close(self) -> None: ...


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EAGAIN, errno.EMSGSIZE, errno.ECONNREFUSED])
def test_what_cannot_be_sent_is_dropped_with_one_warning(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    target = UdpTarget("OSC", "127.0.0.1:9")
    target.close()
    monkeypatch.setattr(target, "_socket", BrokenSocket(number))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            target.send(b"content")
    (record,) = caplog.records
    assert os.strerror(number) in record.getMessage() and "OSC to 127.0.0.1:" in record.getMessage()
