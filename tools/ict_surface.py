"""ICT-FaceKit's neutral head (MIT): its surface, its landmarks, and pictures of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.geometry import Array

Image = NDArray[np.uint8]
SIZE, ZOOM = 1000, 34  # of a render in pixels, and pixels for one unit of the head
BACKGROUND, SKIN = (110, 110, 110), np.array([205.0, 175.0, 155.0])
LIGHT = np.array([0.2, -0.4, -0.89])


@dataclass(frozen=True, eq=False)
class Head:
    """The head, x to the right of the viewer, y down, z away.

    vertices: (V, 3). faces: the vertices of each face of its surface. landmarks: (68, 3) in iBUG's order. jaw_line:
    (9, 3) the edge of the right jaw from the ear to the chin, which stands for points 0 to 8 when seen from there.
    """

    vertices: Array
    faces: list[list[int]]
    landmarks: Array
    jaw_line: Array

    def render(self, yaw_deg: float) -> Image:
        """Render (SIZE, SIZE, 3) RGB, orthographic, rotated to the right, with the painter's algorithm."""
        turn = math.radians(yaw_deg)
        cos, sin = math.cos(turn), math.sin(turn)
        turned = self.vertices @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]).T
        places = np.rint(16 * (turned[:, :2] * ZOOM + (SIZE - 1) / 2)).astype(np.int32)
        picture = np.full((SIZE, SIZE, 3), BACKGROUND, np.uint8)
        for face in sorted(self.faces, key=lambda face: -float(turned[face, 2].mean())):
            a, b, c = turned[face[:3]]
            normal = np.cross(b - a, c - a)
            if normal[2] < 0:
                shade = 0.25 + 0.75 * max(0.0, float(normal @ LIGHT / np.linalg.norm(normal)))
                cv2.fillConvexPoly(picture, places[face], (shade * SKIN).tolist(), cv2.LINE_8, 4)
        return picture


def read_head(folder: Path) -> Head:
    """Read the head from generic_neutral_mesh.obj and landmarks.json; raise TrackerError for other files."""
    mesh, named = folder / "generic_neutral_mesh.obj", folder / "landmarks.json"
    rows, faces = [], []
    try:
        for line in mesh.read_text(encoding="utf-8").splitlines():
            kind, *cells = line.split() or [""]
            if kind == "v":
                rows.append([float(cell) for cell in cells[:3]])
            elif kind == "f":
                faces.append([int(cell.split("/")[0]) - 1 for cell in cells])
        names = json.loads(named.read_text(encoding="utf-8"))
        vertices = np.array(rows) * (1, -1, -1)
        landmarks = vertices[names["landmarks_multi_pie68"]]
        jaw_line = np.vstack([vertices[names["right_jawline_0_7"]], landmarks[8]])
    except OSError as error:
        raise TrackerError(f"{error.filename}: cannot be read: {error.strerror}; correct --ict") from None
    except (ValueError, KeyError, IndexError):
        raise TrackerError(
            f"{folder}: expected a head as generic_neutral_mesh.obj and landmarks.json; correct --ict"
        ) from None
    return Head(vertices, faces, landmarks, jaw_line)
