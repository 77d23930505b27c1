"""What is done with bad data, once for all readers: it is named, counted, and refused or skipped."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from tracker.datasets.sample import DatasetError, Sample
from tracker.face.geometry import Array, extent
from tracker.face.schemes import Scheme, scheme_named
from tracker.metrics.nme import normaliser
from tracker.system.files import read_text

LOG = logging.getLogger(__name__)
OnInvalid = Literal["refuse", "skip"]
"""What becomes of bad faces. refuse: a DatasetError counts them and names the first; skip: they are left out, and
a warning in the log counts and names them all."""
FURTHEST_PX = 1e6
"""Coordinates further from 0 are mistakes: no picture is that wide."""
LEAST_FACE_PX = 2.0
"""The larger extent of a face's points must be this long at least: less shows nothing."""
LEAST_EYES = 1e-3
"""The distance between the outer eye corners, by which errors are measured, as a part of that extent."""
MOST_TABLE_BYTES = 2**30
Row = tuple[list[str], int]
"""The cells of a face, and which face of its picture it is."""
T = TypeVar("T")


def collect(
    source: Path | str,
    labels: Sequence[tuple[str, T | DatasetError]],
    read: Callable[[T], Sample],
    on_invalid: OnInvalid,
) -> list[Sample]:
    """The faces that read makes of the labels of a set, in order.

    Args:
        source: the set, for messages.
        labels: each with the name that a message gives it; an error in the place of a label is one that is known to
            be bad.
        read: makes the face of a label, and refuses a bad one by a ValueError or an OSError, whose message need not
            name the label.
        on_invalid: what becomes of bad faces.

    Bad are, besides what read refuses: another number of points than the scheme has, numbers that are not finite or
    further than FURTHEST_PX, faces smaller than LEAST_FACE_PX, outer eye corners that lie on each other, and a picture
    that is not there. Points outside the picture are not bad in themselves: sets label faces that the
    border cuts. `tracker.datasets.pictures` counts them and limits how far outside they may be.

    Raises:
        DatasetError: for bad faces that are to be refused, and for a set of no (good) face, skipping or not.
    """
    samples, reasons = [], []
    for name, label in labels:
        try:
            if isinstance(label, DatasetError):
                raise label
            with np.errstate(all="ignore"):  # what overflows is found to be infinite
                samples.append(_sound(read(label)))
        except (ValueError, OSError) as error:
            reason = str(error) if str(error).startswith(name) else f"{name}: {error}"
            reasons.append(_CONTROL.sub(" ", reason)[:MOST_CHARACTERS])
    if reasons and on_invalid != "skip":
        raise DatasetError(
            f"{reasons[0]} (in {source} {len(reasons)} of {len(labels)} labelled faces are bad: "
            "mend them, or leave them out with on_invalid=skip)"
        )
    if reasons:
        LOG.warning("%s: skipped %d of %d faces:\n%s", source, len(reasons), len(labels), "\n".join(reasons))
    if not samples:
        raise DatasetError(f"{source}: expected labelled faces, found {'only bad ones' if reasons else 'none'}")
    return samples


MOST_CHARACTERS = 1000  # of a damaged cell, a message names the beginning
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # a name can hold line breaks, a message is one sentence


def _sound(sample: Sample) -> Sample:
    points, count = sample.points_px, sample.scheme.count
    if points.shape != (count, 2):
        raise DatasetError(f"expected {count} points, got {len(points)}")
    for numbers in (points, sample.box_px):
        if numbers is not None and not np.isfinite(numbers).all():
            raise DatasetError("holds numbers that are not finite")
        if numbers is not None and np.abs(numbers).max() > FURTHEST_PX:
            raise DatasetError(f"expected pixels, got the number {numbers.flat[np.abs(numbers).argmax()]:g}")
    if sample.occluded is not None and sample.occluded.shape != (count,):
        raise DatasetError(f"expected {count} marks of occlusion, got {sample.occluded.size}")
    if sample.weights is not None and sample.weights.shape != (count,):
        raise DatasetError(f"expected {count} weights, got {sample.weights.size}")
    longest = extent(points)[2:].max()
    if longest == 0:
        raise DatasetError("its points all lie on each other")
    if longest < LEAST_FACE_PX:
        raise DatasetError(f"expected a face of {LEAST_FACE_PX:g} pixels at least, its points span {longest:.2g}")
    if normaliser(points, sample.scheme) < LEAST_EYES * longest:
        raise DatasetError("its outer eye corners lie on each other, so that errors cannot be measured")
    if not os.path.isfile(sample.picture):
        raise DatasetError(f"expected its picture {sample.picture}, there is no such file")
    return sample


