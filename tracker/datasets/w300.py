"""300W in its official layout (Sagonas et al., ICCVW 2013): folders of NAME.jpg beside NAME.pts.

The labels are for research only, and so are models trained on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tracker.datasets.collect import OnInvalid, expect_folders
from tracker.datasets.folder import read_pairs
from tracker.datasets.sample import Sample
from tracker.face.schemes import IBUG68

Split = Literal["common", "challenging", "full", "private", "lfpw"]
TRAINING = ("afw", "helen/trainset", "lfpw/trainset")
COMMON = ("helen/testset", "lfpw/testset")
CHALLENGING = ("ibug",)
_COMMON = dict.fromkeys(COMMON, "common")
_CHALLENGING = dict.fromkeys(CHALLENGING, "challenging")
TEST_FOLDERS: Mapping[Split, Mapping[str, str]] = {
    "common": _COMMON,
    "challenging": _CHALLENGING,
    "full": {**_COMMON, **_CHALLENGING},
    "private": {"01_Indoor": "indoor", "02_Outdoor": "outdoor"},
    "lfpw": {"lfpw/testset": "common"},
}
"""The folders of each test set, and the subset of their faces."""


def read_folder(folder: Path, on_invalid: OnInvalid = "refuse") -> list[Sample]:
    """Read the faces of one folder; raise DatasetError as `tracker.datasets.collect.collect`."""
    return read_pairs(folder, IBUG68, on_invalid)


def read_training(root: Path, on_invalid: OnInvalid = "refuse") -> list[Sample]:
    """Read the official training faces.

    Args:
        root: the folder with afw, helen and lfpw.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: if folders are missing, and as `tracker.datasets.collect.collect`.
    """
    expect_folders(root, TRAINING, f"the 300W folders {', '.join(TRAINING)}")
    return [sample for name in TRAINING for sample in read_folder(root / name, on_invalid)]


def read_split_one(root: Path, on_invalid: OnInvalid = "refuse") -> list[Sample]:
    """Read the 3,837 training faces of split I: the official training faces and the full test set.

    The private set (600) is the test set. Source: Bulat et al., BMVC 2021, appendix A. Raises DatasetError as
    read_training.
    """
    return read_training(root, on_invalid) + read_test(root, "full", on_invalid)


def person(root: Path, sample: Sample) -> str:
    """Return the folder and name of a training picture, without the number of the face that AFW appends.

    Args:
        root: as in read_training.
        sample: a training face.
    """
    picture = sample.picture.relative_to(root)
    return f"{picture.parent.as_posix()}/{re.sub(r'_[0-9]{1,2}$', '', picture.stem)}"


def read_test(root: Path, split: Split, on_invalid: OnInvalid = "refuse") -> list[Sample]:
    """Read a test set; the subset of each face is common, challenging, indoor or outdoor.

    Args:
        root: the folder with helen, lfpw and ibug; for private, the one with 01_Indoor and 02_Outdoor.
        split: common (554 faces), challenging (135), full (both), private, the challenge's own (600), or lfpw, LFPW's
            part of common (224).
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: as read_training.
    """
    folders = TEST_FOLDERS[split]
    expect_folders(root, folders, f"the 300W folders {', '.join(folders)}")
    return [
        sample
        for name, subset in folders.items()
        for sample in read_pairs(root / name, IBUG68, on_invalid, frozenset({subset}))
    ]
