"""Streams and files behind URLs, from real servers on this machine: MJPEG over HTTP, RTSP with RTP in its own TCP."""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.errors import TrackerError
from tracker.run import main
from tracker.sources import Frame, ReconnectPolicy, Stream, Video, live, open_source

ROOT = Path(__file__).parents[3]
WAIT_S = 10.0
QUICK = ReconnectPolicy(retry_s=0.02, longest_retry_s=0.1, give_up_s=WAIT_S)
HEIGHT, WIDTH = 48, 64


def jpeg(level: int) -> bytes:
    picture = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    picture[:, : WIDTH // 2] = (0, 0, 255)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def level_of(frame: Frame) -> int:
    """Of the right half; the left is red."""
    assert frame.image_rgb[HEIGHT // 2, WIDTH // 4, 0] > 200 > 60 > frame.image_rgb[HEIGHT // 2, WIDTH // 4, 2]
    return int(frame.image_rgb[HEIGHT // 2, 3 * WIDTH // 4].mean())


def wait_until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.005)


def handles() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and at /live one JPEG after another for as long as the server sends and does not stall."""

    server: Server

    def do_GET(self) -> None:
        if self.path != "/live":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        try:
            while self.server.sending:
                content = self.server.content()
                self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content))
                self.wfile.write(content + b"\r\n")
                time.sleep(0.005)
                if self.server.stalls:
                    self.server.released.wait(WAIT_S)
                    return
        except OSError:
            pass  # the reader has gone

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    level = 100
    sending = True
    stalls = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.released = threading.Event()
        self.content = lambda: jpeg(self.level)


def serving(server: Any) -> Iterator[Any]:
    """The server, while a thread of its own serves."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.sending = False
    server.shutdown()
    thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path)) as server:
        yield from serving(server)


def address(server: socketserver.TCPServer) -> str:
    return f"127.0.0.1:{server.server_address[1]}"


class TestHttp:
    def test_live_pictures(self, server: Server) -> None:
        url = f"http://anna:secret@{address(server)}/live"
        with open_source(url) as stream:
            assert isinstance(stream, Stream)
            assert stream.live and stream.frame_count is None
            assert stream.name == f"http://{address(server)}/live"
            frames = [next(stream) for _ in range(5)]
        times = [frame.timestamp_s for frame in frames]
        assert times[0] == 0 and times == sorted(set(times)) and times[-1] < WAIT_S
        assert [frame.index for frame in frames] == list(range(5))
        assert all(abs(level_of(frame) - 100) < 5 for frame in frames)

    def test_a_server_that_ends_and_comes_back(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        before = threading.active_count(), handles()
        with open_source(f"http://{address(server)}/live", QUICK) as stream:
            for level in (50, 150, 200):
                server.level, server.sending = level, True
                assert any(abs(level_of(frame) - level) < 5 for frame in stream)
                server.sending = False
                wait_until(lambda: stream.poll() is None and stream.lost)  # type: ignore[attr-defined]
            assert stream.losses.gaps == 2
        server.sending = False
        wait_until(lambda: (threading.active_count(), handles()) <= before)
        assert "lost after" in caplog.text and "available again after" in caplog.text

    def test_a_server_that_stalls(self, server: Server) -> None:
        """OpenCV's read hangs; it is left behind, and gone as soon as the connection is."""
        before = threading.active_count(), handles()
        with open_source(f"http://{address(server)}/live", ReconnectPolicy(stall_s=0.3, retry_s=0.01)) as stream:
            next(stream)
            server.stalls = True
            wait_until(lambda: stream.poll() is None and stream.lost)  # type: ignore[attr-defined]
            server.stalls, server.level = False, 200
            assert any(abs(level_of(frame) - 200) < 5 for frame in stream)
            assert stream.losses.gaps == 1 and stream.losses.gap_s >= 0.3
            assert sum(thread.name.startswith("reader of") for thread in threading.enumerate()) == 2
            server.released.set()
        server.sending = False
        wait_until(lambda: (threading.active_count(), handles()) <= before)

    def test_one_that_is_down_at_the_start(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        with open_source(f"http://anna:secret@127.0.0.1:{port}/live", QUICK) as stream:
            assert isinstance(stream, Stream) and stream.lost
            assert stream.poll() is None
            server = Server(("127.0.0.1", port), partial(QuietHandler, directory=tmp_path))
            with server:
                for _ in serving(server):
                    frame = next(stream)
                    assert abs(level_of(frame) - 100) < 5 and (frame.index, frame.timestamp_s) == (0, 0.0)
                    assert not stream.lost and stream.losses.gaps == 0
        (said,) = caplog.messages
        assert said.endswith("Trying again") and "secret" not in said

    def test_one_that_never_comes(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        came_not = pytest.raises(TrackerError, match=r"live was not available within 0.1 s: .*reachable")
        url, reconnect = f"http://127.0.0.1:{port}/live", ReconnectPolicy(retry_s=0.01, give_up_s=0.1)
        with open_source(url, reconnect) as stream, came_not:
            next(stream)
        with pytest.raises(TrackerError, match="reachable"):
            open_source(f"http://127.0.0.1:{port}/live", ReconnectPolicy(give_up_s=0))

    def test_one_that_never_comes_is_given_up_even_if_a_lost_one_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "START_S", 0.1)
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        came_not = pytest.raises(TrackerError, match=r"live was not available within 0.1 s: .*reachable")
        with open_source(f"http://127.0.0.1:{port}/live", ReconnectPolicy(retry_s=0.01)) as stream, came_not:
            next(stream)

    def test_a_server_that_stays_away(self, server: Server) -> None:
        with open_source(f"http://{address(server)}/live", ReconnectPolicy(retry_s=0.01, give_up_s=0.1)) as stream:
            next(stream)
            server.sending = False
            with pytest.raises(TrackerError, match=r"live was lost after \d+ frames and did not return"):
                list(stream)

    def test_a_file_is_read_whole(self, server: Server, tmp_path: Path) -> None:
        """No frame of it is dropped however slowly it is read, and its times are its own."""
        writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
        for index in range(20):
            writer.write(np.full((HEIGHT, WIDTH, 3), 12 * index, np.uint8))
        writer.release()
        with open_source(f"http://anna:secret@{address(server)}/clip.mp4") as video:
            assert isinstance(video, Video)
            assert (video.live, video.frame_count, video.path) == (False, 20, None)
            assert video.name == f"http://{address(server)}/clip.mp4"
            frames = list(video)
        assert [round(float(frame.image_rgb.mean()) / 12) for frame in frames] == list(range(20))
        assert [frame.timestamp_s for frame in frames] == pytest.approx([i / 25 for i in range(20)])

    def test_out_of_reach(self, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
        for opened in (open_source, Video, partial(Stream, reconnect=ReconnectPolicy(give_up_s=0))):
            for login, query in (("anna:secret@", ""), ("anna:se@cr/et@", ""), ("", "?user=anna&pwd=secret")):
                with pytest.raises(TrackerError, match="reachable") as caught:
                    opened(f"http://{login}{address(server)}/missing.mp4{query}")
                assert "anna" not in str(caught.value) and "et" not in str(caught.value).split("could")[0]
        assert capfd.readouterr().err == ""


def rtp_packets(content: bytes, sequence: Iterator[int], clock: int) -> Iterator[bytes]:
    """A baseline JPEG of 4:2:0 as RTP packets (RFC 3550) of RFC 2435, its two quantisation tables in the first."""
    tables, at = {}, 2
    while content[at + 1] != 0xDA:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if content[at + 1] == 0xDB:
            segment = content[at + 4 : at + 2 + length]
            tables.update({segment[i]: segment[i + 1 : i + 65] for i in range(0, len(segment), 65)})
        at += 2 + length
    scan = content[at + 2 + int.from_bytes(content[at + 2 : at + 4], "big") : -2]
    for offset in range(0, len(scan), 1000):
        part = scan[offset : offset + 1000]
        last = offset + len(part) == len(scan)
        header = struct.pack(">BBHII", 0x80, 26 | 0x80 * last, next(sequence) & 0xFFFF, clock & 0xFFFFFFFF, 7)
        header += struct.pack(">II", offset, 1 << 24 | 255 << 16 | WIDTH // 8 << 8 | HEIGHT // 8)
        header += struct.pack(">BBH", 0, 0, 128) + tables[0] + tables[1] if offset == 0 else b""
        yield header + part


class RtspHandler(socketserver.StreamRequestHandler):
    """As much of RTSP (RFC 2326) as a client needs that plays over TCP; UDP is refused."""

    server: RtspServer

    def handle(self) -> None:
        while request := self._request():
            method, sequence = request[0].split()[0], next(r for r in request if r.lower().startswith("cseq"))
            transport = next((line for line in request if line.startswith("Transport")), "")
            self.server.transports += [transport] if transport else []
            if transport and "TCP" not in transport:
                self._answer("461 Unsupported Transport", sequence)
                continue
            self._answer("200 OK", sequence, *self._headers(method), body=self._description(method))
            if method == "PLAY":
                self._play()
                return

    def _request(self) -> list[str]:
        lines = iter(lambda: self.rfile.readline().decode().strip(), "")
        return list(lines)

    def _headers(self, method: str) -> tuple[str, ...]:
        return {
            "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN",),
            "DESCRIBE": ("Content-Type: application/sdp",),
            "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"),
        }.get(method, ("Session: 1",))

    def _description(self, method: str) -> str:
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=test", "t=0 0", self.server.length, "m=video 0 RTP/AVP 26"]
        return "".join(f"{line}\r\n" for line in lines) if method == "DESCRIBE" else ""

    def _answer(self, status: str, *headers: str, body: str = "") -> None:
        head = [f"RTSP/1.0 {status}", *headers, f"Content-Length: {len(body)}"]
        self.wfile.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())

    def _play(self) -> None:
        sequence = count()
        try:
            for index in count():
                if not self.server.sending:
                    return
                for packet in rtp_packets(jpeg(self.server.level), sequence, 900 * index):
                    self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                time.sleep(0.01)
        except OSError:
            pass  # the reader has gone


class RtspServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    length = "a=range:npt=now-"
    level = 100
    sending = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RtspHandler)
        self.transports: list[str] = []


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    with RtspServer() as server:
        yield from serving(server)


class TestRtsp:
    @pytest.mark.parametrize("length", ["a=range:npt=now-", "a=range:npt=0-20"], ids=["camera", "recording"])
    def test_live_over_tcp(self, rtsp: RtspServer, length: str) -> None:
        rtsp.length = length
        with open_source(f"rtsp://{address(rtsp)}/camera") as stream:
            assert isinstance(stream, Stream)
            assert stream.live and stream.frame_count is None
            assert all(abs(level_of(next(stream)) - 100) < 5 for _ in range(5))
            rtsp.level = 200
            assert any(abs(level_of(frame) - 200) < 5 for frame in stream)
        assert len(rtsp.transports) == 1 and "RTP/AVP/TCP" in rtsp.transports[0]

    def test_a_camera_that_restarts(self, rtsp: RtspServer) -> None:
        with open_source(f"rtsp://{address(rtsp)}/camera", QUICK) as stream:
            next(stream)
            rtsp.sending = False
            wait_until(lambda: stream.poll() is None and stream.lost)  # type: ignore[attr-defined]
            rtsp.level, rtsp.sending = 200, True
            assert any(abs(level_of(frame) - 200) < 5 for frame in stream)
            assert stream.losses.gaps == 1

    def test_one_that_never_answers_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tracker.sources.capture.OPEN_URL_MS", 300)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            start_s = time.monotonic()
            with pytest.raises(TrackerError, match="reachable"):
                open_source(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/camera", ReconnectPolicy(give_up_s=0))
        assert time.monotonic() - start_s < 5


def test_several_in_one_process(server: Server, rtsp: RtspServer) -> None:
    """Two readers of one HTTP server and one of RTSP, in one loop that waits for none of them."""
    http_url, rtsp_url = f"http://{address(server)}/live", f"rtsp://{address(rtsp)}/camera"
    server.level, rtsp.level = 60, 160
    with Stream(http_url) as first, Stream(rtsp_url) as second, Stream(http_url) as third:
        counts = dict.fromkeys((first, second, third), 0)

        def look() -> bool:
            for stream in counts:
                if (frame := stream.poll()) is not None:
                    assert abs(level_of(frame) - (160 if stream is second else 60)) < 5
                    counts[stream] += 1
            return min(counts.values()) >= 10

        wait_until(look)


def test_a_program_that_forgets_to_close_ends_in_peace(server: Server) -> None:
    """A thread that were inside OpenCV when Python goes down would abort the process."""
    code = "import sys, tracker.sources as f; s = f.open_source(sys.argv[1]); [next(s) for _ in range(3)]; print('end')"
    command = [sys.executable, "-c", code, f"http://{address(server)}/live"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_the_command_tracks_a_stream_until_it_is_lost_for_good(
    server: Server,
    frames: list[Frame],
    fake_detector: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.jsonl"
    picture = cv2.imencode(".jpg", frames[10].image_rgb[..., ::-1])[1].tobytes()

    def content() -> bytes:
        server.sending = not output.exists() or output.read_bytes().count(b"\n") < 5
        return picture

    server.content = content
    monkeypatch.setattr("tracker.tracking.tracker.load_detector", lambda *_: fake_detector)
    url = f"http://{address(server)}/live"
    arguments = ["tracker.run", "--video", url, "--output", str(output), "--give-up-s", "0"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert main() == 2
    said = capsys.readouterr()
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(records) >= 5
    assert all(len(record["faces"]) == 1 for record in records)
    times = [record["timestamp_s"] for record in records]
    assert times[0] == 0 and times == sorted(set(times))
    assert re.search(rf"{url}: \d+ frames dropped, 0 unreadable, 0 gaps\n$", said.out)
    assert f"tracker.run: {url} was lost after {len(records)} frames and did not return" in said.err
