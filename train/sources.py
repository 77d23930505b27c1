"""Where the faces to train on come from: one class for each data set, made from a configuration."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker.face.video300 import Category
from train.datasets import aflw, cofw, folder, star_tsv, video300, w300, wflw
from train.datasets.collect import Bad
from train.datasets.sample import DatasetError, Sample

Faces = list[Sample]
VALIDATION_SHARE = 1 / 14


def split(samples: Faces, key: Callable[[Sample], str]) -> tuple[Faces, Faces]:
    """Faces to train on and faces to choose by; those with the same key fall on the same side, everywhere and always.

    The side follows from a hash of the key, VALIDATION_SHARE of which are held back.
    """
    sides: tuple[Faces, Faces] = ([], [])
    for sample in samples:
        draw = int.from_bytes(hashlib.sha256(key(sample).encode()).digest()[:8], "big") / 2**64
        sides[draw < VALIDATION_SHARE].append(sample)
    return sides


class Source(ABC):
    """A data set's official training faces. No test face is among them. bad: what becomes of bad faces."""

    bad: Bad

    @abstractmethod
    def faces(self) -> tuple[Faces, Faces]:
        """To train on, and to choose by. Raises DatasetError for data that are not as expected."""

    @abstractmethod
    def test(self) -> Faces:
        """To report on, and for nothing else; filed under their subsets. Raises DatasetError likewise."""


@dataclass
class W300(Source):
    """300W: root holds afw, helen and lfpw, and ibug to test on the full set. test_split: which faces are tested."""

    root: Path
    test_split: w300.Split = "full"
    bad: Bad = "refuse"

    def faces(self) -> tuple[Faces, Faces]:
        return split(w300.read_training(self.root, self.bad), lambda sample: w300.person(self.root, sample))

    def test(self) -> Faces:
        return w300.read_test(self.root, self.test_split, self.bad)


@dataclass
class Wflw(Source):
    """WFLW: root holds WFLW_annotations and WFLW_images. Faces of one picture stay together."""

    root: Path
    bad: Bad = "refuse"

    def faces(self) -> tuple[Faces, Faces]:
        return split(wflw.read_wflw(self.root, "train", self.bad), lambda sample: sample.picture.name)

    def test(self) -> Faces:
        return wflw.read_wflw(self.root, "test", self.bad)


@dataclass
class Cofw(Source):
    """COFW: root holds COFW_train_color.mat and COFW_test_color.mat."""

    root: Path
    bad: Bad = "refuse"

    def faces(self) -> tuple[Faces, Faces]:
        return split(cofw.read_cofw(self.root, "train", self.bad), lambda sample: sample.name.rpartition("/")[2])

    def test(self) -> Faces:
        return cofw.read_cofw(self.root, "test", self.bad)


@dataclass
class Video300(Source):
    """300VW: root holds the clips' folders. The frames of one clip stay together."""

    root: Path
    bad: Bad = "refuse"

    def faces(self) -> tuple[Faces, Faces]:
        return split(video300.read_300vw(self.root, "train", bad=self.bad), lambda sample: min(sample.subsets))

    def test(self) -> Faces:
        categories: tuple[Category, ...] = ("A", "B", "C")
        return [f for c in categories for f in video300.read_300vw(self.root, c, self.bad)]


@dataclass
class Aflw19(Source):
    """AFLW with 19 points: root holds AFLWinfo_release.mat and flickr."""

    root: Path
    bad: Bad = "refuse"

    def faces(self) -> tuple[Faces, Faces]:
        return split(aflw.read_aflw19(self.root, "train", self.bad), lambda sample: sample.picture.name)

    def test(self) -> Faces:
        return aflw.read_aflw19(self.root, "test", self.bad)


@dataclass
class Own(Source):
    """Your own: a folder of pictures with .pts files, or a .csv table (train.datasets.folder), of a known scheme.

    test_path: another one, to test on.
    """

    path: Path
    scheme: str
    test_path: Path | None = None
    bad: Bad = "refuse"

    def faces(self) -> tuple[Faces, Faces]:
        return split(folder.read_own(self.path, self.scheme, self.bad), lambda sample: sample.picture.name)

    def test(self) -> Faces:
        return folder.read_own(_given(self.test_path), self.scheme, self.bad)


@dataclass
class StarTable(Source):
    """One of STAR's .tsv tables, the folder that its pictures are relative to, and test_path: another table."""

    path: Path
    pictures: Path
    scheme: str
    test_path: Path | None = None
    bad: Bad = "refuse"

    def faces(self) -> tuple[Faces, Faces]:
        samples = star_tsv.read_star_tsv(self.path, self.pictures, self.scheme, self.bad)
        return split(samples, lambda sample: sample.picture.name)

    def test(self) -> Faces:
        return star_tsv.read_star_tsv(_given(self.test_path), self.pictures, self.scheme, self.bad)


def _given(path: Path | None) -> Path:
    if path is None:
        raise DatasetError("there is nothing to test on: give data.source.test_path")
    return path
