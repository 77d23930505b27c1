"""Encodes pictures with arbitrary timestamps as H.264, with the ffmpeg program."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2

from tracker.errors import TrackerError
from tracker.sinks.base import Image
from tracker.sources.container import read_container
from tracker.system.ffmpeg import run_ffmpeg

TICK_S = 1e-5
"""Timestamps are rounded to this before they are passed to ffmpeg."""

_ENCODERS = (("libx264", "-preset", "veryfast", "-crf", "20", "-bf", "0"), ("libopenh264", "-b:v", "6M"))
_TIMES = (("-fps_mode", "passthrough"), ("-vsync", "0"))  # ffmpeg 5.1 and newer; older
_UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"  # Matroska's size for an element that is still being written
_NEW_GROUP = 0x200  # subprocess.CREATE_NEW_PROCESS_GROUP, which exists on Windows only


@cache
def h264_options(program: str) -> tuple[str, ...] | None:
    """Find the options with which this ffmpeg encodes H.264 and keeps timestamps, by encoding a short clip.

    Args:
        program: the ffmpeg program.

    Returns:
        The options; None if this ffmpeg cannot do it.
    """
    for encoder in _ENCODERS:
        for times in _TIMES:
            options = ("-c:v", *encoder, "-pix_fmt", "yuv420p", *times)
            with tempfile.TemporaryDirectory() as folder:
                target = os.path.join(folder, "trial.mp4")
                done = run_ffmpeg(program, "-f", "lavfi", "-i", "color=s=64x64:r=5:d=0.4", *options, target)
                if done.returncode == 0 and read_container(target).counts:
                    return options
    return None


class H264Pipe:
    """Writes pictures of one size with their timestamps to a video file, through a pipe to ffmpeg.

    Args:
        program: the ffmpeg program, see find_ffmpeg.
        options: from h264_options.
        path: of the file, replaced; its suffix selects the container.
        size: (width, height) in pixels, both even.
        fps: 1 / fps is the duration of the last picture.

    Raises:
        TrackerError: ffmpeg cannot be started or has ended.
    """

    def __init__(self, program: str, options: tuple[str, ...], path: Path, size: tuple[int, int], fps: float) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe would block ffmpeg when it is full
        command = [program, "-v", "error", "-y", "-f", "matroska", "-i", "pipe:0", *options]
        command += ["-enc_time_base", "1:90000", "-colorspace", "smpte170m", "-color_range", "tv", f"file:{path}"]
        try:
            # In a session of its own: Ctrl-C ends the run but not ffmpeg, which then completes its file.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=sys.platform != "win32",
                creationflags=_NEW_GROUP if sys.platform == "win32" else 0,
            )
        except OSError as error:
            self._said.close()
            raise TrackerError(f"{program} could not be started ({error.strerror})") from None
        self._thread = ThreadPoolExecutor(1, "to ffmpeg")  # Ctrl-C interrupts the main thread, not a half-sent picture
        self._sending = self._thread.submit(self._send, _header(size, fps))

    def write(self, image_rgb: Image, time_s: float) -> None:
        """Write the next picture.

        Args:
            image_rgb: (H, W, 3) uint8 RGB, of the size given at the start.
            time_s: seconds from the start of the video; larger than that of the last picture.

        Raises:
            TrackerError: ffmpeg has ended.
        """
        planes = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2YUV_I420)
        ticks = round(time_s / TICK_S)
        block = b"\x81\0\0\x80"  # track 1, at the cluster's time, a key frame
        head = b"\x1f\x43\xb6\x75" + _UNKNOWN + _element(0xE7, ticks) + b"\xa3" + _size(4 + planes.nbytes) + block
        if not self._sending.result():
            self.close()
            raise TrackerError("ffmpeg ended early")
        self._sending = self._thread.submit(self._send, head, planes.tobytes())

    def _send(self, *parts: bytes) -> bool:
        """Send bytes to ffmpeg. Return False if ffmpeg has ended; close() then reports why."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.writelines(parts)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Complete the file.

        Raises:
            TrackerError: ffmpeg failed; the message has the last line of its output.
        """
        if self._said.closed:
            return
        self._thread.shutdown()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        status = self._process.wait()
        with self._said:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()
        if status:
            raise TrackerError(f"ffmpeg: {lines[-1] if lines else f'status {status}'}")


def _header(size: tuple[int, int], fps: float) -> bytes:
    """Make the head of a Matroska file (RFC 9559) with one track of raw I420 pictures."""
    width, height = size
    kind = _element(0x4282, b"matroska") + _element(0x4287, 4) + _element(0x4285, 2)
    video = _element(0xB0, width) + _element(0xBA, height) + _element(0x2EB524, b"I420")
    track = b"".join(
        (
            _element(0xD7, 1),  # number
            _element(0x73C5, 1),  # identity
            _element(0x83, 1),  # pictures
            _element(0x86, b"V_UNCOMPRESSED"),
            _element(0x23E383, round(1e9 / fps)),  # default duration of a picture
            _element(0xE0, video),
        )
    )
    info = _element(0x2AD7B1, round(TICK_S * 1e9)) + _element(0x4D80, b"tracker") + _element(0x5741, b"tracker")
    tracks = _element(0x1654AE6B, _element(0xAE, track))
    return _element(0x1A45DFA3, kind) + b"\x18\x53\x80\x67" + _UNKNOWN + _element(0x1549A966, info) + tracks


def _element(identity: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        content = content.to_bytes(max(1, (content.bit_length() + 7) // 8), "big")
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + _size(len(content)) + content


def _size(length: int) -> bytes:
    return struct.pack(">Q", length | 1 << 56)
