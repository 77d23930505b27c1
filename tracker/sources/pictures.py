"""Pictures in files and folders as a source, and the decoding of one."""

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
    """The pictures in files and folders, as still frames 1 s apart.

    Only the first picture of a file with several, such as an animation, is used. EXIF orientation is applied. A file
    that cannot be decoded is skipped with a warning and counted in losses; one warning names the other files of a
    folder. Iterating raises TrackerError if no picture can be decoded; for a single one it says why.

    Args:
        given: a file, a folder, or several of them; see find_pictures for what is taken, and in which order.
        recursive: include the pictures in subfolders.

    Attributes:
        folder: the common parent folder.
        pictures: files and names. A frame's index is its position here, its timestamp is the index in seconds.

    Raises:
        TrackerError: as find_pictures.
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
        """Names of all pictures, in order."""
        return [picture.name for picture in self.pictures]

    def _read(self) -> Generator[Frame, None, None]:
        if left_out := self._found.left_out():
            log.warning("%s: left out %s", self.name, left_out)
        for index, picture in enumerate(self.pictures):
            try:
                image_rgb = decode_picture(picture.path)
            except TrackerError as error:
                self.losses.unreadable += 1
                if len(self.pictures) == 1:
                    raise
                log.warning("%s; skipped", error)
            else:
                yield Frame(image_rgb, float(index), index, still=True, name=picture.name, path=picture.path)
        if self.losses.unreadable == len(self.pictures):
            raise TrackerError(
                f"none of the {len(self.pictures)} pictures in {self.name} could be decoded; the warnings say why"
            )


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """Decode a picture file as decode_picture does, but return None where that raises TrackerError."""
    try:
        return decode_picture(path)
    except TrackerError:
        return None


def decode_picture(path: Path, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """Decode a picture file, with its EXIF orientation applied. cv2.imread is not used: it fails on ü on Windows.

    Args:
        path: of the file.
        most_pixels: the largest width times height; checked in the header before decoding.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TrackerError: if it does not exist, is not a picture, not a regular file, larger than MOST_BYTES, or has more
            than most_pixels.
    """
    cannot = f"{path} cannot be decoded as a picture"
    try:
        content = read_plain(path, MOST_BYTES)
        expect_size(stated_size(content), path, most_pixels)
        if is_overstated(content):
            raise TrackerError(f"{cannot}: its header states more bytes than the file has")
        with quiet():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except FileNotFoundError:
        raise TrackerError(f"expected a picture, but {path} does not exist") from None
    except OSError as error:
        raise TrackerError(f"{cannot}: {error.strerror}") from None
    except (cv2.error, MemoryError, ValueError):
        raise TrackerError(cannot) from None
    if image is None:
        raise TrackerError(cannot + _missing_decoder(content))
    return _as_shown(as_rgb(image), content)


def _missing_decoder(content: bytes) -> str:
    """Return the end of the error message if OpenCV may lack a decoder for this picture; empty otherwise."""
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
    """Rotate and mirror an AVIF picture as its header says; for other formats OpenCV applies the EXIF orientation."""
    quarters, axis = turns_of_heif(content)
    image = np.rot90(image_rgb, quarters)
    return np.ascontiguousarray(image if axis is None else np.flip(image, axis))


def expect_size(size: tuple[int, int] | None, path: str | Path, most_pixels: int = MOST_PIXELS) -> None:
    """Raise TrackerError if the size of a picture is unknown or too large.

    Args:
        size: (width, height) in pixels; None if unknown.
        path: for the message.
        most_pixels: the largest width times height.
    """
    if size is None:
        raise TrackerError(f"{path} cannot be decoded as a picture")
    if size[0] * size[1] > most_pixels:
        raise TrackerError(
            f"{path} cannot be decoded as a picture: its header states {size[0]} x {size[1]} pixels, at most "
            f"{most_pixels:,} in all are decoded"
        )
