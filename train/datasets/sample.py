"""One labelled face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.face.geometry import Array
from tracker.face.schemes import Scheme


class DatasetError(ValueError):
    """A data set that is not as expected: one sentence that names the file or folder."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and the labels of one face in it.

    points_px: (K, 2) in pixels of the picture, pixel centres at integers.
    box_px: (4,) x, y, width, height of the face as the data set gives it, in the same pixels.
    occluded: (K,) the points that the data set marks as hidden; they are labelled all the same.
    subsets: what the data set files the face under, such as the attributes of WFLW or the clip of a frame.
    face: which of the faces labelled in this picture it is, from 0 in the order of the labels.
    """

    picture: Path
    points_px: Array
    scheme: Scheme
    box_px: Array | None = None
    occluded: NDArray[np.bool_] | None = None
    subsets: frozenset[str] = frozenset()
    face: int = 0

    @property
    def image_name(self) -> str:
        """How the picture is called: the same for all of its faces, and for no other picture."""
        return str(self.picture)

    @property
    def name(self) -> str:
        """How reports and errors call the face; no other face of its set is called so."""
        return f"{self.image_name} face {self.face}" if self.face else self.image_name

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB. Raises DatasetError naming a picture that does not decode."""
        data = np.fromfile(self.picture, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise DatasetError(f"{self.name}: expected a picture, it does not decode")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
