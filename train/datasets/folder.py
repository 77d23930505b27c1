"""Anybody's own data: a folder of pictures with .pts files beside them, or a table of landmarks."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

from tracker.face.pts import as_pair, group_by_name, read_pts
from tracker.face.schemes import Scheme
from train.datasets.collect import Bad, Row, collect, expect_scheme, labelled_rows, list_folder, numbers, read_lines
from train.datasets.sample import DatasetError, Sample


def read_own(source: Path, scheme: str, bad: Bad = "refuse") -> list[Sample]:
    """The faces of a folder, as `read_pairs`, or of a .csv file, as `read_table`, in the scheme of that name.

    Raises DatasetError for an unknown scheme, and as `train.datasets.collect.collect`.
    """
    known = expect_scheme(scheme)
    if source.suffix.lower() == ".csv":
        return read_table(source, known, bad)
    return read_pairs(source, known, bad)


def read_pairs(
    folder: Path, scheme: Scheme, bad: Bad = "refuse", subsets: frozenset[str] = frozenset()
) -> list[Sample]:
    """The faces of the pictures and labels directly in a folder: NAME.jpg (or .png ...) beside NAME.pts, 1-based.

    A picture without a label is bad just as a label without a picture. Raises DatasetError as `collect`.
    """
    files = group_by_name(list_folder(folder, "a folder of pictures and .pts files"))
    labels = [(str(folder / f"{stem}.pts"), paths) for stem, paths in files.items()]
    return collect(folder, labels, partial(_pair, scheme, subsets), bad)


def _pair(scheme: Scheme, subsets: frozenset[str], paths: list[Path]) -> Sample:
    try:
        picture, label = as_pair(paths)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    return Sample(picture, read_pts(label), scheme, subsets=subsets)


def read_table(path: Path, scheme: Scheme, bad: Bad = "refuse") -> list[Sample]:
    """The faces of a CSV with the header picture,x0,y0,x1,y1,... and one face a row.

    picture: relative to the table's folder; several rows may name one, its name has no line breaks. Points: in our
    pixels, the first pixel's centre at 0. Raises DatasetError for another header, and as `collect`.
    """
    first, *lines = read_lines(path, "a table of landmarks")
    try:
        header = _cells(first)
    except DatasetError:
        header = [first]
    expected = ["picture", *(f"{axis}{i}" for i in range(scheme.count) for axis in "xy")]
    if header != expected:
        raise DatasetError(
            f"{path}: expected the header {','.join(expected[:5])},... of the {scheme.count} points of {scheme.name}, "
            f"got {len(header)} columns, {','.join(header[:5])[:80]!r}"
        )
    labels = labelled_rows(path, ["", *lines], _cells, 0)
    return collect(path, labels, partial(_row, path.parent, scheme), bad)


def _cells(line: str) -> list[str]:
    """Of one line by itself, so that a stray quote does not swallow those after it."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise DatasetError(f"expected cells between commas, {error}") from None


def _row(folder: Path, scheme: Scheme, label: Row) -> Sample:
    (picture, *cells), face = label
    return Sample(folder / picture, numbers(cells, 2 * scheme.count).reshape(-1, 2), scheme, face=face)
