"""Where the faces to train on come from: one class for each data set, made from a configuration."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tracker.datasets import folder, star_tsv
from tracker.datasets.collect import OnInvalid
from tracker.datasets.registry import SETS, LabelledSet, set_named
from tracker.datasets.sample import DatasetError, Sample
from tracker.datasets.w300 import TestSplit

Faces = list[Sample]
VALIDATION_SHARE = 1 / 14
NONE: Literal["none"] = "none"
REPORT: Literal["test-for-reporting-only"] = "test-for-reporting-only"
Validation = float | Literal["none", "test-for-reporting-only"]
"""Where the faces come from that weights are chosen by.

a number between 0 and 1: that share of the pictures is held back from training.
none: all faces are trained on, as in the papers, and nothing is chosen: the last weights are the result.
test-for-reporting-only: all faces are trained on; the error on the test faces is reported while it learns. Nothing may
be chosen by it.
"""


def split(samples: Faces, key: Callable[[Sample], str], share: float = VALIDATION_SHARE) -> tuple[Faces, Faces]:
    """Split faces into those to train on and those to choose weights by.

    Faces with the same key fall on the same side, everywhere and always. The side follows from a hash of the key: a
    number from 0 to 1, and those below share are held back. If that leaves a side without a face, as in small sets, the
    key with the least number is held back, or the one with the largest is trained on.

    Args:
        samples: the faces.
        key: of a face.
        share: of the keys that is held back.

    Returns:
        The faces to train on, and those held back.

    Raises:
        DatasetError: for a share that is not between 0 and 1, and for faces that all have the same key.
    """
    if not 0 < share < 1:
        raise DatasetError(
            f"data.source.validation: expected a share between 0 and 1, such as 0.07, or {NONE}, got {share:g}"
        )
    draws = {name: _number(name) for name in map(key, samples)}
    if len(draws) < 2:
        raise DatasetError(
            f"{samples[0].picture}: expected at least 2 pictures, to hold one back for validation, found the faces of "
            f"1; add pictures, or set data.source.validation to {NONE} or to another set"
        )
    least, largest = sorted(draws.values())[:: len(draws) - 1]
    sides: tuple[Faces, Faces] = ([], [])
    for sample in samples:
        draw = draws[key(sample)]
        sides[draw == least or (draw < share and draw != largest)].append(sample)
    return sides


def _number(key: str) -> float:
    """Return a number from 0 to 1, the same for a text everywhere and always."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()  # names of files may be no UTF-8
    return int.from_bytes(digest[:8], "big") / 2**64


class Source(ABC):
    """A data set to train on: its official training faces, among which there is no test face, and its test faces.

    Attributes:
        on_invalid: whether to refuse or skip invalid faces.
        validation: where the faces come from that weights are chosen by.
    """

    on_invalid: OnInvalid
    validation: Validation | Path

    @abstractmethod
    def labelled(self) -> Faces:
        """Return all official training faces; raise DatasetError for data that are not as expected."""

    @abstractmethod
    def test(self) -> Faces:
        """Return the faces to report on, and for nothing else, with their subsets; raise DatasetError likewise."""

    def key(self, sample: Sample) -> str:
        """Return what a face has in common with those that must stay on its side: the picture's name."""
        return sample.picture.name

    def trained_on(self) -> Faces:
        """Return training faces to validate with where none is held back, whose errors come out too small."""
        return split(self.labelled(), self.key)[1]

    def read_validation(self, path: Path) -> Faces:
        """Return the faces of a set of one's own to validate with; raise DatasetError if the data set takes none."""
        raise DatasetError(f"data.source.validation: expected a share, {NONE} or {REPORT}, got {path}")

    @property
    def chooses(self) -> bool:
        """Whether weights may be chosen by the validation error."""
        return self.validation not in (NONE, REPORT)

    def faces(self) -> tuple[Faces, Faces]:
        """Return the faces to train on, and those to validate with, which may be none.

        Raises:
            DatasetError: as labelled, and for a validation that is not understood.
        """
        training = self.labelled()
        if self.validation == NONE:
            return training, []
        if self.validation == REPORT:
            return training, self.test()
        if self.validation is None:  # jsonargparse takes null for any path
            raise DatasetError(f"data.source.validation: expected a share, {NONE}, {REPORT} or another set, got null")
        if isinstance(self.validation, (int, float)):
            return split(training, self.key, self.validation)
        return training, _apart(training, self.read_validation(Path(self.validation)))


