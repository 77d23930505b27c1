"""Labelled pictures for the evaluation: a data set of the registry, or a custom folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker.datasets.collect import Invalid, WrongCount
from tracker.datasets.folder import read_pairs
from tracker.datasets.pts_files import labelled_pictures
from tracker.datasets.registry import SETS, LabelledSet, StillsName
from tracker.datasets.sample import DatasetError, Sample
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.pts import expect_near
from tracker.face.schemes import IBUG68, Scheme
from tracker.metrics.nme import normaliser

Dataset = Literal[StillsName, "folder"]


def set_of(dataset: Dataset, scheme: Scheme = IBUG68) -> LabelledSet:
    """Return the data set of that name.

    Args:
        dataset: its name, or "folder" for a folder of NAME.jpg beside NAME.pts.
        scheme: of the labels in a folder.
    """
    if dataset == "folder":

        def read(root: Path, on_invalid: Invalid) -> list[Sample]:
            return read_pairs(root, scheme, on_invalid)

        layout = "pictures beside .pts files"
        return LabelledSet("folder", layout, scheme, {"all": read}, "all", "all", folders={"all": ("",)})
    return SETS[dataset]


def labelled_faces(
    dataset: Dataset,
    root: Path,
    split: str | None = None,
    scheme: Scheme = IBUG68,
    invalid: list[DatasetError] | None = None,
) -> list[Sample]:
    """Read the labelled faces of a split.

    Args:
        dataset: the name of a data set, or "folder" for the one folder root.
        root: the folder.
        split: of the data set; None for the one that papers test on.
        scheme: of the labels in a folder.
        invalid: gets what is wrong with invalid labels; None if they are to be refused.

    Raises:
        TrackerError: if a folder is missing or has no labelled pictures, for another number of labels than the scheme's
            in a folder, and for a label that is refused.
    """
    known = set_of(dataset, scheme)
    split = split or known.test or known.training or ""
    folders = [root / part for part in known.folders.get(split, ())]
    missing = [str(folder) for folder in folders if not os.path.isdir(folder)]
    if missing:
        what = f"--dataset {dataset}" if dataset == "folder" else f"--split {split} of {dataset}"
        there = [name for name, parts in known.folders.items() if all(os.path.isdir(root / part) for part in parts)]
        other = f", or choose a --split whose folders are there: {', '.join(there)}" if there else ""
        raise TrackerError(f"{what} needs folders that do not exist: {', '.join(missing)}; correct --root{other}")
    try:
        for folder in folders:
            labelled_pictures(folder)
    except ValueError as error:
        raise TrackerError(f"{error}; each face is a NAME.jpg beside its NAME.pts") from None
    found: list[DatasetError] = []
    try:
        samples = known.splits[split](root, found)
    except DatasetError as error:
        raise TrackerError(f"{error}; --root of {dataset} holds {known.layout}") from None
    for each in found:
        if dataset == "folder" and isinstance(each, WrongCount):
            raise TrackerError(
                f"{each.label}: expected the {scheme.count} points of {scheme.name}, got {each.found}; give the "
                "labels' scheme with --scheme"
            )
    if invalid is None and found:
        raise TrackerError(str(found[0]))
    if invalid is not None:
        invalid += found
    return samples


def name_in(root: Path, sample: Sample) -> str:
    """Return a face's name for reports, which is unique in its set.

    Args:
        root: of the set.
        sample: the face.
    """
    if sample.label is not None:
        return sample.label.relative_to(root).with_suffix("").as_posix()
    return sample.name.removeprefix(f"{root}{os.sep}")


def read_face(sample: Sample) -> tuple[NDArray[np.uint8], Array]:
    """Read the picture of a face, and check that its labels can be compared with landmarks.

    Args:
        sample: the face.

    Returns:
        The picture (H, W, 3) RGB, and the labels (K, 2) in its pixels, pixel centres at integers.

    Raises:
        ValueError: if the picture is damaged, if the labels are not near it, or if they have no length that errors can
            be divided by.
    """
    label, points = sample.label or sample.name, sample.points_px
    try:
        expect_lengths(points, sample.scheme)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
    image_rgb = sample.read_image()
    try:
        expect_near(points, image_rgb.shape[1], image_rgb.shape[0])
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
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
