"""Labelled frames for benchmarks.peers: clips as they were filmed, single pictures, and pictures under known motion."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks._lib.moving import MovingPicture
from benchmarks._lib.peers.process import Block, Image
from tracker.datasets.clips import LABELLINGS, LabelledClip, labelled_clips
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.datasets.sample import Sample
from tracker.datasets.video300 import POINTS
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68

BLOCK = 25
MOVING_PICTURES, MOVING_FRAMES, MOVING_SIDE = 4, 125, 640
GONE = range(60, 75)

Labelled = tuple[Image, "Array | None"]
"""A picture and its labels (68, 2), NaN for points that are not labelled; None where nothing is compared."""


@dataclass(frozen=True)
class Clip:
    """Frames that follow each other, or single pictures of one set.

    Attributes:
        name: of the clip.
        fps: frames per second.
        read: yields the frames.
    """

    name: str
    fps: float
    read: Callable[[], Iterator[Labelled]]


@dataclass(frozen=True)
class FrameSet:
    """Clips whose figures are given together.

    Attributes:
        name: for the tables.
        about: a sentence for the page.
        still: single pictures.
        sets: our indices of the points to compare, by their number, the largest first.
        clips: of which it consists.
    """

    name: str
    about: str
    still: bool
    sets: dict[int, tuple[int, ...]]
    clips: Sequence[Clip]


TALKING_FACE = "Talking face"


def talking_face(root: Path) -> FrameSet:
    """FGNET's talking face.

    Raises:
        TrackerError: if it is not there.
    """
    (clip,), _ = labelled_clips("talking-face", root)
    about = (
        "FGNET's talking face: a person in front of a camera, with the 18 points that mean the same in FGNET's labels "
        "and in iBUG's. The labels were tracked by a model and checked by people."
    )
    return FrameSet(TALKING_FACE, about, False, dict(LABELLINGS["talking-face"].sets), [_filmed(clip)])


def labelled_clip(folder: Path) -> FrameSet:
    """A clip in the layout of 300VW with labels of iBUG's 68 points.

    Raises:
        TrackerError: if it is not there.
    """
    clip = LabelledClip(_name(folder), "", folder, LABELLINGS["300vw"])
    return FrameSet(
        f"Clip {clip.name}", "A labelled clip in the layout of 300VW.", False, dict(POINTS), [_filmed(clip)]
    )


def stills(root: Path) -> FrameSet:
    """LFPW's test set.

    Raises:
        TrackerError: if 300W is not there.
    """
    about = (
        "Our research models learned the labels of other pictures of 300W. dlib's predictor was trained on 300W, too; "
        "its author does not say on which pictures, so it may have seen these."
    )
    return _pictures("LFPW test set of 300W", about, _lfpw(root))


def labelled_pictures(folder: Path) -> FrameSet:
    """Pictures NAME.jpg beside NAME.pts with labels of iBUG's 68 points.

    Raises:
        TrackerError: if there are none.
    """
    return _pictures(f"Pictures {_name(folder)}", "Labelled pictures.", labelled_faces("folder", folder))


def _lfpw(root: Path) -> list[Sample]:
    if not os.path.isdir(root / "lfpw/testset"):
        raise TrackerError(f"--w300 {root}: expected the folder of 300W with lfpw/testset in it, there is none")
    return labelled_faces("300w", root, "lfpw-test")


def _pictures(name: str, about: str, faces: Sequence[Sample]) -> FrameSet:
    about = (
        f"{about} Whole pictures, each system with its own detector and up to 5 faces, of which the one nearest to the "
        "labels counts."
    )

    def read() -> Iterator[Labelled]:
        return map(_read, faces)

    return FrameSet(name, about, True, dict(POINTS), [Clip("pictures", 1.0, read)])


def moving_pictures(root: Path) -> FrameSet:
    """Some pictures of LFPW's test set under a known motion, which is an exact truth for jitter and lag.

    Raises:
        TrackerError: if 300W is not there.
    """
    faces = _lfpw(root)
    chosen = faces[:: max(1, len(faces) // MOVING_PICTURES)][:MOVING_PICTURES]
    about = (
        f"{len(chosen)} pictures of LFPW's test set pan, zoom and roll by a known motion for {MOVING_FRAMES} frames "
        f"each; frames {GONE.start} to {GONE.stop - 1} show nothing: the face must be found again. The motion is "
        "exact, the expression never changes. dlib may have seen these pictures, too."
    )
    clips = [Clip(face.picture.stem, 25.0, _mover(face)) for face in chosen]
    return FrameSet("Moving pictures", about, False, dict(POINTS), clips)


def blocks(name: str, still: bool, clip: Clip, size: int = BLOCK) -> Iterator[tuple[Block, list[Array]]]:
    """Yield the frames of a clip in blocks, and the labels (68, 2) of each, NaN where nothing is compared."""
    pictures: list[Image] = []
    truths: list[Array] = []
    first = 0
    for image_rgb, truth in clip.read():
        pictures.append(image_rgb)
        truths.append(np.full((IBUG68.count, 2), np.nan) if truth is None else truth)
        if len(pictures) == size:
            yield Block(f"{name}/{clip.name}", still, clip.fps, first, pictures), truths
            pictures, truths, first = [], [], first + size
    if pictures:
        yield Block(f"{name}/{clip.name}", still, clip.fps, first, pictures), truths


def _name(folder: Path) -> str:
    return os.path.basename(os.path.realpath(folder))


def _filmed(clip: LabelledClip) -> Clip:
    def read() -> Iterator[Labelled]:
        for frame, truth in clip.read():
            yield frame.image_rgb, None if truth is None else truth.points_px

    return Clip(clip.name, clip.fps, read)


def _read(face: Sample) -> tuple[Image, Array]:
    try:
        return read_face(face)
    except (ValueError, OSError) as error:
        raise TrackerError(f"{error}; correct it or leave it out") from None


def _mover(face: Sample) -> Callable[[], Iterator[Labelled]]:
    def read() -> Iterator[Labelled]:
        image_rgb, points = _read(face)
        scale = MOVING_SIDE / max(image_rgb.shape[:2])
        if scale < 1:
            size = (round(image_rgb.shape[1] * scale), round(image_rgb.shape[0] * scale))
            image_rgb = np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
            points = (points + 0.5) * scale - 0.5
        moving = MovingPicture(image_rgb, [points], MOVING_FRAMES, gone=GONE)
        for picture, truths in moving:
            yield picture, truths[0] if truths else None

    return read
