"""WFLW in its official layout (Wu et al., CVPR 2018): WFLW_annotations and WFLW_images under one folder."""

from __future__ import annotations

from functools import partial
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np

from tracker.datasets.collect import Invalid, Row, collect, labelled_rows, numbers, read_lines
from tracker.datasets.sample import Sample
from tracker.face.schemes import WFLW98

SUBSETS = ("largepose", "expression", "illumination", "makeup", "occlusion", "blur")
"""The names in WFLW's lists of subsets, in the order of its attributes."""
LIST = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{split}.txt"
COORDINATES = 2 * WFLW98.count
NUMBERS = COORDINATES + 4 + len(SUBSETS)


def read_wflw(root: Path, split: Literal["train", "test"], on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read the 7,500 training or 2,500 test faces with their subsets.

    A line has 196 coordinates, the box x1 y1 x2 y2, six flags and the picture; several lines may have the same picture.
    Coordinates are taken unchanged, the first pixel's centre at 0, as in all public readers.

    Args:
        root: the folder with WFLW_annotations and WFLW_images.
        split: which part.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: if the list is missing, and as `tracker.datasets.collect.collect`.
    """
    path = root / LIST.format(split=split)
    lines = read_lines(path, "WFLW's list of labels")
    labels = labelled_rows(path, lines, lambda line: line.split(maxsplit=NUMBERS), -1, root / "WFLW_images")
    return collect(path, labels, partial(_face, root / "WFLW_images"), on_invalid)


def _face(pictures: Path, label: Row) -> Sample:
    (*cells, picture), face = label
    values = numbers(cells, NUMBERS)
    points, box, flags = np.split(values, [COORDINATES, COORDINATES + 4])
    box[2:] -= box[:2]
    subsets = frozenset(compress(SUBSETS, flags))
    return Sample(pictures / picture, points.reshape(-1, 2), WFLW98, box_px=box, subsets=subsets, face=face)
