"""The public labelled data sets by name: their readers, splits and folders, for training and evaluation alike.

To add one, write its reader and an entry in SETS. Evaluation then knows it as --dataset NAME, training as
train.datasets.Registered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from tracker.cli.suggestions import suggest
from tracker.datasets import aflw, cofw, menpo, video300, w300, w300_lp, wflw
from tracker.datasets.collect import Invalid
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.schemes import COFW29, IBUG68, WFLW98, Scheme, scheme_named

Reader = Callable[[Path, Invalid], list[Sample]]
"""Reads the faces of a split from the root of a data set; raises DatasetError as tracker.datasets.collect.collect."""
StillsName = Literal["300w", "300w-lp", "menpo", "wflw", "cofw", "cofw68", "aflw19"]
Name = Literal[StillsName, "300vw"]


def by_picture(root: Path, sample: Sample) -> str:
    """Return the name of a face's picture; the faces of one picture have the same."""
    return sample.picture.name


def by_stored_picture(root: Path, sample: Sample) -> str:
    """Return the name of a picture that is stored with others in one file."""
    return sample.name.rpartition("/")[2]


@dataclass(frozen=True)
class LabelledSet:
    """A public labelled data set.

    Attributes:
        title: its name in texts.
        layout: what its root holds, in words.
        scheme: of its labels.
        splits: the reader of each split, by the names that papers use.
        training: the split of the official training faces; None if there is none.
        test: the split that is tested if no other is chosen; None if there is none.
        key: a text that faces share if they must stay on one side when training faces are held back for validation.
        folders: of root, by split, for sets that lie in folders of NAME.jpg beside NAME.pts.
    """

    title: str
    layout: str
    scheme: Scheme
    splits: Mapping[str, Reader]
    training: str | None = "train"
    test: str | None = "test"
    key: Callable[[Path, Sample], str] = by_picture
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _halves(read: Callable[[Path, Literal["train", "test"], Invalid], list[Sample]]) -> Mapping[str, Reader]:
    """Return the splits of a set whose reader takes train or test."""
    return {"train": partial(_split, read, "train"), "test": partial(_split, read, "test")}


def _split(
    read: Callable[[Path, Literal["train", "test"], Invalid], list[Sample]],
    split: Literal["train", "test"],
    root: Path,
    on_invalid: Invalid,
) -> list[Sample]:
    return read(root, split, on_invalid)


def _w300(split: w300.Split, root: Path, on_invalid: Invalid) -> list[Sample]:
    return w300.read_split(root, split, on_invalid)


def _clips(split: video300.VideoSplit, root: Path, on_invalid: Invalid) -> list[Sample]:
    return [f for category in video300.SPLITS[split] for f in video300.read_300vw(root, category, on_invalid)]


SETS: Mapping[Name, LabelledSet] = {
    "300w": LabelledSet(
        "300W",
        "afw, helen, ibug and lfpw; for the private set 01_Indoor and 02_Outdoor",
        IBUG68,
        {split: partial(_w300, split) for split in w300.SPLITS},
        test="full",
        key=w300.person,
        folders={split: tuple(folders) for split, folders in w300.SPLITS.items()},
    ),
    "300w-lp": LabelledSet(
        "300W-LP",
        "AFW, HELEN, IBUG, LFPW and landmarks",
        IBUG68,
        {"train": w300_lp.read_300w_lp},
        test=None,
        key=w300_lp.original,
    ),
    "menpo": LabelledSet(
        "Menpo", "the pictures and .pts files", IBUG68, {"all": menpo.read_menpo}, training="all", test="all"
    ),
    "wflw": LabelledSet("WFLW", "WFLW_annotations and WFLW_images", WFLW98, _halves(wflw.read_wflw)),
    "cofw": LabelledSet(
        "COFW",
        "COFW_train_color.mat and COFW_test_color.mat",
        COFW29,
        _halves(cofw.read_cofw),
        key=by_stored_picture,
    ),
    "cofw68": LabelledSet(
        "COFW-68",
        "COFW_test_color.mat and COFW68_Data",
        IBUG68,
        {"test": cofw.read_cofw68},
        training=None,
        key=by_stored_picture,
    ),
    "aflw19": LabelledSet("AFLW", "AFLWinfo_release.mat and flickr", scheme_named("aflw19"), _halves(aflw.read_aflw19)),
    "300vw": LabelledSet(
        "300VW",
        "the folders of the clips",
        IBUG68,
        {split: partial(_clips, split) for split in video300.SPLITS},
        test="full",
        key=video300.clip_of,
    ),
}


def set_named(name: str) -> LabelledSet:
    """Return the data set of a name; raise DatasetError naming the known ones if there is none."""
    for known, found in SETS.items():
        if known == name:
            return found
    raise DatasetError(f"expected the name of a data set, one of {', '.join(SETS)}, got {name}{suggest(name, SETS)}")
