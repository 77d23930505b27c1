"""The neutral head of ICT-FaceKit (MIT), a mesh with the vertices of iBUG's 68 points.

Its axes are the head's: x to the subject's left, y up, z out of the face. The file states no unit; its lengths are
about those of a head in centimetres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68

MESH, LANDMARKS, LICENCE = "generic_neutral_mesh.obj", "landmarks.json", "LICENSE"
JAW = 8
"""Points 0 to 7 lie on the jaw line that landmarks.json names; 9 to 16 are their mirror images."""


@dataclass(frozen=True, eq=False)
class IctHead:
    """The mesh: x to the picture's right, y down, z away.

    This is the frame of tracker.analysis.head_pose, except for origin and unit.

    Attributes:
        vertices: (V, 3) in the file's unit.
        points: (68, 3) iBUG's points, symmetric.
        faces: the polygons of each material, lists of vertices.
        eyeballs: (2, 3) the centres of the right and the left eyeball.
        licence: the text of its licence.
    """

    vertices: Array
    points: Array
    faces: dict[str, list[list[int]]]
    eyeballs: Array
    licence: str


def read_ict_head(folder: Path) -> IctHead:
    """Read the head from a folder with generic_neutral_mesh.obj, landmarks.json and LICENSE.

    Args:
        folder: of the files.

    Raises:
        TrackerError: if files are missing, or are not those of ICT-FaceKit.
    """
    try:
        vertices, faces = _read_obj(folder / MESH)
        names = json.loads((folder / LANDMARKS).read_text(encoding="ascii"))
        points = vertices[names["landmarks_multi_pie68"]]
        points[:JAW] = vertices[names["right_jawline_0_7"]]
        points[IBUG68.flip[:JAW]] = points[:JAW] * [-1, 1, 1]
        points = (points + points[IBUG68.flip] * [-1, 1, 1]) / 2  # the mesh is symmetric to 0.05 mm
        eyeballs = [_middle_of_ball(vertices[_used(faces[f"M_Sclera{side}"])]) for side in ("Right", "Left")]
        licence = (folder / LICENCE).read_text(encoding="ascii")
    except OSError as error:
        raise TrackerError(f"{error.filename}: cannot be read: {error.strerror}; correct --ict") from None
    except (ValueError, KeyError, IndexError) as error:
        raise TrackerError(
            f"{folder}: expected {MESH} and {LANDMARKS} of ICT-FaceKit's neutral head, they differ ({error!r})"
        ) from None
    return IctHead(vertices, points, faces, np.stack(eyeballs), licence)


def _read_obj(path: Path) -> tuple[Array, dict[str, list[list[int]]]]:
    """The vertices, turned into the frame of IctHead, and the polygons of each material of a Wavefront .obj file."""
    vertices: list[list[float]] = []
    faces: dict[str, list[list[int]]] = {}
    polygons: list[list[int]] = []
    for line in path.read_text(encoding="ascii").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in values[:3]])
        elif kind == "usemtl":
            polygons = faces.setdefault(values[0], [])
        elif kind == "f":
            polygons.append([int(corner.split("/")[0]) - 1 for corner in values])
    return np.array(vertices).reshape(-1, 3) * [1, -1, -1], faces


def _used(polygons: list[list[int]]) -> NDArray[np.intp]:
    return np.array(sorted({index for polygon in polygons for index in polygon}), np.intp)


def _middle_of_ball(points: Array) -> Array:
    """Return the centre (3,) of the sphere through points (N, 3), by least squares."""
    rows = np.column_stack([2 * points, np.ones(len(points))])
    return np.asarray(np.linalg.lstsq(rows, np.square(points).sum(1), rcond=None)[0][:3])
