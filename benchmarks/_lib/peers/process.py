"""The near end of worker.py: starts a system in its environment, sends it frames, and checks what it answers."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError, one_line
from tracker.face.geometry import Array

if TYPE_CHECKING:
    from typing_extensions import Self

REPOSITORY = Path(__file__).resolve().parents[3]
WORKER = "benchmarks._lib.peers.worker"
LIMIT_S = 300.0

Image = NDArray[np.uint8]


class PeerError(TrackerError):
    """A system cannot be measured; the message is one sentence that says why."""


@dataclass(frozen=True)
class Block:
    """Frames of one clip that follow each other.

    Attributes:
        clip: its name; another name starts the system anew.
        still: single pictures, which have nothing to do with each other.
        fps: frames per second.
        first: the number of the first frame.
        pictures: (H, W, 3) RGB each.
    """

    clip: str
    still: bool
    fps: float
    first: int
    pictures: Sequence[Image]


@dataclass(frozen=True)
class Answer:
    """What a system gave for one frame.

    Attributes:
        ms: of its step; NaN if it was not timed.
        faces: (K, 2) all its points of each face in pixels, by the name of the output; "" is the usual one.
    """

    ms: float
    faces: dict[str, list[Array]]


class PeerProcess:
    """A system in a process of its own.

    Attributes:
        about: its versions, and the SHA-256 of its weights.

    Args:
        name: for messages.
        command: what to run; it is started in the repository's root.
        limit_s: for the start, and for each block of frames.

    Raises:
        PeerError: if it cannot be started, ends, takes longer than the limit, or answers with something else than
            worker.py describes. It has ended then.
    """

    def __init__(self, name: str, command: Sequence[str], limit_s: float = LIMIT_S) -> None:
        self._name, self._limit_s, self._late = name, limit_s, False
        self._complaints = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                list(command), cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints
            )
        except OSError as error:
            self._complaints.close()
            raise PeerError(f"{name} cannot be started by {command[0]}: {error.strerror}") from None
        about = self._exchange(b"", ())
        if not (isinstance(about, dict) and {"versions", "sha256"} <= about.keys()):
            raise self._failed("it does not say its versions and the SHA-256 of its weights")
        self.about: dict[str, Any] = about

    def step(self, block: Block) -> list[Answer]:
        """Run it over the frames of a block."""
        header = {
            "clip": block.clip,
            "still": block.still,
            "fps": block.fps,
            "first": block.first,
            "shapes": [picture.shape[:2] for picture in block.pictures],
        }
        said = self._exchange(json.dumps(header).encode() + b"\n", block.pictures)
        if not isinstance(said, list) or len(said) != len(block.pictures):
            raise self._failed(f"it does not answer {len(block.pictures)} frames by as many entries")
        try:
            return [_answer(entry) for entry in said]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._failed("its answer is not ms and faces with two finite coordinates a point") from None

    def _exchange(self, header: bytes, pictures: Sequence[Image]) -> Any:
        """Send these bytes and return the line of JSON that answers them."""
        assert self._process.stdin is not None and self._process.stdout is not None
        timer = threading.Timer(self._limit_s, self._expire)
        timer.start()
        try:
            with suppress(BrokenPipeError):  # then there is no answer either
                self._process.stdin.write(header)
                for picture in pictures:
                    self._process.stdin.write(np.ascontiguousarray(picture).data)
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if self._late:
            raise self._failed(f"it took longer than {self._limit_s:g} s for a block of frames")
        if not line:
            raise self._failed(f"it has ended: {self._last_words()}")
        try:
            return json.loads(line)
        except ValueError:
            raise self._failed("its answer is no JSON") from None

    def _expire(self) -> None:
        self._late = True
        self._process.kill()

    def _last_words(self) -> str:
        self._process.wait()
        self._complaints.seek(0)
        return one_line((self._complaints.read().strip() or "no message").splitlines()[-1])

    def _failed(self, why: str) -> PeerError:
        self._process.kill()
        self.close()
        return PeerError(f"{self._name} cannot be measured: {why}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process by closing its standard input."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(self._limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._complaints.close()


def _answer(entry: Any) -> Answer:
    faces = {str(name): [np.array(points, np.float64) for points in listed] for name, listed in entry["faces"].items()}
    if "" not in faces:
        raise ValueError("the usual output is missing")
    for points in (points for listed in faces.values() for points in listed):
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise ValueError("no points")
    return Answer(float(entry["ms"]), faces)
