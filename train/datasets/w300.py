"""300W in its official layout (Sagonas et al., ICCVW 2013): folders of NAME.jpg beside NAME.pts.

The labels are for research only; so is what is trained on them.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tracker.face.pts import labelled_pictures, read_pts
from tracker.face.schemes import IBUG68
from train.datasets.sample import DatasetError, Sample

TRAIN_FOLDERS = ("afw", "helen/trainset", "lfpw/trainset")
VALIDATION_SHARE = 1 / 14


def read_folder(folder: Path) -> list[Sample]:
    """The faces of one folder. Raises DatasetError naming a label that is broken or has not 68 points."""
    try:
        samples = [Sample(picture, read_pts(label), IBUG68) for picture, label in labelled_pictures(folder)]
    except ValueError as error:
        raise DatasetError(str(error)) from None
    for sample in samples:
        if len(sample.points_px) != IBUG68.count:
            label = sample.picture.with_suffix(".pts")
            raise DatasetError(f"{label}: expected 68 points, got {len(sample.points_px)}")
    return samples


def read_training(root: Path) -> tuple[list[Sample], list[Sample]]:
    """The official training faces, split into those to train on and those to choose by.

    The split is by a hash of the picture's name, so it is the same everywhere and all faces of one AFW picture
    (NAME_1, NAME_2) fall on the same side. No test face is in either. Raises DatasetError naming missing folders.
    """
    missing = [name for name in TRAIN_FOLDERS if not (root / name).is_dir()]
    if missing:
        raise DatasetError(
            f"{root}: expected the 300W folders {', '.join(TRAIN_FOLDERS)}; missing: {', '.join(missing)}"
        )
    training: list[Sample] = []
    validation: list[Sample] = []
    for name in TRAIN_FOLDERS:
        for sample in read_folder(root / name):
            (validation if _held_back(name, sample.picture) else training).append(sample)
    return training, validation


def _held_back(folder: str, picture: Path) -> bool:
    source = f"{folder}/{re.sub(r'_[0-9]{1,2}$', '', picture.stem)}"
    draw = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big") / 2**64
    return draw < VALIDATION_SHARE
