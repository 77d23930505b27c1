"""COFW in its official files (Burgos-Artizzu et al., ICCV 2013), and the 68 points of Ghiasi & Fowlkes for its test.

COFW_train_color.mat and COFW_test_color.mat hold the pictures too. COFW-68 (github.com/golnazghiasi/cofw68-benchmark)
labels the test pictures anew, in the folder COFW68_Data: cofw68_test_bboxes.mat and test_annotations/1_points.mat ...
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from tracker.face.schemes import COFW29, IBUG68
from train.datasets.collect import Bad, collect
from train.datasets.matlab import read_variables
from train.datasets.sample import DatasetError, Sample

TEST_FILE = "COFW_test_color.mat"


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredSample(Sample):
    """A face whose picture lies in a .mat file of version 7.3, which is opened for each reading.

    cells: the variable that holds the pictures. number: which of them, from 1.
    """

    cells: str
    number: int

    @property
    def image_name(self) -> str:
        return f"{self.picture} {self.cells}{{{self.number}}}"

    def read_image(self) -> NDArray[np.uint8]:
        try:
            with h5py.File(self.picture, "r") as file:
                image = file[file[self.cells][0, self.number - 1]][()].T  # MATLAB stores columns first
        except (OSError, LookupError, ValueError) as error:
            raise DatasetError(f"{self.name}: expected a picture, reading it gave {error}") from None
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise DatasetError(f"{self.name}: expected 8-bit grey or RGB, got {image.dtype} of shape {image.shape}")
        if image.ndim == 2:
            return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
        return np.ascontiguousarray(image)


def read_cofw(root: Path, split: Literal["train", "test"], bad: Bad = "refuse") -> list[Sample]:
    """The 1,345 faces to train on or the 507 to test on, with 29 points, their occlusion and the face's box.

    root: the folder with the two files. Raises DatasetError for a file that is missing, broken or whose variables
    do not pair, and as `train.datasets.collect.collect`.
    """
    path, ending = root / f"COFW_{split}_color.mat", {"train": "Tr", "test": "T"}[split]
    cells, labels, boxes = read_variables(path, f"Is{ending}", f"phis{ending}", f"bboxes{ending}")
    _expect_pairs(path, cells, labels, boxes)
    faces = [(f"{path} face {i}", (i, label, box)) for i, (label, box) in enumerate(zip(labels, boxes), 1)]
    return collect(path, faces, partial(_face29, path, f"Is{ending}"), bad)


def _face29(path: Path, cells: str, face: tuple[int, NDArray[Any], NDArray[Any]]) -> Sample:
    number, label, box = face
    x, y, occluded = label.reshape(3, -1)
    points, box = np.stack([x, y], 1) - 1.0, box - np.array([1.0, 1.0, 0.0, 0.0])  # MATLAB's first pixel is 1
    return StoredSample(path, points, COFW29, box, occluded > 0.5, cells=cells, number=number)


def read_cofw68(root: Path, bad: Bad = "refuse") -> list[Sample]:
    """The 507 test faces with the 68 points of COFW-68, their occlusion and its boxes.

    root: the folder with COFW_test_color.mat and COFW68_Data. Raises DatasetError as read_cofw.
    """
    path, folder = root / TEST_FILE, root / "COFW68_Data"
    (cells,) = read_variables(path, "IsT")
    (boxes,) = read_variables(folder / "cofw68_test_bboxes.mat", "bboxes")
    labels = [folder / f"test_annotations/{i}_points.mat" for i in range(1, len(cells) + 1)]
    _expect_pairs(folder, cells, boxes)
    labels += sorted({*folder.glob("test_annotations/*_points.mat")} - {*labels})
    faces = [(str(label), (i, label, box)) for i, (label, box) in enumerate(zip_longest(labels, boxes), 1)]
    return collect(folder, faces, partial(_face68, path), bad)


def _face68(path: Path, face: tuple[int, Path, NDArray[Any] | None]) -> Sample:
    number, label, box = face
    if box is None:
        raise DatasetError(f"expected labels of a picture of {path.name} only, it has none of that number")
    points, occluded = read_variables(label, "Points", "Occ")
    box = box - np.array([1.0, 1.0, 0.0, 0.0])
    return StoredSample(path, points - 1.0, IBUG68, box, occluded.ravel() > 0, cells="IsT", number=number)


def _expect_pairs(path: Path, *variables: NDArray[Any]) -> None:
    counts = [len(variable) for variable in variables]
    if len(set(counts)) != 1:
        raise DatasetError(f"{path}: expected as many labels and boxes as pictures, got the counts {counts}")
