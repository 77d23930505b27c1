"""Labelled videos for the evaluation: 300VW in its official folders, and FGNET's talking face."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tracker.datasets.pts_files import PICTURE_SUFFIXES, read_pts
from tracker.datasets.video300 import CLIPS, POINTS, SPLITS, VideoSplit, excluded_frames
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.pts import expect_near
from tracker.face.schemes import IBUG68, Scheme
from tracker.metrics.nme import normaliser
from tracker.sources import Frame, open_source, read_picture

log = logging.getLogger(__name__)

VideoDataset = Literal["300vw", "talking-face"]
EXTRACTED_FPS = 25.0  # for extracted frames without the video

# iBUG's index by FGNET's, for the points that both have.
_FGNET = {27: 36, 29: 39, 34: 42, 32: 45, **{lip: lip for lip in range(48, 60)}, 7: 8, 67: 30}


class Truth(NamedTuple):
    """The label of a frame.

    Attributes:
        points_px: (K, 2) in the order of the labelling's scheme; NaN for points that the data set does not have.
        labels_px: (N, 2) all labelled points; their extent is the face's box.
    """

    points_px: Array
    labels_px: Array


@dataclass(frozen=True)
class Labelling:
    """How the labels of a data set relate to a scheme with as many points.

    Attributes:
        indices: the scheme's index of each point that is compared, by its index in the data set.
        sets: groups of the scheme's indices to report, by their size, the largest first.
        scheme: of the labels.
    """

    indices: Mapping[int, int]
    sets: Mapping[int, tuple[int, ...]]
    scheme: Scheme = IBUG68

    def read(self, path: Path, shape: tuple[int, ...]) -> Truth:
        """Read the label of a frame.

        Args:
            path: of the .pts file.
            shape: (H, W, ...) of the frame.

        Raises:
            ValueError: if the label is damaged, or does not fit the frame.
            OSError: if it cannot be read.
        """
        labels = read_pts(path)
        if len(labels) != self.scheme.count:
            raise ValueError(f"{path}: expected {self.scheme.count} points, got {len(labels)}")
        try:
            expect_near(labels, shape[1], shape[0])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        points = np.full((self.scheme.count, 2), np.nan)
        points[list(self.indices.values())] = labels[list(self.indices)]
        if normaliser(points, self.scheme) == 0:
            raise ValueError(f"{path}: its outer eye corners are in one place, so the error cannot be normalised")
        return Truth(points, labels)


LABELLINGS: Mapping[VideoDataset, Labelling] = {
    "300vw": Labelling({index: index for index in range(68)}, POINTS),
    "talking-face": Labelling(_FGNET, {len(_FGNET): tuple(sorted(_FGNET.values()))}),
}


@dataclass
class LabelledClip:
    """One video of a set: a folder with vid.avi, or its extracted frames imgs/000001.jpg, and annot/000001.pts.

    Attributes:
        name: of the clip.
        category: of the data set.
        folder: of the clip.
        labelling: of the data set.
        excluded: frames that are not compared, counted from 1 like the labels.
        fps: frames per second; known after reading.
        problems: defects of the clip; known after reading.

    Raises:
        TrackerError: if the folder has no labels.
    """

    name: str
    category: str
    folder: Path
    labelling: Labelling
    excluded: frozenset[int] = frozenset()
    fps: float = EXTRACTED_FPS
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        paths = sorted((self.folder / "annot").glob("*.pts"))
        self._labels = {int(path.stem): path for path in paths if path.stem.isdecimal()}
        if not self._labels:
            raise TrackerError(f"{self.folder}: expected labels annot/000001.pts and so on, there are none")

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self._labels)

    def read(self) -> Iterator[tuple[Frame, Truth | None]]:
        """Yield every frame in order with its label; one picture is in memory at a time.

        The label is None if there is none, if it is damaged, or if the frame is excluded. Mismatches between frames and
        labels are logged at the end and kept in problems.

        Raises:
            TrackerError: if the video is missing or cannot be decoded.
        """
        self.problems.clear()
        unread, unlabelled, broken = set(self._labels), list[int](), list[str]()
        for number, frame in self._frames():
            unread.discard(number)
            truth = None
            if number not in self._labels:
                unlabelled.append(number)
            elif number not in self.excluded:
                try:
                    truth = self.labelling.read(self._labels[number], frame.image_rgb.shape)
                except (ValueError, OSError) as error:
                    broken.append(str(error))
            yield frame, truth
        self._report("labels have no frame that decodes", sorted(unread))
        self._report("frames have no label", unlabelled)
        self._report("labels are broken", broken)

    def _frames(self) -> Iterator[tuple[int, Frame]]:
        """Yield the frames that can be decoded, with their numbers from 1."""
        if os.path.isdir(self.folder / "imgs"):
            yield from self._extracted()
            return
        with open_source(self.folder / "vid.avi") as source:
            self.fps = source.fps or self.fps
            for frame in source:
                yield frame.index + 1, frame

    def _extracted(self) -> Iterator[tuple[int, Frame]]:
        paths = [p for p in (self.folder / "imgs").iterdir() if p.suffix.lower() in PICTURE_SUFFIXES]
        numbers = {int(path.stem): path for path in paths if path.stem.isdecimal()}
        for number, path in sorted(numbers.items()):
            image_rgb = read_picture(path)
            if image_rgb is not None:
                yield number, Frame(image_rgb, (number - 1) / self.fps, number - 1)

    def _report(self, what: str, which: Sequence[object]) -> None:
        if which:
            self.problems.append(f"{len(which)} {what}, the first: {which[0]}")
            log.warning("clip %s: %s", self.name, self.problems[-1])


def labelled_clips(
    dataset: VideoDataset, root: Path, split: VideoSplit = "full"
) -> tuple[list[LabelledClip], list[str]]:
    """Find the clips of a split.

    Args:
        dataset: which set.
        root: the folder of the clips, or of the one clip of talking-face.
        split: the category of 300vw.

    Returns:
        The clips, and the names of clips of the split that are missing.

    Raises:
        TrackerError: if there is no clip, or one has no labels.
    """
    labelling = LABELLINGS[dataset]
    if dataset == "talking-face":
        return [LabelledClip(os.path.basename(os.path.realpath(root)), dataset, root, labelling)], []
    names = [(name, category) for category in SPLITS[split] for name in CLIPS[category]]
    missing = [name for name, _ in names if not os.path.isdir(root / name)]
    if len(missing) == len(names):
        raise TrackerError(
            f"{root}: expected folders of the {len(names)} clips of 300VW {split}, such as {names[0][0]}, there is "
            "none; correct --root"
        )
    left_out = excluded_frames()
    clips = [
        LabelledClip(name, category, root / name, labelling, left_out.get(name, frozenset()))
        for name, category in names
        if name not in missing
    ]
    return clips, missing
