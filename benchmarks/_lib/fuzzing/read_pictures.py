"""Fuzzes pictures and videos."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.fuzzing.reader import Files, Reader, expect
from tracker.errors import TrackerError
from tracker.sources import Folder, Frame, Source, open_source

WIDTH, HEIGHT = 40, 32
SUFFIXES = (".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm", ".pgm", ".jp2")
CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "MJPG"}
_MOST_FRAMES = 50


def drawn_picture(seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture (32, 40, 3) of a simple drawn face."""
    picture = np.full((HEIGHT, WIDTH, 3), 60 + 10 * seed, np.uint8)
    cv2.ellipse(picture, (20, 16), (9, 12), 0, 0, 360, (120, 160, 200), -1)
    for x in (16, 24):
        cv2.circle(picture, (x, 13), 1, (30, 20, 10), -1)
    cv2.line(picture, (17, 22), (23, 22), (60, 60, 160), 1)
    return picture


def encoded(suffix: str, picture: NDArray[np.uint8]) -> bytes:
    """Encode the picture as a file of that kind."""
    done, data = cv2.imencode(suffix, picture[..., 0] if suffix == ".pgm" else picture)
    assert done
    return data.tobytes()


def drawn_video(suffix: str) -> bytes:
    """Return a video of six frames of a face."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/clip{suffix}"
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*CODECS[suffix]), 25.0, (WIDTH, HEIGHT))
        for i in range(6):
            writer.write(drawn_picture(i))
        writer.release()
        return Path(path).read_bytes()


def _turned_jpeg() -> bytes:
    """A JPEG whose EXIF says that it lies on its side."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = encoded(".jpg", drawn_picture())
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def _big_tiff() -> bytes:
    """A grey picture in TIFF's form for large files, which OpenCV reads but does not write."""
    pixels = drawn_picture()[..., 0].tobytes()
    tags = {256: WIDTH, 257: HEIGHT, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: HEIGHT, 279: len(pixels)}
    tags[273] = 16 + 8 + 20 * len(tags) + 8  # where the pixels are
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in tags.items())
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(tags)) + entries + bytes(8) + pixels


def _pictures() -> list[Files]:
    with_alpha = np.dstack([drawn_picture(), np.full((HEIGHT, WIDTH), 99, np.uint8)])
    deep = drawn_picture().astype(np.uint16) * 257
    return [
        *({f"a{suffix}": encoded(suffix, drawn_picture())} for suffix in SUFFIXES),
        {"a.png": cv2.imencode(".png", with_alpha)[1].tobytes()},
        {"a.png": cv2.imencode(".png", deep)[1].tobytes()},
        {"a.jpg": _turned_jpeg()},
        {"a.tif": _big_tiff()},
        {"2.png": encoded(".png", drawn_picture()), "10.jpg": encoded(".jpg", drawn_picture(1))},
    ]


def _read_pictures(folder: Path) -> None:
    with Folder(folder) as source:
        _expect_frames(source)


def _read_video(folder: Path) -> None:
    path = next(iter(folder.iterdir()), folder / "clip.avi")
    with open_source(path) as source:
        _expect_frames(source)


def _expect_frames(source: Source) -> None:
    before = -1.0
    for count, frame in enumerate(source):
        expect(isinstance(frame, Frame) and frame.timestamp_s > before, "time stands still or runs back")
        expect(np.isfinite(frame.timestamp_s), "a time is not finite")
        before = frame.timestamp_s
        if count > _MOST_FRAMES:
            return


READERS = {
    "pictures": Reader(
        _pictures,
        _read_pictures,
        (TrackerError,),
        ("tracker.sources.pictures", "tracker.sources.picture_size", "tracker.sources.frame:as_rgb"),
    ),
    "videos": Reader(
        lambda: [{f"clip{suffix}": drawn_video(suffix)} for suffix in CODECS],
        _read_video,
        (TrackerError,),
        (
            "tracker.sources.video",
            "tracker.sources.capture:open_capture stated_fps stated_count",
            "tracker.sources.base",
        ),
    ),
}
