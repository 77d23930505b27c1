"""One labelled face, and how its picture is read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.errors import one_line
from tracker.face.geometry import Array
from tracker.face.schemes import Scheme
from tracker.sources.pictures import MOST_BYTES
from tracker.sources.png import is_overstated
from tracker.system.files import read_plain

MOST_PIXELS = 89_000_000
"""Larger pictures are refused before they are decoded: a file of a few kB can be unpacked to gigabytes. Pillow warns of
such files from 89.5 million pixels on."""
TOO_LARGE = f"expected a picture of at most {MOST_PIXELS // 10**6} million pixels"


class DatasetError(ValueError):
    """A data set that is not as expected: one sentence that names the file or folder."""

    def __str__(self) -> str:
        return one_line(super().__str__())


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and the labels of one face in it.

    points_px: (K, 2) in pixels of the picture, pixel centres at integers.
    box_px: (4,) x, y, width, height of the face as the data set gives it, in the same pixels.
    occluded: (K,) the points that the data set marks as hidden; they are labelled all the same.
    subsets: what the data set files the face under, such as the attributes of WFLW or the clip of a frame.
    face: which of the faces labelled in this picture it is, from 0 in the order of the labels.
    weights: (K,) from 0 to 1, how much each point is to be learned from; None where all count the same.
    """

    picture: Path
    points_px: Array
    scheme: Scheme
    box_px: Array | None = None
    occluded: NDArray[np.bool_] | None = None
    subsets: frozenset[str] = frozenset()
    face: int = 0
    weights: Array | None = None

    @property
    def image_name(self) -> str:
        """How the picture is called: the same for all of its faces, and for no other picture."""
        return str(self.picture)

    @property
    def name(self) -> str:
        """How reports and errors call the face; no other face of its set is called so."""
        return f"{self.image_name} face {self.face}" if self.face else self.image_name

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB, turned as the file's EXIF orientation says.

        Raises DatasetError, naming the face, for a picture that cannot be read, does not decode or is larger than
        MOST_PIXELS.
        """
        try:
            data = read_plain(self.picture, MOST_BYTES)
        except OSError as error:
            raise DatasetError(f"{self.name}: expected a picture, it cannot be read: {error.strerror}") from None
        try:
            with Image.open(io.BytesIO(data)) as header:  # OpenCV has no way to read the size alone
                size = header.size
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DatasetError(f"{self.name}: {TOO_LARGE}") from None
        except Exception:  # Pillow's readers raise errors of many kinds
            raise DatasetError(f"{self.name}: expected a picture, it does not decode") from None
        expect_size(self.name, *size)
        if is_overstated(data):
            raise DatasetError(f"{self.name}: expected a picture, it states more bytes than it has")
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except (cv2.error, MemoryError):
            image = None
        if image is None:
            raise DatasetError(f"{self.name}: expected a picture, it does not decode")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def expect_size(name: str, width: int, height: int) -> None:
    """Raises DatasetError for a picture, called name, of more than MOST_PIXELS."""
    if width * height > MOST_PIXELS:
        raise DatasetError(f"{name}: {TOO_LARGE}, got {width} x {height}")
