"""AFLW with the 19 points of Zhu et al. (CVPR 2016): AFLWinfo_release.mat beside AFLW's pictures in flickr/."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tracker.datasets.collect import Invalid, collect, expect_scheme, face_numbers
from tracker.datasets.matlab import as_numbers, read_variables
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.geometry import Array
from tracker.face.schemes import Scheme

TRAIN_FACES = 20000
"""The number of training faces in the release's order; the other 4,386 are test faces."""


def read_aflw19(root: Path, split: Literal["train", "test"], on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read the training or test faces, in the release's order, with their boxes and the points' occlusion.

    Hidden points count as labelled, as in all public readers. Faces with all points visible are in the subset "frontal"
    (the SAN code also requires that the points lie in the box). Coordinates are taken unchanged, the first pixel's
    centre at 0, as in public readers; the release does not say whether it counts from 1.

    Args:
        root: the folder with AFLWinfo_release.mat and flickr.
        split: which part.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: if AFLWinfo_release.mat is missing or damaged, and as `tracker.datasets.collect.collect`.
    """
    path, scheme = root / "AFLWinfo_release.mat", expect_scheme("aflw19")
    data, boxes, visible, cells, order = read_variables(path, "data", "bbox", "mask_new", "nameList", "ra")
    data, boxes = as_numbers(path, "data", data, (-1, 2 * scheme.count)), as_numbers(path, "bbox", boxes, (-1, 4))
    visible = as_numbers(path, "mask_new", visible, (-1, scheme.count))
    chosen, count = as_numbers(path, "ra", order.reshape(-1), (-1,)), len(data)
    if {len(boxes), len(visible), cells.size} != {count} or {*chosen.tolist()} != {*range(1, count + 1)}:
        raise DatasetError(f"{path}: expected bbox, mask_new, nameList and an order ra of the {count} faces of data")
    pictures = [_text(path, cell) for cell in cells.ravel()]
    faces = list(zip(pictures, face_numbers(str(Path(name)) for name in pictures), data, boxes, visible))
    chosen = chosen[:TRAIN_FACES] if split == "train" else chosen[TRAIN_FACES:]
    labels = [(f"{path} face {i}", faces[i - 1]) for i in chosen.astype(int).tolist()]
    return collect(path, labels, partial(_face, root / "flickr", scheme), on_invalid)


def _text(path: Path, cell: Any) -> str:
    """Return the text in a cell of names; raise DatasetError for anything else."""
    text = cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell
    if not isinstance(text, str):
        raise DatasetError(f"{path}: expected nameList to be cells of text, got one of type {type(text).__name__}")
    return text


def _face(pictures: Path, scheme: Scheme, face: tuple[str, int, Array, Array, Array]) -> Sample:
    picture, number, data, box, visible = face
    left, right, top, bottom = box.tolist()
    return Sample(
        pictures / picture,
        data.reshape(2, -1).T,
        scheme,
        box_px=np.array([left, top, right - left, bottom - top]),
        occluded=visible == 0,
        subsets=frozenset({"frontal"} if visible.all() else ()),
        face=number,
    )
