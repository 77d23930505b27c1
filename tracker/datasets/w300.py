"""300W in its official layout (Sagonas et al., ICCVW 2013): folders of NAME.jpg beside NAME.pts.

The labels are for research only, and so are models trained on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tracker.datasets.collect import Invalid, expect_folders
from tracker.datasets.folder import read_pairs
from tracker.datasets.sample import Sample
from tracker.face.schemes import IBUG68

TRAINING = ("afw", "helen/trainset", "lfpw/trainset")
_TRAINING = dict.fromkeys(TRAINING, "")
_HELEN, _LFPW, _IBUG = {"helen/testset": "common"}, {"lfpw/testset": "common"}, {"ibug": "challenging"}
TestSplit = Literal["common", "challenging", "full", "private", "lfpw"]
Split = Literal[
    "lfpw-test",
    "helen-test",
    TestSplit,
    "afw",
    "lfpw-train",
    "helen-train",
    "train",
    "split-one",
]
SPLITS: Mapping[Split, Mapping[str, str]] = {
    "lfpw-test": _LFPW,
    "helen-test": _HELEN,
    "common": {**_HELEN, **_LFPW},
    "challenging": _IBUG,
    "full": {**_HELEN, **_LFPW, **_IBUG},
    "private": {"01_Indoor": "indoor", "02_Outdoor": "outdoor"},
    "lfpw": _LFPW,
    "afw": {"afw": ""},
    "lfpw-train": {"lfpw/trainset": ""},
    "helen-train": {"helen/trainset": ""},
    "train": _TRAINING,
    "split-one": {**_TRAINING, **_HELEN, **_LFPW, **_IBUG},
}
"""The folders of each split, and the subset of their faces; "" for none. The 3,837 faces of split-one are the official
training faces and the full test set; the private set is tested on then (Bulat et al., BMVC 2021, appendix A)."""


def read_folder(folder: Path, on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read the faces of one folder; raise DatasetError as `tracker.datasets.collect.collect`."""
    return read_pairs(folder, IBUG68, on_invalid)


def read_split(root: Path, split: Split, on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read a split; the subset of each test face is common, challenging, indoor or outdoor.

    Args:
        root: the folder with afw, helen, lfpw and ibug; for private, the one with 01_Indoor and 02_Outdoor.
        split: train (3,148 faces), common (554), challenging (135), full (both), private, the challenge's own (600),
            or another of SPLITS.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: if folders are missing, and as `tracker.datasets.collect.collect`.
    """
    folders = SPLITS[split]
    expect_folders(root, folders, f"the 300W folders {', '.join(folders)}")
    return [
        sample
        for name, subset in folders.items()
        for sample in read_pairs(root / name, IBUG68, on_invalid, frozenset({subset} - {""}))
    ]


def person(root: Path, sample: Sample) -> str:
    """Return the folder and name of a training picture, without the number of the face that AFW appends.

    Args:
        root: the folder with afw, helen and lfpw.
        sample: a training face.
    """
    picture = sample.picture.relative_to(root)
    return f"{picture.parent.as_posix()}/{re.sub(r'_[0-9]{1,2}$', '', picture.stem)}"
