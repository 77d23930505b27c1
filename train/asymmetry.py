"""Labels that are not symmetric: where an annotator would have put the points of a mirrored face.

People, and the tools that they correct, place points with a bias: those of 300W lie half a pixel of a 128-pixel crop to
the right of where a net places them that has seen each face mirrored half of the time. A mirrored face whose labels are
only swapped contradicts the others, and a net learns the mean of both. Offsets, measured once for a data set by
train.mirror, move the labels of mirrored faces to where they would have been put in such a picture.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from tracker.errors import TrackerError
from tracker.face.geometry import Array, extent
from tracker.face.schemes import Scheme
from tracker.system.files import read_text, write_whole

LARGEST = 0.2  # of the face's extent; no labels are that far off
MOST_BYTES = 1 << 20
_HEADER = ["point", "x", "y"]


def face_frame(points_px: Array, scheme: Scheme) -> Array:
    """Return (2, 2): a face's own axes in the picture, from its right eye to its left one and downwards.

    Their length is the larger side of the landmarks' extent in the picture, which changes a little with the roll.

    Args:
        points_px: (K, 2).
        scheme: of the points.
    """
    x, y = scheme.ocular_axis @ points_px
    length = float(np.hypot(x, y))
    cosine, sine = (x / length, y / length) if length else (1.0, 0.0)
    _, _, width, height = extent(points_px)
    return float(max(width, height)) * np.array([[cosine, -sine], [sine, cosine]])


def move_mirrored(points_px: Array, scheme: Scheme, offsets: Array) -> Array:
    """Return the points (K, 2) of a mirrored face where an annotator would have put them.

    Args:
        points_px: (K, 2) of the mirrored face, swapped by scheme.flip.
        scheme: of the points.
        offsets: (K, 2) in units of face_frame.
    """
    return np.asarray(points_px + offsets @ face_frame(points_px, scheme).T)


def _are_small(offsets: Array) -> bool:
    return bool((np.abs(offsets) <= LARGEST).all())


def write_offsets(path: Path, offsets: Array) -> None:
    """Write offsets (K, 2) as a .csv.

    Args:
        path: of the file.
        offsets: in units of face_frame.

    Raises:
        TrackerError: for offsets that read_offsets would refuse.
        OSError: if the file cannot be written.
    """
    if not _are_small(offsets):
        raise TrackerError(
            f"{path}: not written: expected offsets of at most {LARGEST} of the face, got {np.abs(offsets).max():.3f}; "
            "the model does not fit the faces, give one that was trained on them"
        )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_HEADER)
    table.writerows([point, f"{x:.5f}", f"{y:.5f}"] for point, (x, y) in enumerate(offsets))
    write_whole(path, text.getvalue().encode())


def read_offsets(path: Path, scheme: Scheme) -> Array:
    """Return the offsets (K, 2) of a file that write_offsets wrote.

    Args:
        path: of the .csv file.
        scheme: of the points.

    Raises:
        TrackerError: if the file cannot be read, or does not hold an offset for each point of the scheme.
    """
    expected = f"{path}: expected the header {','.join(_HEADER)} and {scheme.count} rows, as train.mirror writes them"
    try:
        rows = [*csv.reader(io.StringIO(read_text(path, MOST_BYTES)))]
    except (OSError, csv.Error) as error:
        raise TrackerError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if rows[:1] != [_HEADER] or len(rows) != 1 + scheme.count or any(len(row) != 3 for row in rows):
        raise TrackerError(expected)
    try:
        order, offsets = [int(row[0]) for row in rows[1:]], np.array([[float(v) for v in row[1:]] for row in rows[1:]])
    except ValueError:
        raise TrackerError(expected) from None
    if order != [*range(scheme.count)] or not _are_small(offsets):
        raise TrackerError(f"{expected}: points in order, offsets of at most {LARGEST} of the face")
    return offsets
