"""Custom data: a folder of pictures with .pts files beside them, or a table of landmarks."""

from __future__ import annotations

import csv
import os
from functools import partial
from pathlib import Path

import numpy as np

from tracker.datasets.collect import (
    Invalid,
    Row,
    collect,
    expect_scheme,
    labelled_rows,
    list_folder,
    numbers,
    read_lines,
)
from tracker.datasets.pts_files import as_pair, group_by_name, read_pts
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.geometry import Array, extent
from tracker.face.schemes import Scheme

HALF_SPREAD = 0.01
"""A point with this spread, as a fraction of the larger extent of the face's points, has the weight 0.5."""


def read_custom(source: Path, scheme: str, on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read a folder with read_pairs, or a .csv file with read_table.

    Args:
        source: the folder or file.
        scheme: the name of the landmark scheme.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: for an unknown scheme, and as `tracker.datasets.collect.collect`.
    """
    known = expect_scheme(scheme)
    if source.suffix.lower() == ".csv":
        return read_table(source, known, on_invalid)
    return read_pairs(source, known, on_invalid)


def read_pairs(
    folder: Path, scheme: Scheme, on_invalid: Invalid = "refuse", subsets: frozenset[str] = frozenset()
) -> list[Sample]:
    """Read the pictures and labels directly in a folder: NAME.jpg (or .png ...) beside NAME.pts, 1-based.

    If NAME.spread.csv lies beside them, as train.label writes it, the points get weights_of_spread. A picture without a
    label is invalid, and so is a label without a picture.

    Args:
        folder: the folder.
        scheme: of the labels.
        on_invalid: whether to refuse or skip invalid faces.
        subsets: of all faces.

    Raises:
        DatasetError: as `tracker.datasets.collect.collect`.
    """
    files = group_by_name(list_folder(folder, "a folder of pictures and .pts files"))
    labels = [(str(folder / f"{stem}.pts"), paths) for stem, paths in files.items()]
    return collect(folder, labels, partial(read_pair, scheme, subsets), on_invalid)


def read_pair(scheme: Scheme, subsets: frozenset[str], paths: list[Path]) -> Sample:
    """The face of a picture and its label, the files of one name. Raises DatasetError and ValueError for others."""
    try:
        picture, label = as_pair(paths)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    points, spread = read_pts(label), label.with_name(f"{label.stem}.spread.csv")
    weights = weights_of_spread(read_spread(spread, len(points)), points) if os.path.exists(spread) else None
    return Sample(picture, points, scheme, subsets=subsets, weights=weights, label=label)


def read_spread(path: Path, count: int) -> Array:
    """Read the spread of each point over the views of a face from which a label was made.

    Args:
        path: a file with the header spread_px and one number per line.
        count: the number of points.

    Returns:
        (count,) pixels.

    Raises:
        DatasetError: for another file, and for numbers below 0.
    """
    header, *lines = read_lines(path, "spreads of points")
    if header != "spread_px":
        raise DatasetError(f"{path}: expected the header spread_px, got {header[:40]!r}")
    try:
        spread = numbers([line for line in lines if line.strip()], count)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
    if not (np.isfinite(spread) & (spread >= 0)).all():
        raise DatasetError(f"{path}: expected numbers of at least 0")
    return spread


def weights_of_spread(spread_px: Array, points_px: Array) -> Array:
    """Return the weights 1 / (1 + (spread / (HALF_SPREAD * extent))^2).

    Args:
        spread_px: (K,) pixels.
        points_px: (K, 2) pixels; extent is the larger side of theirs.

    Returns:
        (K,) in 0..1.
    """
    longest = extent(points_px)[2:].max()
    return np.asarray(1 / (1 + np.square(spread_px / (HALF_SPREAD * longest))))


def read_table(path: Path, scheme: Scheme, on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read a CSV table with the header picture,x0,y0,x1,y1,... and one face per row.

    Pictures are relative to the table's folder, several rows may name the same one, and names have no line breaks.
    Points are in pixels, the first pixel's centre at 0.

    Args:
        path: of the table.
        scheme: of the labels.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: for another header, and as `tracker.datasets.collect.collect`.
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
    labels = labelled_rows(path, ["", *lines], _cells, 0, path.parent)
    return collect(path, labels, partial(_row, path.parent, scheme), on_invalid)


def _cells(line: str) -> list[str]:
    """Split one line on its own, so that an unmatched quote does not affect the lines after it."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise DatasetError(f"expected cells between commas, {error}") from None


def _row(folder: Path, scheme: Scheme, label: Row) -> Sample:
    (picture, *cells), face = label
    return Sample(folder / picture, numbers(cells, 2 * scheme.count).reshape(-1, 2), scheme, face=face)
