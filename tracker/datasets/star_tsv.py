"""The label tables of STAR (Zhou et al., CVPR 2023), one tab-separated line per face."""

from __future__ import annotations

from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np

from tracker.datasets.collect import Invalid, Row, collect, expect_scheme, labelled_rows, numbers, read_lines
from tracker.datasets.sample import DatasetError, Sample
from tracker.datasets.wflw import SUBSETS
from tracker.face.schemes import Scheme


def read_star_tsv(path: Path, pictures: Path, scheme: str, on_invalid: Invalid = "refuse") -> list[Sample]:
    """Read the faces of one of STAR's tables.

    A line has the picture, five points, the points x,y,x,y,..., scale, the crop's centre x and y and, in WFLW's test
    table, the six flags of its subsets; numbers within a column are separated by commas. The tables have no header, so
    the first line is a face (STAR's own loader skips it). Points are taken unchanged, as in STAR; the five points are
    ignored. Sample.box_px is STAR's square crop, with the side 200 * scale.

    Args:
        path: of the table.
        pictures: the folder of the pictures. The part of a picture's path before rawImages/ is removed.
        scheme: the name of the landmark scheme.
        on_invalid: whether to refuse or skip invalid faces.

    Raises:
        DatasetError: for an unknown scheme or a missing table, and as `tracker.datasets.collect.collect`.
    """
    known = expect_scheme(scheme)
    lines = read_lines(path, "one of STAR's tables")
    labels = labelled_rows(path, lines, _columns, 0, pictures)
    return collect(path, labels, partial(_face, pictures, known), on_invalid)


def _columns(line: str) -> list[str]:
    """Split a line, and remove the beginning of the picture's path."""
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