def _apart(training: Faces, others: Faces) -> Faces:
    """Return the others; raise DatasetError if a picture is among the training faces, too."""
    pictures = {os.path.realpath(sample.picture) for sample in training}
    for sample in others:
        if os.path.realpath(sample.picture) in pictures:
            raise DatasetError(f"{sample.picture}: expected other pictures to validate with than to train on")
    return others


@dataclass
class Official(Source):
    """A public data set of tracker.datasets.registry, with its official training and test faces.

    Args:
        root: the folder of the set.
        on_invalid: whether to refuse or skip invalid faces.
        validation: where the faces come from that weights are chosen by.
    """

    root: Path
    on_invalid: OnInvalid = "refuse"
    validation: Validation = VALIDATION_SHARE

    @property
    @abstractmethod
    def known(self) -> LabelledSet:
        """Its readers and splits."""

    def labelled(self) -> Faces:
        """See Source."""
        if self.known.training is None:
            raise DatasetError(f"{self.known.title} has no training faces: train on another data.source, such as 300W")
        return self.known.splits[self.known.training](self.root, self.on_invalid)

    def test(self) -> Faces:
        """See Source."""
        if self.known.test is None:
            raise DatasetError(
                f"{self.known.title} has no test faces: test with another data.source, such as 300W's private set"
            )
        return self.known.splits[self.known.test](self.root, self.on_invalid)

    def key(self, sample: Sample) -> str:
        """See Source."""
        return self.known.key(self.root, sample)


@dataclass
class Registered(Official):
    """A data set by its name in tracker.datasets.registry.

    Args:
        name: of the data set, such as wflw.
        root: its folder.
    """

    name: str = field(kw_only=True)

    @property
    def known(self) -> LabelledSet:
        """See Official."""
        return set_named(self.name)


@dataclass
class W300(Official):
    """300W.

    Args:
        root: the folder with afw, helen and lfpw, and ibug to test on the full set.
        test_split: which faces are tested.
        test_root: the folder of the faces that are tested, root if None; the private set has one of its own.
        training: "official", the 3,148 faces; "split_one", the 3,837 with the full test set, for the private set.
    """

    test_split: TestSplit = "full"
    test_root: Path | None = None
    training: Literal["official", "split_one"] = "official"
    known = SETS["300w"]

    def labelled(self) -> Faces:
        """See Source."""
        if self.training == "official":
            return super().labelled()
        if self.test_split != "private":
            raise DatasetError(
                "data.source.training: split_one trains on the full test set; expected data.source.test_split to be "
                f"private, got {self.test_split}"
            )
        return self.known.splits["split-one"](self.root, self.on_invalid)

    def test(self) -> Faces:
        """See Source."""
        return self.known.splits[self.test_split](self.test_root or self.root, self.on_invalid)


@dataclass
class W300Lp(Official):
    """300W-LP, to begin a training with. It has no test faces.

    Args:
        root: the folder with AFW, HELEN, IBUG, LFPW and landmarks.
    """

    known = SETS["300w-lp"]


@dataclass
class Menpo(Official):
    """Menpo 2D's near-frontal faces, of 68 points.

    Args:
        root: the folder with the training set.
        test_root: the folder with the faces that are tested.
    """

    test_root: Path | None = None
    known = SETS["menpo"]

    def test(self) -> Faces:
        """See Source."""
        return self.known.splits["all"](_given(self.test_root, "test_root"), self.on_invalid)


@dataclass
class Wflw(Official):
    """WFLW. Faces of one picture stay together.

    Args:
        root: the folder with WFLW_annotations and WFLW_images.
    """

    known = SETS["wflw"]


@dataclass
class Cofw(Official):
    """COFW.

    Args:
        root: the folder with COFW_train_color.mat and COFW_test_color.mat.
    """

    known = SETS["cofw"]


@dataclass
class Cofw68(Official):
    """COFW's test faces with 68 points, to test a net of 300W on.

    Args:
        root: the folder with COFW_test_color.mat and COFW68_Data.
    """

    known = SETS["cofw68"]


@dataclass
class Video300(Official):
    """300VW. The frames of one clip stay together.

    Args:
        root: the folder of the clips.
    """

    known = SETS["300vw"]


