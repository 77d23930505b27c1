"""The tables that STAR (Zhou et al., CVPR 2023) reads its labels from, one tab-separated line a face."""

from __future__ import annotations

from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np

from tracker.datasets.collect import OnInvalid, Row, collect, expect_scheme, labelled_rows, numbers, read_lines
from tracker.datasets.sample import DatasetError, Sample
from tracker.datasets.wflw import SUBSETS
from tracker.face.schemes import Scheme


def read_star_tsv(path: Path, pictures: Path, scheme: str, on_invalid: OnInvalid = "refuse") -> list[Sample]:
    """The faces of one of STAR's tables, in the scheme of that name.

    A line has the picture, five points, the points x,y,x,y,..., scale, the crop's centre x and y and, in WFLW's test
    table, the six flags of its subsets; numbers within a column are separated by commas. The tables have no header,
    so the first line is a face; STAR's own loader loses it. pictures: the folder that the pictures are relative to;
    what stands before rawImages/ is its authors' own path and is dropped. Points are taken as they are, as STAR does;
    the five points are not read. box_px is STAR's square crop, its side 200 * scale.

    Raises DatasetError for an unknown scheme or a missing table, and as `tracker.datasets.collect.collect`.
    """
    known = expect_scheme(scheme)
    lines = read_lines(path, "one of STAR's tables")
    labels = labelled_rows(path, lines, _columns, 0, pictures)
    return collect(path, labels, partial(_face, pictures, known), on_invalid)


def _columns(line: str) -> list[str]:
    """Of a line, the picture without its authors' path."""
    picture, *others = line.split("\t")
    return [picture.replace("\\", "/").rpartition("rawImages/")[2], *others]


def _face(pictures: Path, scheme: Scheme, label: Row) -> Sample:
    columns, face = label
    if len(columns) not in (6, 7):
        raise DatasetError(f"expected 6 or 7 columns, got {len(columns)}")
    points = numbers(columns[2].split(","), 2 * scheme.count).reshape(-1, 2)
    scale, *center = numbers(columns[3:6], 3)
    side = 200 * scale
    flags = numbers(columns[6].split(","), len(SUBSETS)) if len(columns) == 7 else ()
    return Sample(
        pictures / columns[0],
        points,
        scheme,
        box_px=np.array([*(np.array(center) - side / 2), side, side]),
        subsets=frozenset(compress(SUBSETS, flags)),
        face=face,
    )
