"""Folder: the pictures of a folder, one after the other."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.frames.capture import quiet
from tracker.frames.frame import Frame, as_rgb
from tracker.frames.source import Source

log = logging.getLogger(__name__)

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
            image_rgb = read_picture(path)
            if image_rgb is None:
                self.losses.unreadable += 1
                log.warning("%s cannot be decoded as a picture; skipped", path)
            else:
                yield Frame(image_rgb, float(index), index)
        if self.losses.unreadable == len(self.paths):
            raise TrackerError(f"none of the {len(self.paths)} pictures in {self.name} could be decoded")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key: runs of digits by their value, everything else as text without case."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)]


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """The picture in a file, (H, W, 3) RGB, None where there is none. Not cv2.imread: it fails on ü on Windows."""
    try:
        with quiet():
            image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if image is None else as_rgb(image)
