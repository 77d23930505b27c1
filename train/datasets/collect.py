"""What is done with bad data, once for all readers: it is named, counted, and refused or skipped."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from tracker.face.geometry import Array, extent
from tracker.face.schemes import Scheme, scheme_named
from train.datasets.sample import DatasetError, Sample

LOG = logging.getLogger(__name__)
Bad = Literal["refuse", "skip"]
"""What becomes of bad faces. refuse: a DatasetError counts them and names the first; skip: they are left out, and
a warning in the log counts and names them all."""
Row = tuple[list[str], int]
"""The cells of a face, and which face of its picture it is."""
T = TypeVar("T")


def collect(source: Path | str, labels: Sequence[tuple[str, T]], read: Callable[[T], Sample], bad: Bad) -> list[Sample]:
    """The faces that read makes of the labels of a set, in order.

    labels: each with the name that a message gives it. Bad is what read refuses by a ValueError or an OSError (its
    message need not name the label), another number of points than the scheme has, numbers that are not finite,
    points that all lie on each other, and a picture that is not there. Points outside the picture are not bad:
    sets label faces that the border cuts. `train.datasets.pictures` counts them.

    Raises DatasetError for bad faces that are to be refused, and for a set of no (good) face, skipping or not.
    """
    samples, reasons = [], []
    for name, label in labels:
        try:
            samples.append(_sound(read(label)))
        except (ValueError, OSError) as error:
            reasons.append(str(error) if str(error).startswith(name) else f"{name}: {error}")
    if reasons and bad == "refuse":
        raise DatasetError(
            f"{reasons[0]} (in {source} {len(reasons)} of {len(labels)} labelled faces are bad: "
            "mend them, or leave them out with bad=skip)"
        )
    if reasons:
        LOG.warning("%s: skipped %d of %d faces:\n%s", source, len(reasons), len(labels), "\n".join(reasons))
    if not samples:
        raise DatasetError(f"{source}: expected labelled faces, found {'only bad ones' if reasons else 'none'}")
    return samples


def _sound(sample: Sample) -> Sample:
    points, count = sample.points_px, sample.scheme.count
    if len(points) != count:
        raise DatasetError(f"expected {count} points, got {len(points)}")
    if not (np.isfinite(points).all() and (sample.box_px is None or np.isfinite(sample.box_px).all())):
        raise DatasetError("holds numbers that are not finite")
    if sample.occluded is not None and sample.occluded.shape != (count,):
        raise DatasetError(f"expected {count} marks of occlusion, got {sample.occluded.size}")
    if not extent(points)[2:].any():
        raise DatasetError("its points all lie on each other")
    if not sample.picture.is_file():
        raise DatasetError(f"expected its picture {sample.picture}, there is no such file")
    return sample


def numbers(cells: Sequence[str], count: int) -> Array:
    """(count,) the cells of a text file as numbers. Raises DatasetError for another count or what is no number."""
    if len(cells) != count:
        raise DatasetError(f"expected {count} numbers, got {len(cells)}")
    try:
        return np.array(cells, np.float64)
    except ValueError as error:
        raise DatasetError(f"expected numbers, {error}") from None


def face_numbers(pictures: Iterable[str]) -> Iterator[int]:
    """For each label's picture, how many labels before it are of the same picture."""
    seen: Counter[str] = Counter()
    for picture in pictures:
        yield seen[picture]
        seen[picture] += 1


def labelled_rows(path: Path, rows: Iterable[list[str]], picture: int) -> list[tuple[str, Row]]:
    """The rows of a text file that are not blank, named by their line; column `picture` holds the picture."""
    kept = [(line, row) for line, row in enumerate(rows, 1) if row]
    faces = face_numbers(row[picture] for _, row in kept)
    return [(f"{path}:{line}", (row, face)) for (line, row), face in zip(kept, faces)]


def expect_file(path: Path, what: str) -> Path:
    """The path. Raises DatasetError where there is no such file."""
    if not path.is_file():
        raise DatasetError(f"{path}: expected {what}, there is no such file")
    return path


def expect_scheme(name: str) -> Scheme:
    """The landmark scheme of that name. Raises DatasetError naming the known ones."""
    try:
        return scheme_named(name)
    except ValueError as error:
        raise DatasetError(str(error)) from None
