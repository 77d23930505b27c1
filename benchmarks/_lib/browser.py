"""Builds the page of demos/browser, serves it on the loopback, and controls it in a headless Chromium."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker import FrameResult, Tracker
from tracker.errors import TrackerError
from tracker.sources.demo import DemoClip

PAGE = Path(__file__).resolve().parents[2] / "demos/browser"
LIMIT_S = 540

Image = NDArray[np.uint8]


def find_missing() -> str | None:
    """Describe what is missing on this machine to build and open the page; None if nothing is."""
    if shutil.which("node") is None:
        return "needs Node.js 20.19 or newer"
    if not (PAGE / "node_modules").is_dir():
        return "needs the page's npm packages: make browser"
    if find_chromium() is None:
        return "needs Chromium: apt-get install chromium"
    return None


def find_chromium() -> str | None:
    """Return the path of Chromium or Chrome; None if neither is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def build_page(folder: Path) -> Path:
    """Build the page into a folder and return it. Raises TrackerError if the build fails."""
    _run(["node", "node_modules/vite/bin/vite.js", "build", "--outDir", str(folder), "--logLevel", "warn"])
    return folder


@dataclass
class Host:
    """A running server. url: of the page. requested: the paths that were asked for so far."""

    url: str
    requested: list[str] = field(default_factory=list)


@contextmanager
def serve(folder: Path, picture: Callable[[int], Image] | None = None) -> Iterator[Host]:
    """Serve a folder on a free port of this machine, and at frames/N.bmp the pictures (H, W, 3) RGB, if given."""
    host = Host("")
    handler = partial(_Handler, host, picture, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        host.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, host: Host, picture: Callable[[int], Image] | None, *args: Any, **options: Any) -> None:
        self._host, self._picture = host, picture
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        self._host.requested.append(self.path)
        if self._picture is None or not self.path.startswith("/frames/"):
            return super().do_GET()
        number = int(Path(self.path).stem)
        content = cv2.imencode(".bmp", np.ascontiguousarray(self._picture(number)[..., ::-1]))[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "image/bmp")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def guess_type(self, path: Any) -> str:
        """Return the media type of a file, independently of the system's tables."""
        types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm"}
        return types.get(Path(path).suffix, "application/octet-stream")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def drive(task: str, url: str, **options: Any) -> dict[str, Any]:
    """Open the page, run one of the tasks of demos/browser/tests/drive.mjs, and return its result.

    Raises TrackerError if Chromium or the task fails.
    """
    options = {"task": task, "url": url, "chromium": find_chromium(), **options}
    result: dict[str, Any] = json.loads(_run(["node", "tests/drive.mjs", json.dumps(options)]))
    return result


def write_y4m(path: Path, pictures: Iterable[Image], rate: int) -> Path:
    """Write RGB pictures of one even size as an uncompressed video that Chromium uses as a camera."""
    with path.open("wb") as file:
        for number, picture in enumerate(pictures):
            if number == 0:
                height, width = picture.shape[:2]
                file.write(f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420\n".encode())
            file.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


MAX_FACES = 4  # of the page


def track_in_python(clip: DemoClip) -> list[FrameResult]:
    """Track a clip in Python with the page's detector and options."""
    with Tracker(detector="yunet", max_faces=MAX_FACES) as tracker:
        return [tracker.step(frame) for frame in clip]


def distances_px(results: list[dict[str, Any]], expected: list[FrameResult]) -> NDArray[np.float64]:
    """Return the distance of each point of the page from Python's.

    Args:
        results: the page's, of drive("frames").
        expected: of track_in_python.

    Returns:
        (points of all faces in all frames,) in pixels of the frame.

    Raises:
        TrackerError: if the ids or states differ.
    """
    away = []
    for number, (result, frame) in enumerate(zip(results, expected, strict=True)):
        ours = [(face["id"], face["state"]) for face in result["faces"]]
        theirs = [(face.id, face.state) for face in frame.faces]
        if ours != theirs:
            raise TrackerError(f"frame {number}: the page sees the faces {ours}, Python sees {theirs}")
        for face, other in zip(result["faces"], frame.faces):
            points = np.array(face["points"]).reshape(-1, 2)
            away.append(np.linalg.norm(points - other.landmarks.points_px, axis=1))
    return np.concatenate(away)


def compressed_bytes(folder: Path) -> int:
    """The size of all files of a page as a host sends them: each compressed with gzip, where that makes it smaller."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return sum(min(len(content), len(gzip.compress(content, 6))) for content in contents)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=PAGE, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise TrackerError(f"{' '.join(command)[:200]} failed in {PAGE}:\n{done.stderr[-2000:]}")
    return done.stdout