@dataclass
class Aflw19(Official):
    """AFLW with 19 points.

    Args:
        root: the folder with AFLWinfo_release.mat and flickr.
    """

    known = SETS["aflw19"]


@dataclass
class CustomDataset(Source):
    """Faces of your own.

    Args:
        path: a folder of pictures with .pts files, or a .csv table (tracker.datasets.folder).
        scheme: name of the landmark scheme.
        test_path: another one, to test on.
        on_invalid: whether to refuse or skip invalid faces.
        validation: where the faces come from that weights are chosen by; may be another folder or table, too.
    """

    path: Path
    scheme: str
    test_path: Path | None = None
    on_invalid: OnInvalid = "refuse"
    validation: Validation | Path = VALIDATION_SHARE

    def labelled(self) -> Faces:
        """See Source."""
        return folder.read_custom(self.path, self.scheme, self.on_invalid)

    def read_validation(self, path: Path) -> Faces:
        """See Source."""
        return folder.read_custom(path, self.scheme, self.on_invalid)

    def test(self) -> Faces:
        """See Source."""
        return folder.read_custom(_given(self.test_path), self.scheme, self.on_invalid)


@dataclass
class Combined(Source):
    """Several data sets with the same landmarks: trained on all of them, validated and tested on the first.

    Args:
        sources: the data sets, such as 300W and faces with labels by train.label. What the others say of validation is
            not read. data.mirror, which is measured for one set, is for all of them.

    Raises:
        DatasetError: if there is none, or if some refuse and others skip invalid faces.
    """

    sources: list[Source]

    def __post_init__(self) -> None:
        """Take what holds for all from the first."""
        if not self.sources:
            raise DatasetError("data.source.sources: expected a list of data sets, got an empty one")
        kinds = {source.on_invalid for source in self.sources}
        if len(kinds) > 1:
            raise DatasetError(
                f"data.source.sources: expected the same on_invalid of all, got {' and '.join(sorted(kinds))}"
            )
        self.on_invalid, self.validation = self.sources[0].on_invalid, self.sources[0].validation

    def labelled(self) -> Faces:
        """See Source."""
        first, *others = [source.labelled() for source in self.sources]
        return first + _alike(first, others)

    def faces(self) -> tuple[Faces, Faces]:
        """See Source."""
        training, validation = self.sources[0].faces()
        others = _alike(training, [source.labelled() for source in self.sources[1:]])
        return training + others, _apart(others, validation)

    def trained_on(self) -> Faces:
        """See Source."""
        return self.sources[0].trained_on()

    def test(self) -> Faces:
        """See Source."""
        return self.sources[0].test()


def _alike(first: Faces, others: list[Faces]) -> Faces:
    """Return the others as one list; raise DatasetError if they have other landmarks than the first."""
    for sample in (faces[0] for faces in others):
        if sample.scheme is not first[0].scheme:
            raise DatasetError(
                f"{sample.picture}: expected the landmarks of the first data set, {first[0].scheme.name}, got "
                f"{sample.scheme.name}; convert its labels, or leave the set out"
            )
    return [sample for faces in others for sample in faces]


@dataclass
class StarTable(Source):
    """One of STAR's .tsv tables.

    Args:
        path: of the table.
        pictures: the folder that its pictures are relative to.
        scheme: name of the landmark scheme.
        test_path: another table, to test on.
        on_invalid: whether to refuse or skip invalid faces.
        validation: where the faces come from that weights are chosen by; may be another table, too.
    """

    path: Path
    pictures: Path
    scheme: str
    test_path: Path | None = None
    on_invalid: OnInvalid = "refuse"
    validation: Validation | Path = VALIDATION_SHARE

    def labelled(self) -> Faces:
        """See Source."""
        return star_tsv.read_star_tsv(self.path, self.pictures, self.scheme, self.on_invalid)

    def read_validation(self, path: Path) -> Faces:
        """See Source."""
        return star_tsv.read_star_tsv(path, self.pictures, self.scheme, self.on_invalid)

    def test(self) -> Faces:
        """See Source."""
        return star_tsv.read_star_tsv(_given(self.test_path), self.pictures, self.scheme, self.on_invalid)


def _given(path: Path | None, option: str = "test_path") -> Path:
    if path is None:
        raise DatasetError(f"there is nothing to test on: give data.source.{option}")
    return path
