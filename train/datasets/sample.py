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
    """

    picture: Path
    points_px: Array
    scheme: Scheme

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB. Raises DatasetError naming a picture that does not decode."""
        data = np.fromfile(self.picture, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise DatasetError(f"{self.picture}: expected a picture, it does not decode")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
