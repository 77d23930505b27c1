"""Points of a clip that another program wrote, frame by frame, as a table (.csv).

The header says what it is. OpenFace's columns: frame (from 1), x_0 ... x_67, y_0 ... y_67 in iBUG's order, success (0:
no face) where it is there; our own --csv is one, and any program's points can be written so. Or the log of OpenSeeFace,
--log-data: Frame (from 1), Landmark[0].X, Landmark[0].Y ... of its 66 points. Pixel centres are at integers. A frame
without a row has no face, one with several rows has several.
"""

from __future__ import annotations

import csv
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._lib.peers.process import Answer, Block
from tracker.errors import TrackerError
from tracker.face.geometry import Array

LAYOUTS = {
    68: ("frame", [f"x_{i}" for i in range(68)], [f"y_{i}" for i in range(68)]),
    66: ("Frame", [f"Landmark[{i}].X" for i in range(66)], [f"Landmark[{i}].Y" for i in range(66)]),
}


@dataclass(frozen=True)
class PointFile:
    """The points of a file.

    Attributes:
        about: the name of the file and its SHA-256.
        points: how many there are in a face.
        faces: (points, 2) each, by the number of the frame from 0.
    """

    about: dict[str, Any]
    points: int
    faces: dict[int, list[Array]]

    def step(self, block: Block) -> list[Answer]:
        """Answer by what the file has; nothing is timed."""
        numbers = range(block.first, block.first + len(block.pictures))
        return [Answer(math.nan, {"": self.faces.get(number, [])}) for number in numbers]

    def close(self) -> None:
        """Do nothing: the file was read before."""


def read_point_file(path: Path) -> PointFile:
    """Read a table of points.

    Raises:
        TrackerError: if the file cannot be read, or has other columns or values.
    """
    try:
        data = path.read_bytes()
        rows = csv.reader(data.decode("utf-8-sig").splitlines())
        header = [name.strip() for name in next(rows, [])]
        points, (frame, xs, ys) = next(
            (count, layout) for count, layout in LAYOUTS.items() if {layout[0], *layout[1], *layout[2]} <= {*header}
        )
        faces: dict[int, list[Array]] = {}
        for row in rows:
            cells = dict(zip(header, row))
            if float(cells.get("success", 1)) == 0:
                continue
            face = np.array([[float(cells[name]) for name in names] for names in (xs, ys)]).T
            number = int(cells[frame])
            if number < 1 or not np.isfinite(face).all():
                raise ValueError(f"frame {number}: expected frames from 1 on and finite points")
            faces.setdefault(number - 1, []).append(face)
    except StopIteration:
        raise TrackerError(f"--points: expected the columns of OpenFace or of OpenSeeFace's log in {path}") from None
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise TrackerError(f"--points {path}: expected a table of points, it cannot be read: {error}") from None
    if not faces:
        raise TrackerError(f"--points {path}: expected faces, found none")
    about = {"versions": {}, "sha256": {path.name: hashlib.sha256(data).hexdigest()}}
    return PointFile(about, points, faces)
