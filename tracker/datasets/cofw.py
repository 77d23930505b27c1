"""COFW in its official files (Burgos-Artizzu et al., ICCV 2013), and COFW-68, 68 points for its test set.

COFW_train_color.mat and COFW_test_color.mat hold labels and pictures. COFW-68 (Ghiasi & Fowlkes,
github.com/golnazghiasi/cofw68-benchmark) has new labels for the test pictures, in the folder COFW68_Data:
cofw68_test_bboxes.mat and test_annotations/1_points.mat ...
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.datasets.collect import Invalid, collect
from tracker.datasets.matlab import Variables, as_numbers, read_files, read_variables
from tracker.datasets.sample import DatasetError, Sample, expect_size
from tracker.face.geometry import Array
from tracker.face.schemes import COFW29, IBUG68

TEST_FILE = "COFW_test_color.mat"


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredSample(Sample):
    """A face whose picture is stored in a .mat file of version 7.3; the file is opened at each access.

    Attributes:
        cells: the variable with the pictures.
        number: of the picture, from 1.
    """

    cells: str
    number: int

    @property
    def image_name(self) -> str:
        """See Sample."""
        return f"{self.picture} {self.cells}{{{self.number}}}"

    def read_image(self) -> NDArray[np.uint8]:
        """See Sample."""
        import h5py

        try:
            with h5py.File(self.picture, "r") as file:
                stored = file[file[self.cells][0, self.number - 1]]
                expect_size(self.name, *stored.shape[-2:])
                image = stored[()].T  # MATLAB stores columns first
        except DatasetError:
            raise
        except Exception as error:  # h5py's errors have no common type
            raise DatasetError(f"{self.name}: expected a picture, reading it gave {error}") from None
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or image.size == 0:
            raise DatasetError(f"{self.name}: expected 8-bit grey or RGB, got {image.dtype} of shape {image.shape}")
        if image.ndim == 2:
            return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
        return np.ascontiguousarray(image)


def read_cofw(root: Path, split: Literal["train", "test"], on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read the 1,345 training or 507 test faces, with 29 points, their occlusion and the face's box.

    Args:
        root: the folder with the two files.
        split: which part.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: if a file is missing or damaged, if its variables have different lengths, and as
            `tracker.datasets.collect.collect`.
    """
    path, ending = root / f"COFW_{split}_color.mat", {"train": "Tr", "test": "T"}[split]
    cells, labels, boxes = read_variables(path, f"Is{ending}", f"phis{ending}", f"bboxes{ending}")
    labels = as_numbers(path, f"phis{ending}", labels, (-1, 3 * COFW29.count))
    boxes = as_numbers(path, f"bboxes{ending}", boxes, (-1, 4))
    _expect_pairs(path, _references(path, f"Is{ending}", cells), labels, boxes)
    faces = [(f"{path} face {i}", (i, label, box)) for i, (label, box) in enumerate(zip(labels, boxes), 1)]
    return collect(path, faces, partial(_face29, path, f"Is{ending}"), on_invalid)


def _face29(path: Path, cells: str, face: tuple[int, Array, Array]) -> Sample:
    number, label, box = face
    x, y, occluded = label.reshape(3, -1)
    points, box = np.stack([x, y], 1) - 1.0, box - np.array([1.0, 1.0, 0.0, 0.0])  # MATLAB's first pixel is 1
    return StoredSample(path, points, COFW29, box, occluded > 0.5, cells=cells, number=number)


def read_cofw68(root: Path, on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read the 507 test faces with the 68 points, the occlusion and the boxes of COFW-68.

    Args:
        root: the folder with COFW_test_color.mat and COFW68_Data.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: as read_cofw.
    """
    path, folder = root / TEST_FILE, root / "COFW68_Data"
    (cells,) = read_variables(path, "IsT")
    _references(path, "IsT", cells)
    (boxes,) = read_variables(boxes_path := folder / "cofw68_test_bboxes.mat", "bboxes")
    boxes = as_numbers(boxes_path, "bboxes", boxes, (-1, 4))
    labels = [folder / f"test_annotations/{i}_points.mat" for i in range(1, len(cells) + 1)]
    _expect_pairs(folder, cells, boxes)
    labels += sorted({*folder.glob("test_annotations/*_points.mat")} - {*labels})
    contents = read_files(labels, "Points", "Occ")
    faces = zip_longest(labels, contents, boxes)
    return collect(folder, [(str(f[0]), (i, *f)) for i, f in enumerate(faces, 1)], partial(_face68, path), on_invalid)


def _face68(path: Path, face: tuple[int, Path, Variables | DatasetError, Array | None]) -> Sample:
    number, label, content, box = face
    if box is None:
        raise DatasetError(f"expected labels of a picture of {path.name} only, it has none of that number")
    if isinstance(content, DatasetError):
        raise content
    points = as_numbers(label, "Points", content[0], (-1, 2))
    occluded = as_numbers(label, "Occ", content[1].reshape(-1), (-1,))
    box = box - np.array([1.0, 1.0, 0.0, 0.0])
    return StoredSample(path, points - 1.0, IBUG68, box, occluded > 0, cells="IsT", number=number)


def _references(path: Path, name: str, cells: NDArray[Any]) -> NDArray[Any]:
    """Return the cells with pictures; raise DatasetError if the variable is not a column of references."""
    if cells.shape != (cells.size, 1) or any(cell is not None for cell in cells.ravel()):
        raise DatasetError(
            f"{path}: expected {name} to be a column of cells with pictures, got {cells.dtype} of shape {cells.shape}"
        )
    return cells


def _expect_pairs(path: Path, *variables: NDArray[Any]) -> None:
    counts = [len(variable) for variable in variables]
    if len(set(counts)) != 1:
        raise DatasetError(f"{path}: expected as many labels and boxes as pictures, got the counts {counts}")
