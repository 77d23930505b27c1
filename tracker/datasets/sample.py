"""One labelled face, and how its picture is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError, one_line
from tracker.face.geometry import Array
from tracker.face.schemes import Scheme
from tracker.sources import pictures

MOST_PIXELS = 89_000_000
"""Larger pictures are refused before they are decoded: a file of a few kB can be unpacked to gigabytes, and several
pictures are decoded at once."""


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

        Raises DatasetError, naming the file, for a picture that cannot be read, does not decode or is larger than
        MOST_PIXELS.
        """
        try:
            return pictures.decode_picture(self.picture, MOST_PIXELS)
        except TrackerError as error:
            raise DatasetError(str(error)) from None


def expect_size(name: str, width: int, height: int) -> None:
    """Raise DatasetError for a picture, called name, of more than MOST_PIXELS."""
    try:
        pictures.expect_size((width, height), name, MOST_PIXELS)
    except TrackerError as error:
        raise DatasetError(str(error)) from None
