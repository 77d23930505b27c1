"""Decodes videos that OpenCV opens but cannot decode, such as AV1, with the ffmpeg program."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import cv2
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.sources.capture import open_capture
from tracker.system.ffmpeg import find_ffmpeg

_RAW = ("-map", "0:v:0", "-c:v", "rawvideo", "-pix_fmt", "bgr24", "-f", "nut", "pipe:1")  # NUT keeps the timestamps


class Decoded:
    """A Capture of a file that ffmpeg decodes; rotated and mirrored as the file says.

    Args:
        path: of the video file.

    Raises:
        TrackerError: if ffmpeg is not installed, or cannot decode the file either.
    """

    def __init__(self, path: str) -> None:
        program = find_ffmpeg()
        if program is None or os.name != "posix" or cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
            raise TrackerError("this OpenCV has no decoder for it; install ffmpeg, or convert it to H.264")
        reading, writing = os.pipe()
        try:
            command = [program, "-nostdin", "-v", "quiet", "-i", f"file:{path}", *_RAW]
            self._process = subprocess.Popen(command, stdout=writing)
            os.close(writing)
            writing = -1
            cannot = "neither OpenCV nor ffmpeg decodes it: is it damaged, or only sound?"
            try:
                self._capture = open_capture(f"/dev/fd/{reading}", cannot, cv2.CAP_FFMPEG)
            except TrackerError:
                self._end()
                raise
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    def grab(self) -> bool:
        """See Capture."""
        return self._capture.grab()

    def retrieve(self) -> tuple[bool, NDArray[Any] | None]:
        """See Capture."""
        return self._capture.retrieve()

    def get(self, propId: int) -> float:  # noqa: N803
        """See Capture."""
        return self._capture.get(propId)

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        """See Capture."""
        return self._capture.set(propId, value)

    def release(self) -> None:
        """Close the file and end ffmpeg."""
        self._capture.release()
        self._end()