def numbers(cells: Sequence[str], count: int) -> Array:
    """(count,) the cells of a text file as numbers. Raises DatasetError for another count or what is no number."""
    if len(cells) != count:
        raise DatasetError(f"expected {count} numbers, got {len(cells)}")
    values = np.empty(count)
    for i, cell in enumerate(cells):
        try:
            values[i] = float(cell)
        except ValueError:
            raise DatasetError(f"expected numbers, got {_short(cell)}") from None
    return values


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}...")


def labelled_rows(
    path: Path, lines: Iterable[str], cells: Callable[[str], list[str]], picture: int, pictures: Path
) -> list[tuple[str, Row | DatasetError]]:
    """The lines of a text file that are not blank, taken apart by cells, which raises DatasetError for a bad one.

    Each is named by its number, the first line's being 1; the cell number `picture` holds the picture, below
    the folder pictures. A bad line does not touch the others.
    """
    parsed = [(number, _parts(cells, line)) for number, line in enumerate(lines, 1) if line.strip()]
    named = (parts[picture] for _, parts in parsed if not isinstance(parts, DatasetError))
    faces = face_numbers(str(pictures / name) for name in named)  # a.png and ./a.png are one picture
    return [
        (f"{path}:{number}", parts if isinstance(parts, DatasetError) else (parts, next(faces)))
        for number, parts in parsed
    ]


def _parts(cells: Callable[[str], list[str]], line: str) -> list[str] | DatasetError:
    try:
        return cells(line)
    except DatasetError as error:
        return error


def face_numbers(pictures: Iterable[str]) -> Iterator[int]:
    """For each label's picture, how many labels before it are of the same picture."""
    seen: Counter[str] = Counter()
    for picture in pictures:
        yield seen[picture]
        seen[picture] += 1


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a table in UTF-8, whatever ends them. Raises DatasetError for what cannot be read as text."""
    try:
        return read_text(path, MOST_TABLE_BYTES).split("\n")
    except OSError as error:
        raise DatasetError(f"{path}: expected {what}, it cannot be read: {error.strerror}") from None


def expect_file(path: Path, what: str) -> Path:
    """The path. Raises DatasetError where there is no such file."""
    try:
        found = path.is_file()
    except OSError as error:
        raise DatasetError(f"{path}: expected {what}, it cannot be read: {error.strerror}") from None
    if not found:
        raise DatasetError(f"{path}: expected {what}, there is no such file")
    return path


def list_folder(folder: Path, what: str) -> list[Path]:
    """What is in a folder, by name. Raises DatasetError for one that is missing or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{folder}: expected {what}, there is no such folder") from None
    except OSError as error:
        raise DatasetError(f"{folder}: expected {what}, it cannot be read: {error.strerror}") from None


def expect_folders(root: Path, names: Collection[str], what: str) -> None:
    """Raises DatasetError naming those of the folders of root that are missing or cannot be looked at."""
    try:
        missing = [name for name in names if not (root / name).is_dir()]
    except OSError as error:
        raise DatasetError(f"{root}: expected {what}, it cannot be read: {error.strerror}") from None
    if missing:
        raise DatasetError(f"{root}: expected {what}; missing: {', '.join(missing)}")


def expect_scheme(name: str) -> Scheme:
    """The landmark scheme of that name. Raises DatasetError naming the known ones."""
    try:
        return scheme_named(name)
    except ValueError as error:
        raise DatasetError(str(error)) from None
