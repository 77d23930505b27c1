"""The handling of invalid labels for all readers: they are named, counted, and refused or skipped."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from tracker.cli.suggestions import suggest
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.geometry import Array, extent
from tracker.face.schemes import SCHEMES, Scheme, scheme_named
from tracker.metrics.nme import normaliser
from tracker.system.files import read_text

LOG = logging.getLogger(__name__)
OnInvalid = Literal["refuse", "skip"]
"""How to treat invalid faces. refuse: a DatasetError counts them and names the first; skip: they are left out, and
a warning in the log counts and names them all."""
Invalid = OnInvalid | list[DatasetError]
"""The same for readers. A list: invalid faces are left out, and what is wrong with each is added to the list."""
FURTHEST_PX = 1e6
"""The largest valid coordinate: no picture is that wide."""
LEAST_FACE_PX = 2.0
"""The lowest valid larger extent of a face's points."""
LEAST_EYES = 1e-3
"""The lowest valid distance between the outer eye corners, which normalises errors, as a fraction of that extent."""
MOST_TABLE_BYTES = 2**30
Row = tuple[list[str], int]
"""The cells of a face, and which face of its picture it is."""
T = TypeVar("T")


class WrongCount(DatasetError):
    """A face with another number of points than the scheme.

    Attributes:
        label: its name.
        found: the number of points.
    """

    label = ""
    found = 0


def collect(
    source: Path | str,
    labels: Sequence[tuple[str, T | DatasetError]],
    read: Callable[[T], Sample],
    on_invalid: Invalid,
) -> list[Sample]:
    """Read the labels of a set, in order.

    A face is invalid if read refuses it, if it has another number of points than the scheme, if numbers are not finite
    or beyond FURTHEST_PX, if it is smaller than LEAST_FACE_PX, if its outer eye corners coincide, or if its picture
    does not exist. Points outside the picture are valid, because sets label faces that the border cuts;
    `tracker.datasets.pictures` counts them and limits how far outside they may be.

    Args:
        source: the set, for messages.
        labels: each with its name for messages; a DatasetError in place of a label marks an invalid one.
        read: makes a face from a label; raises ValueError or OSError for an invalid one. The message need not name
            the label.
        on_invalid: whether to refuse or skip invalid faces, or a list for what is wrong with them.

    Returns:
        The valid faces.

    Raises:
        DatasetError: for an invalid face that is refused, and if there is no valid face, unless there is a list for the
            invalid ones.
    """
    samples, reasons = [], list[DatasetError]()
    for name, label in labels:
        try:
            if isinstance(label, DatasetError):
                raise label
            with np.errstate(all="ignore"):  # infinities are refused below
                samples.append(_sound(read(label)))
        except (ValueError, OSError) as error:
            reason = str(error) if str(error).startswith(name) else f"{name}: {error}"
            reasons.append(_named(name, error, _CONTROL.sub(" ", reason)[:MOST_CHARACTERS]))
    if isinstance(on_invalid, list):
        on_invalid += reasons
        return samples
    if reasons and on_invalid != "skip":
        raise DatasetError(
            f"{reasons[0]} (in {source} {len(reasons)} of {len(labels)} labelled faces are invalid: "
            "correct them, or leave them out with on_invalid=skip)"
        )
    if reasons:
        LOG.warning("%s: skipped %d of %d faces:\n%s", source, len(reasons), len(labels), "\n".join(map(str, reasons)))
    if not samples:
        raise DatasetError(f"{source}: expected labelled faces, found {'only invalid ones' if reasons else 'none'}")
    return samples


def _named(name: str, error: Exception, reason: str) -> DatasetError:
    """Return the error of a label with the reason as its text."""
    if not isinstance(error, WrongCount):
        return DatasetError(reason)
    named = WrongCount(reason)
    named.label, named.found = name, error.found
    return named


MOST_CHARACTERS = 1000  # of a message, which may quote a damaged cell
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # a name can hold line breaks, a message is one sentence


def _sound(sample: Sample) -> Sample:
    points, count = sample.points_px, sample.scheme.count
    if points.shape != (count, 2):
        wrong = WrongCount(f"expected {count} points, got {len(points)}")
        wrong.found = len(points)
        raise wrong
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
        raise DatasetError("its points are all in one place")
    if longest < LEAST_FACE_PX:
        raise DatasetError(f"expected a face of {LEAST_FACE_PX:g} pixels at least, its points span {longest:.2g}")
    if normaliser(points, sample.scheme) < LEAST_EYES * longest:
        raise DatasetError("its outer eye corners are in one place, so errors cannot be measured")
    if not os.path.isfile(sample.picture):
        raise DatasetError(f"expected its picture {sample.picture}, there is no such file")
    return sample


def numbers(cells: Sequence[str], count: int) -> Array:
    """Parse cells of a text file as numbers.

    Args:
        cells: the texts.
        count: how many there must be.

    Returns:
        (count,) float64.

    Raises:
        DatasetError: for another count, or a text that is not a number.
    """
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
    """Split the lines of a text file into cells; blank lines are skipped.

    Args:
        path: of the file, for messages.
        lines: all lines.
        cells: splits a line; raises DatasetError for an invalid one, which does not affect the others.
        picture: the index of the cell that names the picture.
        pictures: the folder of the pictures.

    Returns:
        For each line its name, path:number with numbers from 1, and the row or the error.
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
    """Yield for each label how many labels before it have the same picture.

    Args:
        pictures: the picture of each label.
    """
    seen: Counter[str] = Counter()
    for picture in pictures:
        yield seen[picture]
        seen[picture] += 1


def read_lines(path: Path, what: str) -> list[str]:
    """Read the lines of a table in UTF-8, with any kind of line end.

    Args:
        path: of the file.
        what: the file is expected to be, for messages.

    Raises:
        DatasetError: if it cannot be read as text.
    """
    try:
        return read_text(path, MOST_TABLE_BYTES).split("\n")
    except OSError as error:
        raise DatasetError(f"{path}: expected {what}, it cannot be read: {error.strerror}") from None


def expect_file(path: Path, what: str) -> Path:
    """Return the path; raise DatasetError if there is no such file.

    Args:
        path: of the file.
        what: the file is expected to be, for messages.
    """
    try:
        found = path.is_file()
    except OSError as error:
        raise DatasetError(f"{path}: expected {what}, it cannot be read: {error.strerror}") from None
    if not found:
        raise DatasetError(f"{path}: expected {what}, there is no such file")
    return path


def list_folder(folder: Path, what: str) -> list[Path]:
    """List a folder by name; raise DatasetError if it does not exist or cannot be read.

    Args:
        folder: the folder.
        what: the folder is expected to be, for messages.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{folder}: expected {what}, there is no such folder") from None
    except OSError as error:
        raise DatasetError(f"{folder}: expected {what}, it cannot be read: {error.strerror}") from None


def expect_folders(root: Path, names: Collection[str], what: str) -> None:
    """Raise DatasetError naming the missing folders of root.

    Args:
        root: the parent folder.
        names: of the folders that must exist.
        what: is expected, for messages.
    """
    try:
        missing = [name for name in names if not (root / name).is_dir()]
    except OSError as error:
        raise DatasetError(f"{root}: expected {what}, it cannot be read: {error.strerror}") from None
    if missing:
        raise DatasetError(f"{root}: expected {what}; missing: {', '.join(missing)}")


def expect_scheme(name: str) -> Scheme:
    """Return the landmark scheme of that name; raise DatasetError naming the known ones if there is none."""
    try:
        return scheme_named(name)
    except ValueError as error:
        raise DatasetError(f"{error}{suggest(name, SCHEMES)}") from None
