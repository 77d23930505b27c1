"""python -m tools.draw_mesh68 --ict FOLDER --teacher-python PYTHON: draws the 68 points on a rendered head.

The drawing is docs/labels.jpg. It also measures how well the jaw follows the contour of a turned head.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.ict_surface import BACKGROUND, SIZE, read_head
from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68
from tracker.system.files import write_whole
from train.labels.mesh68 import JAW, Mesh68, load_mesh68
from train.labels.teachers import WORKER, FaceMesh

Image = NDArray[np.uint8]
SHOWN = 620  # of a render in pixels, in each direction, around the mesh
SHOWN_DEG, MEASURED_DEG = (0, 30, 60), (20, 30, 45, 60)
FAR_SIDE = slice(11, JAW)  # of a head turned to the right in the picture: below them the neck hides the contour
LINE, DOT, FIXED, INK = (120, 150, 160), (20, 230, 60), (250, 110, 30), (255, 255, 255)
QUALITY = 76


def main() -> int:
    """Run the command line."""
    return run_command(draw_mesh68, "tools.draw_mesh68")


def draw_mesh68(ict: Path, teacher_python: Path, drawing: Path = Path("docs/labels.jpg")) -> None:
    """Draw the 68 points on renders of a head, and print how far its turned jaw is from the visible contour.

    Args:
        ict: the folder of ICT-FaceKit's neutral head, generic_neutral_mesh.obj beside landmarks.json.
        teacher_python: the Python of an environment that has mediapipe==0.10.21.
        drawing: the .jpg file to write.
    """
    head = read_head(ict)
    table = load_mesh68()
    teacher = FaceMesh([str(teacher_python), str(WORKER)])
    try:
        seen = {}
        for yaw in sorted({*SHOWN_DEG, *MEASURED_DEG}):
            picture = head.render(yaw)
            mesh = teacher.look(picture[None])[0]
            if np.isnan(mesh).any():
                raise TrackerError(f"the teacher sees no face in the head turned by {yaw} degrees")
            seen[yaw] = picture, mesh
    finally:
        teacher.close()
    front, *turned = (drawn(*seen[yaw], table, teacher.edges, numbers=yaw == 0) for yaw in SHOWN_DEG)
    small = [cv2.resize(view, (SHOWN // 2, SHOWN // 2), interpolation=cv2.INTER_AREA) for view in turned]
    sheet = np.hstack([front, np.vstack(small)])
    content = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    write_whole(drawing, content.tobytes())
    length = np.linalg.norm(IBUG68.ocular_axis @ table.points(seen[0][1]))
    print("points 11 to 16 from the contour, % of the outer eye corners' distance: on the surface, and following it")
    for yaw in MEASURED_DEG:
        picture, mesh = seen[yaw]
        fixed, following = (table.weights @ mesh[:, :2], table.points(mesh))
        shares = [
            100 * float(np.mean(from_contour(picture, points[FAR_SIDE]))) / length for points in (fixed, following)
        ]
        print(f"turned {yaw} degrees: {shares[0]:.1f}, {shares[1]:.1f}")


def from_contour(picture: Image, points: Array) -> Array:
    """Return distances (n,) of points (n, 2) from the edge of the render's background, in pixels."""
    background = (picture == BACKGROUND).all(2).astype(np.uint8)
    inside, outside = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (1 - background, background))
    x, y = np.rint(points).astype(int).clip(0, SIZE - 1).T
    return np.asarray((inside + outside)[y, x], np.float64)


def drawn(picture: Image, mesh: Array, table: Mesh68, edges: Sequence[tuple[int, int]], numbers: bool) -> Image:
    """Draw the mesh and the points over a render; orange are points of the jaw without the contour."""
    sheet = picture.copy()
    places = np.rint(16 * mesh[:, :2]).astype(int)
    for a, b in edges:
        cv2.line(sheet, places[a].tolist(), places[b].tolist(), LINE, 1, cv2.LINE_AA, 4)
    points = table.points(mesh)
    dots = [(FIXED, table.weights[:JAW] @ mesh[:, :2]), (DOT, points)]
    for color, dotted in dots:
        for place in np.rint(16 * dotted).astype(int):
            cv2.circle(sheet, place.tolist(), 16 * 4, color, -1, cv2.LINE_AA, 4)
    if numbers:
        for index, (x, y) in enumerate(points.round().astype(int).tolist()):
            cv2.putText(sheet, str(index), (x + 5, y - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, INK, 1, cv2.LINE_AA)
    left, top = np.rint((mesh.min(0) + mesh.max(0))[:2] / 2 - SHOWN / 2).astype(int).clip(0, SIZE - SHOWN)
    return sheet[top : top + SHOWN, left : left + SHOWN]


if __name__ == "__main__":
    sys.exit(main())
