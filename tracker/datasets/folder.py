"""Anybody's own data: a folder of pictures with .pts files beside them, or a table of landmarks."""

from __future__ import annotations

import csv
import os
from functools import partial
from pathlib import Path

import numpy as np

from tracker.datasets.collect import (
    OnInvalid,
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
"""A point with this spread, as a part of the larger extent of the face's points, counts half."""


def read_custom(source: Path, scheme: str, on_invalid: OnInvalid = "refuse") -> list[Sample]:
    """The faces of a folder, as `read_pairs`, or of a .csv file, as `read_table`, in the scheme of that name.

    Raises DatasetError for an unknown scheme, and as `tracker.datasets.collect.collect`.
    """
    known = expect_scheme(scheme)
    if source.suffix.lower() == ".csv":
        return read_table(source, known, on_invalid)
    return read_pairs(source, known, on_invalid)


def read_pairs(
    folder: Path, scheme: Scheme, on_invalid: OnInvalid = "refuse", subsets: frozenset[str] = frozenset()
) -> list[Sample]:
    """The faces of the pictures and labels directly in a folder: NAME.jpg (or .png ...) beside NAME.pts, 1-based.

    Where NAME.spread.csv lies beside them, as train.label writes it, points count by their weights_of_spread. A picture
    without a label is bad just as a label without a picture. Raises DatasetError as `collect`.
    """
    files = group_by_name(list_folder(folder, "a folder of pictures and .pts files"))
    labels = [(str(folder / f"{stem}.pts"), paths) for stem, paths in files.items()]
    return collect(folder, labels, partial(_pair, scheme, subsets), on_invalid)


def _pair(scheme: Scheme, subsets: frozenset[str], paths: list[Path]) -> Sample:
    try:
        picture, label = as_pair(paths)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    points, spread = read_pts(label), label.with_name(f"{label.stem}.spread.csv")
    weights = weights_of_spread(read_spread(spread, len(points)), points) if os.path.exists(spread) else None
    return Sample(picture, points, scheme, subsets=subsets, weights=weights)


def read_spread(path: Path, count: int) -> Array:
    """(count,) how far the views of a face that a label was made from differ in each point, in pixels.

    A file with the header spread_px and a number a line. Raises DatasetError for another, and numbers below 0.
    """
    header, *lines = read_lines(path, "spreads of points")
    if header != "spread_px":
        raise DatasetError(f"{path}: expected the header spread_px, got {header[:40]!r}")
    try:
        spread = numbers([line for line in lines if line.strip()], count)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
    if not (np.isfinite(spread) & (spread >= 0)).all():
        raise DatasetError(f"{path}: expected numbers from 0 on")
    return spread


def weights_of_spread(spread_px: Array, points_px: Array) -> Array:
    """(K,) 1 / (1 + (spread / (HALF_SPREAD * extent))^2), the extent being the larger one of the points (K, 2)."""
    longest = extent(points_px)[2:].max()
    return np.asarray(1 / (1 + np.square(spread_px / (HALF_SPREAD * longest))))


def read_table(path: Path, scheme: Scheme, on_invalid: OnInvalid = "refuse") -> list[Sample]:
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
    labels = labelled_rows(path, ["", *lines], _cells, 0, path.parent)
    return collect(path, labels, partial(_row, path.parent, scheme), on_invalid)


def _cells(line: str) -> list[str]:
    """Of one line by itself, so that a stray quote does not swallow those after it."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise DatasetError(f"expected cells between commas, {error}") from None


def _row(folder: Path, scheme: Scheme, label: Row) -> Sample:
    (picture, *cells), face = label
    return Sample(folder / picture, numbers(cells, 2 * scheme.count).reshape(-1, 2), scheme, face=face)
