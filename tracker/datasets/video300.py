"""300VW in its official layout (Shen et al., ICCVW 2015): CLIP/vid.avi and CLIP/annot/000001.pts, a label per frame.

To decode one frame of a video, all frames since the last key frame are decoded. For training, extract the frames once
to CLIP/imgs/000001.jpg (ffmpeg -i vid.avi imgs/%06d.jpg); if that folder exists, it is read instead of the video.

Labels are numbered from 1. Category A has good light, B uneven light, C unconstrained conditions. The excluded frames
are those that the challenge's ReadMe lists, because their labels are wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.datasets.collect import Invalid, collect, expect_file, expect_folders, list_folder
from tracker.datasets.pts_files import PICTURE_SUFFIXES, read_pts
from tracker.datasets.sample import DatasetError, Sample, expect_size
from tracker.face.schemes import IBUG68

Category = Literal["train", "A", "B", "C"]
_CLIPS: Mapping[Category, str] = {
    "train": (
        "001 002 003 004 007 009 010 011 013 015 016 017 018 019 020 022 025 027 028 029 031 033 034 035 037 039 041 "
        "043 044 046 047 048 049 053 057 059 112 113 115 119 120 123 138 143 144 160 204 205 223 225"
    ),
    "A": (
        "114 124 125 126 150 158 401 402 505 506 507 508 509 510 511 514 515 518 519 520 521 522 524 525 537 538 540 "
        "541 546 547 548"
    ),
    "B": "203 208 211 212 213 214 218 224 403 404 405 406 407 408 409 412 550 551 553",
    "C": "410 411 516 517 526 528 529 530 531 533 557 558 559 562",
}
CLIPS: Mapping[Category, tuple[str, ...]] = {category: tuple(clips.split()) for category, clips in _CLIPS.items()}

VideoSplit = Literal["full", "A", "B", "C", "train"]
SPLITS: Mapping[VideoSplit, tuple[Category, ...]] = {
    "full": ("A", "B", "C"),
    "A": ("A",),
    "B": ("B",),
    "C": ("C",),
    "train": ("train",),
}
"""The categories of each split."""

_INNER = tuple(range(17, 68))
POINTS: Mapping[int, tuple[int, ...]] = {
    68: tuple(range(68)),
    51: _INNER,
    49: tuple(index for index in _INNER if index not in (60, 64)),
}
"""Which of the 68 points are compared, by their number: all, those without the jaw, and those without the jaw and the
inner corners of the mouth."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameSample(Sample):
    """A face in a frame of a video; the video is opened at each access.

    Attributes:
        frame: its number from 1, as in the labels.
    """

    frame: int

    @property
    def image_name(self) -> str:
        """See Sample."""
        return f"{self.picture} frame {self.frame}"

    def read_image(self) -> NDArray[np.uint8]:
        """See Sample."""
        with _opened(self.picture) as capture:
            capture.set(cv2.CAP_PROP_POS_FRAMES, self.frame - 1)
            try:
                decoded, image = capture.read()
            except (cv2.error, MemoryError):
                decoded = False
        if not decoded:
            raise DatasetError(f"{self.name}: expected a picture, it cannot be decoded")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def read_300vw(root: Path, category: Category, on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read the labelled frames of the 50 training clips, or of the test clips of a category, clip after clip.

    Test frames that the challenge excludes are skipped. The category and the clip are subsets of each frame, so that
    errors can be averaged by clip first.

    Args:
        root: the folder of the clips.
        category: "train", or a category of the test set.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: if clips are missing, and as `tracker.datasets.collect.collect`.
    """
    expect_folders(root, CLIPS[category], f"the {len(CLIPS[category])} clips of 300VW {category}")
    left_out = excluded_frames()
    return [
        sample
        for clip in CLIPS[category]
        for sample in read_clip(root / clip, left_out.get(clip, ()), on_invalid, frozenset({category, clip}))
    ]


def clip_of(root: Path, sample: Sample) -> str:
    """Return the clip of a frame, the first of its subsets by name."""
    return min(sample.subsets)


def read_clip(
    clip: Path, excluded: Collection[int] = (), on_invalid: Invalid = "refuse", subsets: frozenset[str] = frozenset()
) -> list[Sample]:
    """Read the labelled frames of a clip. A frame without a label is valid, a label without a frame is not.

    Args:
        clip: its folder.
        excluded: numbers of frames to skip, from 1.
        on_invalid: whether to refuse or skip invalid faces.
        subsets: of all frames.

    Raises:
        DatasetError: if the video is missing or cannot be opened, and as `tracker.datasets.collect.collect`.
    """
    left_out = {f"{frame:06d}" for frame in excluded}
    files = list_folder(clip / "annot", "a folder of .pts files")
    labels = [(str(p), p) for p in files if p.suffix.lower() == ".pts" and p.stem not in left_out]
    if os.path.isdir(clip / "imgs"):
        pictures = list_folder(clip / "imgs", "a folder of the clip's frames")
        frames = {p.stem: p for p in pictures if p.suffix.lower() in PICTURE_SUFFIXES}
        return collect(clip, labels, partial(_extracted, frames, subsets), on_invalid)
    video = expect_file(clip / "vid.avi", "the clip's video")
    return collect(clip, labels, partial(_in_video, video, _frame_count(video), subsets), on_invalid)


def _extracted(frames: Mapping[str, Path], subsets: frozenset[str], label: Path) -> Sample:
    if label.stem not in frames:
        raise DatasetError("expected a picture of that name in imgs, found none")
    return Sample(frames[label.stem], read_pts(label), IBUG68, subsets=subsets)


def _in_video(video: Path, count: int, subsets: frozenset[str], label: Path) -> Sample:
    if not (label.stem.isdecimal() and 1 <= int(label.stem) <= count):
        raise DatasetError(f"expected a label named by a frame of {video.name}, which has {count}")
    return FrameSample(video, read_pts(label), IBUG68, subsets=subsets, frame=int(label.stem))


def _frame_count(video: Path) -> int:
    with _opened(video) as capture:
        count, width, height = (
            int(capture.get(value))
            for value in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
    if count < 1:
        raise DatasetError(f"{video}: expected a video, it does not open")
    expect_size(str(video), width, height)
    return count


@contextmanager
def _opened(video: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video, which may fail silently; raise DatasetError for a name on which OpenCV crashes."""
    try:
        str(video).encode()
    except UnicodeEncodeError:
        raise DatasetError(f"{video}: expected a path in UTF-8, OpenCV opens no other; rename it") from None
    capture = cv2.VideoCapture(str(video))
    try:
        yield capture
    finally:
        capture.release()


@cache
def excluded_frames() -> Mapping[str, frozenset[int]]:
    """Return the 2,127 test frames that the challenge excludes, numbered from 1, by clip; other clips are missing."""
    runs = json.loads(Path(__file__).with_name("video300_excluded.json").read_text(encoding="ascii"))
    return {clip: frozenset(frame for run in runs[clip].split() for frame in _frames(run)) for clip in runs}


def _frames(run: str) -> Iterator[int]:
    """Yield the frames of "722-724" or of "792"."""
    first, _, last = run.partition("-")
    yield from range(int(first), int(last or first) + 1)
