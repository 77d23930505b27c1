"""Pictures: those in files and folders, one after the other; and how one is decoded."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.sources.base import Source
from tracker.sources.frame import Frame, as_rgb
from tracker.sources.picture_files import find_pictures
from tracker.sources.picture_size import MOST_PIXELS, stated_size, turns_of_heif
from tracker.sources.png import is_overstated
from tracker.system.files import read_plain
from tracker.system.opencv_log import quiet

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 30


class Pictures(Source):
    """The pictures in files and folders, one after the other, as still pictures 1 s apart.

    given: a file, a folder, or several of them; see find_pictures for what is taken and in which order.
    recursive: the subfolders' pictures, too.
    folder: the one that all of them lie in. pictures: their files and names; a frame's index is its place among them,
    its timestamp the index in seconds, its name and path those of the file.

    Of a file with several pictures, as an animation, the first is taken. EXIF orientation is applied. A file that
    cannot be decoded is skipped with a warning and counted in losses; what a folder holds besides pictures is said in
    one warning. Raises TrackerError for what find_pictures refuses, and when no picture can be decoded.
    """

    def __init__(self, given: str | Path | Sequence[str | Path], recursive: bool = False) -> None:
        several = [given] if isinstance(given, (str, Path)) else list(given)
        self._found = find_pictures(several, recursive)
        self.folder = self._found.folder
        self.pictures = tuple(self._found.pictures)
        name = str(several[0]) if len(several) == 1 else f"{self.folder} ({len(several)} files and folders)"
        super().__init__(name, len(self.pictures), 1.0)

    @property
    def names(self) -> list[str]:
        """Of all pictures, in order."""
        return [picture.name for picture in self.pictures]

    def _read(self) -> Generator[Frame, None, None]:
        if left_out := self._found.left_out():
            log.warning("%s: left out %s", self.name, left_out)
        for index, picture in enumerate(self.pictures):
            try:
                image_rgb = decode_picture(picture.path)
            except TrackerError as error:
                self.losses.unreadable += 1
                log.warning("%s; skipped", error)
            else:
                yield Frame(image_rgb, float(index), index, still=True, name=picture.name, path=picture.path)
        if self.losses.unreadable == len(self.pictures):
            raise TrackerError(f"none of the {len(self.pictures)} pictures in {self.name} could be decoded")


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """The picture in a file, (H, W, 3) RGB, None where there is none that decode_picture takes."""
    try:
        return decode_picture(path)
    except TrackerError:
        return None


def decode_picture(path: Path, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """The picture in a file, (H, W, 3) RGB. Not by cv2.imread: it fails on ü on Windows.

    Raises TrackerError for what is no picture, no plain file, larger than MOST_BYTES, or, by its header and before it
    is decoded, of more than most_pixels.
    """
    cannot = f"{path} cannot be decoded as a picture"
    try:
        content = read_plain(path, MOST_BYTES)
        expect_size(stated_size(content), path, most_pixels)
        if is_overstated(content):
            raise TrackerError(f"{cannot}: it states more bytes than it has")
        with quiet():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except OSError as error:
        raise TrackerError(f"{cannot}: {error.strerror}") from None
    except (cv2.error, MemoryError, ValueError):
        raise TrackerError(cannot) from None
    if image is None:
        raise TrackerError(cannot + _missing_decoder(content))
    return _as_shown(as_rgb(image), content)


def _missing_decoder(content: bytes) -> str:
    """Why a picture may not be decoded that is not damaged, and what to do; an empty text for nothing of the kind."""
    if content[4:8] == b"ftyp" and content[8:12] not in (b"avif", b"avis"):
        return ": it may be HEIC, for which OpenCV has no decoder; convert it to JPEG"
    signs = {"GIF": content[:4] == b"GIF8", "AVIF": content[4:8] == b"ftyp", "WEBP": content[:4] == b"RIFF"}
    kind = next((kind for kind, found in signs.items() if found), None)
    if kind == "WEBP" and content[12:16] == b"VP8X" and content[20] & 2:
        kind = "animated WEBP"  # which OpenCV 4.8 does not read
    elif kind is None or cv2.haveImageWriter(f".{kind.lower()}"):
        return ""
    return f": this OpenCV may have no decoder for {kind}; install a newer opencv-python, or convert it to PNG"


def _as_shown(image_rgb: NDArray[np.uint8], content: bytes) -> NDArray[np.uint8]:
    """An AVIF picture turned and mirrored as it says; of other kinds OpenCV has done that by their EXIF data."""
    quarters, axis = turns_of_heif(content)
    image = np.rot90(image_rgb, quarters)
    return np.ascontiguousarray(image if axis is None else np.flip(image, axis))


def expect_size(size: tuple[int, int] | None, path: str | Path, most_pixels: int = MOST_PIXELS) -> None:
    """Raise TrackerError for the size of a picture that is too large, or not known."""
    if size is None:
        raise TrackerError(f"{path} cannot be decoded as a picture")
    if size[0] * size[1] > most_pixels:
        raise TrackerError(
            f"{path} cannot be decoded as a picture: it states {size[0]} x {size[1]} pixels, at most "
            f"{most_pixels:,} in all are decoded"
        )
