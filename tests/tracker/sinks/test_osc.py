"""What python-osc's own server receives on the loopback."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.tracker.sinks.sinks_shared import frame
from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68, WFLW98, Scheme
from tracker.result import FrameResult, State, TrackedFace
from tracker.sinks import OscMessages
from tracker.sinks.osc import MOST_BYTES
from tracker.sources import Frame

osc_server = pytest.importorskip("pythonosc.osc_server", reason="needs python-osc, of the extra osc")
dispatcher = pytest.importorskip("pythonosc.dispatcher")


class Server(osc_server.BlockingOSCUDPServer):  # type: ignore[misc]
    """Keeps what it is sent: (address, arguments), and how large the datagrams were."""

    timeout = 5.0

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.got: list[tuple[str, list[Any]]] = []
        self.sizes: list[int] = []
        handlers = dispatcher.Dispatcher()
        handlers.set_default_handler(lambda address, *values: self.got.append((address, list(values))))
        super().__init__((host, 0), handlers)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.sizes.append(len(request[0]))
        return bool(super().verify_request(request, client_address))

    def handle_timeout(self) -> None:
        raise TimeoutError("nothing came")

    def receive(self) -> list[tuple[str, list[Any]]]:
        """The messages of the next datagram."""
        self.got = []
        self.handle_request()
        return self.got


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def sink(server: Server) -> Iterator[OscMessages]:
    with OscMessages(f"127.0.0.1:{server.server_address[1]}") as sink:
        yield sink


def face(number: int, state: State = "tracking", scheme: Scheme = IBUG68) -> TrackedFace:
    rng = np.random.default_rng(number)
    points, scores = rng.uniform(-20, 4000, (scheme.count, 2)), rng.uniform(0, 1, scheme.count)
    landmarks = Landmarks(points, scores, np.zeros((scheme.count, 3)), scheme)
    return TrackedFace(number, state, rng.uniform(), landmarks, landmarks)


def found(index: int, *faces: TrackedFace) -> FrameResult:
    return FrameResult(index, index / 30, faces)


def test_a_frame_is_one_bundle_as_documented(server: Server, sink: OscMessages) -> None:
    one, two = face(3), face(12, "coasting", WFLW98)
    sink.write(Frame(np.zeros((48, 64, 3), np.uint8), 0.5, 15), found(15, one, two))
    got = server.receive()
    names = ("points", "scores", "box", "score", "state")
    assert [address for address, _ in got] == ["/frame", "/faces", *(f"/face/{i}/{n}" for i in (3, 12) for n in names)]
    values = dict(got)
    assert values["/frame"] == [15, 0.5, 64, 48]
    assert [type(value) for value in values["/frame"]] == [int, float, int, int]
    assert values["/faces"] == [3, 12]
    for tracked, state in ((one, "tracking"), (two, "coasting")):
        address = f"/face/{tracked.id}"
        points = np.reshape(values[f"{address}/points"], (-1, 2))
        assert_allclose(points, tracked.landmarks.points_px, rtol=1e-7, atol=1e-5)
        assert_allclose(values[f"{address}/scores"], tracked.landmarks.scores, atol=1e-7)
        assert_allclose(values[f"{address}/box"], tracked.box_px, rtol=1e-6)
        assert_allclose(values[f"{address}/score"], [tracked.score], atol=1e-7)
        assert values[f"{address}/state"] == [state]


def test_a_face_that_is_gone_is_lost_once(server: Server, sink: OscMessages) -> None:
    lost = []
    for index, there in enumerate([(), (face(1), face(2)), (face(2),), (), (), (face(3),)]):
        sink.write(frame(index), found(index, *there))
        got = server.receive()
        assert dict(got)["/faces"] == [one.id for one in there]
        lost.append([address for address, values in got if address.endswith("/lost") and values == []])
    assert lost == [[], [], ["/face/1/lost"], ["/face/2/lost"], [], []]
    sink.close()
    assert server.receive() == [("/face/3/lost", [])]


@pytest.mark.parametrize("count", [7, 60])
def test_a_crowd_goes_in_several_bundles_that_each_name_the_frame(
    server: Server, sink: OscMessages, count: int
) -> None:
    sink.write(frame(5), found(5, *map(face, range(count))))
    got: list[tuple[str, list[Any]]] = []
    while len(got) < 1 + 5 * count:
        first, *rest = server.receive()
        assert first[0] == "/frame" and first[1][0] == 5
        got += rest
    addresses = [address for address, _ in got]
    assert len(addresses) == len(set(addresses)) == 1 + 5 * count
    assert len(server.sizes) > 1 and max(server.sizes) <= MOST_BYTES
    assert sum(server.sizes) > 0.8 * MOST_BYTES * (len(server.sizes) - 1)  # well filled


def test_host_by_name_and_the_new_protocol(server: Server) -> None:
    with OscMessages(f"localhost:{server.server_address[1]}") as sink:
        sink.write(frame(0), found(0))
    if ":" not in str(socket.getaddrinfo("localhost", 1, type=socket.SOCK_DGRAM)[0][4][0]):
        assert [address for address, _ in server.receive()] == ["/frame", "/faces"]
    try:
        new = Server("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with new, OscMessages(f"[::1]:{new.server_address[1]}") as sink:
        sink.write(frame(0), found(0))
        assert [address for address, _ in new.receive()] == ["/frame", "/faces"]


def test_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with OscMessages(f"127.0.0.1:{port}") as sink:
        for index in range(20):
            sink.write(frame(index), found(index, face(1)))


@pytest.mark.parametrize(
    "address", ["", "9000", ":9000", "localhost", "localhost:", "localhost:port", "a:0", "a:65536", "a:-1", "a:9.5"]
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(TrackerError, match=r"OSC: expected HOST:PORT such as 127\.0\.0\.1:9000, got"):
        OscMessages(address)


@pytest.mark.parametrize(
    "address", ["anna:SECRET@host.invalid:9000", "host.invalid:9000?token=SECRET", "anna:SECRET@:9"]
)
def test_addresses_with_secrets(address: str) -> None:
    with pytest.raises(TrackerError, match=r"^OSC: ") as caught:
        OscMessages(address)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("host", ["no such host", "a" * 70, ".."])
def test_hosts_that_are_not_known(host: str) -> None:
    with pytest.raises(TrackerError, match=r"OSC: the host of .*:9000 is not known"):
        OscMessages(f"{host}:9000")


def test_without_python_osc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "pythonosc":
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        TrackerError, match=r"OSC needs python-osc, which is not installed; pip install 'landmark-tracker\[osc\]'"
    ):
        OscMessages("127.0.0.1:9000")
