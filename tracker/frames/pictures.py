"""Folder: the pictures of a folder, one after the other."""

from __future__ import annotations

import logging
import re
import stat
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.png import is_overstated
from tracker.frames.frame import Frame, as_rgb
from tracker.frames.size import MOST_PIXELS, stated_size
from tracker.frames.source import Source
from tracker.opencv_log import quiet

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 30

_PICTURES = {
    ".bmp",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
}


class Folder(Source):
    """The pictures of a folder (not of its subfolders), 2.jpg before 10.jpg, as still pictures 1 s apart.

    paths: the picture files in order; a frame's index is its place in it, its timestamp the index in
    seconds. EXIF orientation is applied. A file that cannot be decoded is skipped with a warning and
    counted in losses. Raises TrackerError when there is no such folder, no picture in it, or none that
    can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        folder = Path(path)
        try:
            files = [p for p in folder.iterdir() if p.suffix.lower() in _PICTURES and p.name[0] != "."]
        except OSError as error:
            raise TrackerError(f"expected a folder of pictures, but {folder}: {error.strerror}") from error
        if not files:
            raise TrackerError(f"{folder} holds no pictures: expected files such as .jpg, .png, .bmp or .tif")
        self.paths = tuple(sorted(files, key=_natural))
        super().__init__(str(folder), len(files), 1.0)

    def _read(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self.paths):
            try:
                image_rgb = decode_picture(path)
            except TrackerError as error:
                self.losses.unreadable += 1
                log.warning("%s; skipped", error)
            else:
                yield Frame(image_rgb, float(index), index, still=True)
        if self.losses.unreadable == len(self.paths):
            raise TrackerError(f"none of the {len(self.paths)} pictures in {self.name} could be decoded")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key: runs of digits by their value, everything else as text without case."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)]


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """The picture in a file, (H, W, 3) RGB, None where there is none that decode_picture takes."""
    try:
        return decode_picture(path)
    except TrackerError:
        return None


def decode_picture(path: Path) -> NDArray[np.uint8]:
    """The picture in a file, (H, W, 3) RGB. Not by cv2.imread: it fails on ü on Windows.

    Raises TrackerError for what is no picture, no plain file, larger than MOST_BYTES, or, by its header and before it
    is decoded, of more than MOST_PIXELS.
    """
    cannot = f"{path} cannot be decoded as a picture"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise TrackerError(f"{cannot}: it is no plain file")
        if status.st_size > MOST_BYTES:
            raise TrackerError(f"{cannot}: it has {status.st_size:,} bytes, at most {MOST_BYTES:,} are read")
        content = path.read_bytes()
        expect_size(stated_size(content), path)
        if is_overstated(content):
            raise TrackerError(f"{cannot}: it states more bytes than it has")
        with quiet():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error, MemoryError):
        raise TrackerError(cannot) from None
    if image is None:
        raise TrackerError(cannot)
    return as_rgb(image)


def expect_size(size: tuple[int, int] | None, path: str | Path) -> None:
    """Raise TrackerError for the size of a picture that is too large, or not known."""
    if size is None:
        raise TrackerError(f"{path} cannot be decoded as a picture")
    if size[0] * size[1] > MOST_PIXELS:
        raise TrackerError(
            f"{path} cannot be decoded as a picture: it states {size[0]} x {size[1]} pixels, at most "
            f"{MOST_PIXELS:,} in all are decoded"
        )
