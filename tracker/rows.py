"""Results as rows: one for each face of each frame, with the same columns in every row and every file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tracker.face.geometry import Array
from tracker.result import FrameResult, TrackedFace, printable_name
from tracker.sources import Frame

SCHEMA_VERSION = 1
"""Of COLUMNS: counted up when a column changes its name, type, order or meaning."""


@dataclass(frozen=True)
class Column:
    """A column of the rows.

    Attributes:
        name: of the column.
        kind: the type of a value, or of the numbers in it.
        meaning: for people.
        unit: of the numbers; empty where there is none.
        nullable: whether a value may be None.
        per_face: how many numbers a value has that is an array of fixed size; 0 for one that is none.
        per_point: the same for each landmark.
    """

    name: str
    kind: Literal["string", "int32", "int64", "float32", "float64"]
    meaning: str
    unit: str = ""
    nullable: bool = False
    per_face: int = 0
    per_point: int = 0


COLUMNS = (
    Column("source", "string", "where the frame comes from: the path of a video as it was given, or another source"),
    Column("picture", "string", "name of the picture; null for a frame of a video", nullable=True),
    Column("frame", "int64", "number of the frame in its source, from 0"),
    Column("timestamp_s", "float64", "time since the first frame of the source", "s", nullable=True),
    Column("width", "int32", "of the frame", "px"),
    Column("height", "int32", "of the frame", "px"),
    Column("pixel_aspect", "float32", "width of a pixel over its height where it is shown"),
    Column("face_id", "int64", "stays with a face while it is tracked; of a picture from 1 on"),
    Column("state", "string", "tracking: measured in this frame; coasting: held over a short gap, not measured"),
    Column("score", "float32", "0 to 1, that this is a face"),
    Column("box_px", "float32", "x, y, width, height of the extent of points_px", "px", per_face=4),
    Column("points_px", "float32", "smoothed landmarks x0, y0, x1, y1, ...", "px", per_point=2),
    Column("scores", "float32", "0 to 1 for each landmark", per_point=1),
    Column("covariances_px2", "float32", "covariance of each landmark: xx0, xy0, yy0, xx1, ...", "px^2", per_point=3),
    Column("visibility", "float32", "0 to 1, that a landmark is visible", per_point=1, nullable=True),
    Column("raw_points_px", "float32", "landmarks as measured, not smoothed", "px", per_point=2),
)
CONVENTION = "pixels of the frame: x right, y down, pixel centres at integers, (0, 0) the upper left pixel's centre"


def face_row(source: str, frame: Frame, result: FrameResult, face: TrackedFace) -> dict[str, Any]:
    """The values of COLUMNS of one face in one frame.

    Args:
        source: the name of the frame's source.
        frame: with the picture's size.
        result: of the frame.
        face: one of the result's.

    Returns:
        Numbers, texts and None; arrays are one-dimensional and float32. Numbers of a column that is float32 are
        rounded to that, so that a row and the row of a file are equal.
    """
    height, width = frame.image_rgb.shape[:2]
    if frame.gpu is not None:  # landmarks count in its pixels
        height, width = frame.gpu.height, frame.gpu.width
    landmarks = face.landmarks
    return {
        "source": printable_name(source),
        "picture": None if result.picture is None else printable_name(result.picture),
        "frame": result.index,
        "timestamp_s": result.timestamp_s if math.isfinite(result.timestamp_s) else None,
        "width": width,
        "height": height,
        "pixel_aspect": float(np.float32(frame.pixel_aspect)),
        "face_id": face.id,
        "state": face.state,
        "score": float(np.float32(face.score)),
        "box_px": _flat(face.box_px),
        "points_px": _flat(landmarks.points_px),
        "scores": _flat(landmarks.scores),
        "covariances_px2": _flat(landmarks.covariances_px2),
        "visibility": None if landmarks.visibility is None else _flat(landmarks.visibility),
        "raw_points_px": _flat(face.raw.points_px),
    }


def _flat(values: Array) -> np.ndarray[Any, np.dtype[np.float32]]:
    return values.astype(np.float32).ravel()
