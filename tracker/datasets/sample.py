"""Sample, one labelled face with its picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import Scheme
from tracker.sources import pictures

MOST_PIXELS = 89_000_000
"""The largest picture that is decoded: a file of a few kB can expand to gigabytes, and several pictures are decoded at
once."""


class DatasetError(TrackerError, ValueError):
    """A defect of a data set: one sentence that names the file or folder."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and the labels of one face in it.

    Attributes:
        picture: the file.
        points_px: (K, 2) in pixels of the picture, pixel centres at integers.
        scheme: of the points.
        box_px: (4,) x, y, width, height of the face as stated by the data set, in the same pixels.
        occluded: (K,) whether the data set marks a point as hidden; such points have labels as well.
        subsets: of the data set that the face belongs to, such as the attributes of WFLW or the clip of a frame.
        face: the index of the face in its picture, from 0 in the order of the labels.
        weights: (K,) the weight of each point in training, 0..1; None if all are equal.
        label: the file of this face's labels; None if they are in a table with those of others.
    """

    picture: Path
    points_px: Array
    scheme: Scheme
    box_px: Array | None = None
    occluded: NDArray[np.bool_] | None = None
    subsets: frozenset[str] = frozenset()
    face: int = 0
    weights: Array | None = None
    label: Path | None = None

    @property
    def image_name(self) -> str:
        """The unique name of the picture, the same for all of its faces."""
        return str(self.picture)

    @property
    def name(self) -> str:
        """The name of the face in reports and messages, unique in its set."""
        return f"{self.image_name} face {self.face}" if self.face else self.image_name

    def read_image(self) -> NDArray[np.uint8]:
        """Read the picture.

        Returns:
            (H, W, 3) RGB, with its EXIF orientation applied.

        Raises:
            DatasetError: naming the file, if it cannot be read or decoded, or has more than MOST_PIXELS.
        """
        try:
            return pictures.decode_picture(self.picture, MOST_PIXELS)
        except TrackerError as error:
            raise DatasetError(str(error)) from None


def expect_size(name: str, width: int, height: int) -> None:
    """Raise DatasetError for a picture of more than MOST_PIXELS.

    Args:
        name: of the picture, for the message.
        width: in pixels.
        height: in pixels.
    """
    try:
        pictures.expect_size((width, height), name, MOST_PIXELS)
    except TrackerError as error:
        raise DatasetError(str(error)) from None
