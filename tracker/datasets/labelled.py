"""Labelled pictures for the evaluation: 300W in its official folders, or a custom folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker.datasets.pts_files import labelled_pictures, read_pts
from tracker.datasets.w300 import CHALLENGING, COMMON, TRAINING
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.pts import expect_near
from tracker.face.schemes import IBUG68, Scheme
from tracker.metrics.nme import normaliser
from tracker.sources import read_picture

Dataset = Literal["300w", "folder"]
Split = Literal["lfpw-test", "helen-test", "common", "challenging", "full", "afw", "lfpw-train", "helen-train", "train"]
SPLITS: dict[Split, tuple[str, ...]] = {
    "lfpw-test": ("lfpw/testset",),
    "helen-test": ("helen/testset",),
    "common": COMMON,
    "challenging": CHALLENGING,
    "full": COMMON + CHALLENGING,
    "afw": ("afw",),
    "lfpw-train": ("lfpw/trainset",),
    "helen-train": ("helen/trainset",),
    "train": TRAINING,
}
"""Folders of 300W by split, as the papers name them."""


@dataclass(frozen=True)
class LabelledFace:
    """One face of a set.

    Attributes:
        name: for reports, unique in the set.
        picture: its file.
        label: its .pts file.
        scheme: of its labels.
    """

    name: str
    picture: Path
    label: Path
    scheme: Scheme = IBUG68

    def read(self) -> tuple[NDArray[np.uint8], Array]:
        """Read the picture and its labels.

        Returns:
            The picture (H, W, 3) RGB, and the labels (K, 2) of the scheme in its pixels, pixel centres at integers.

        Raises:
            ValueError: if the picture or label is damaged.
            OSError: if one cannot be read.
            TrackerError: for another number of labels.
        """
        points = read_pts(self.label)
        if len(points) != self.scheme.count:
            raise TrackerError(
                f"{self.label}: expected the {self.scheme.count} points of {self.scheme.name}, got {len(points)}; "
                "give the labels' scheme with --scheme"
            )
        try:
            expect_lengths(points, self.scheme)
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from None
        image_rgb = read_picture(self.picture)
        if image_rgb is None:
            raise ValueError(f"{self.picture}: expected a picture, it cannot be decoded")
        try:
            expect_near(points, image_rgb.shape[1], image_rgb.shape[0])
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from None
        return image_rgb, points


def expect_lengths(points_px: Array, scheme: Scheme) -> None:
    """Check that errors can be normalised by the lengths of labels.

    Args:
        points_px: (K, 2) the labels.
        scheme: of the labels.

    Raises:
        ValueError: if one of the lengths is 0.
    """
    if min(normaliser(points_px, scheme, by) for by in ("ocular", "pupil", "box")) == 0:
        raise ValueError("its points are all in one place, so the error cannot be normalised")


def labelled_faces(dataset: Dataset, root: Path, split: Split = "full", scheme: Scheme = IBUG68) -> list[LabelledFace]:
    """Find the labelled faces of a split.

    Args:
        dataset: "300w", or "folder" for the one folder root.
        root: the folder.
        split: of 300w; a folder has none.
        scheme: of the labels in a folder.

    Raises:
        TrackerError: if a folder is missing or has no labelled pictures.
    """
    folders = [root / part for part in SPLITS[split]] if dataset == "300w" else [root]
    missing = [str(folder) for folder in folders if not os.path.isdir(folder)]
    if missing:
        what = f"--split {split} of 300w" if dataset == "300w" else f"--dataset {dataset}"
        raise TrackerError(f"{what} is read from folders that do not exist: {', '.join(missing)}; correct --root")
    try:
        pairs = [pair for folder in folders for pair in labelled_pictures(folder)]
    except ValueError as error:
        raise TrackerError(f"{error}; each face is a NAME.jpg beside its NAME.pts") from None
    return [LabelledFace(p.relative_to(root).with_suffix("").as_posix(), picture, p, scheme) for picture, p in pairs]
