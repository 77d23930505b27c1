"""python -m tools.mean_head --ict FOLDER: makes tracker/analysis/head68_mm.csv, the reference head of head poses.

It is the neutral head of ICT-FaceKit in millimetres. The unit: the centres of its eyeballs are as far apart as adults'
pupils are when they look far away, 63.36 mm (mean of men and women: Dodgson, Variation and extrema of human
interpupillary distance, SPIE 2004). The origin is midway between the means of the eyes' six points. The axes are the
mesh's own, in which it looks straight ahead.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tools.ict_head import IctHead, read_ict_head
from tracker.cli.command import run_command
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68
from tracker.system.files import write_whole

PUPILS_MM = 63.36
# Means of North American adults, women and men, after Farkas, Anthropometry of the Head and Face, 1994: nothing is
# fitted to them.
PUBLISHED_MM = {
    "outer eye corners": (36, 45, "87 .. 91"),
    "inner eye corners": (39, 42, "31 .. 33"),
    "mouth corners": (48, 54, "50 .. 54"),
    "subnasale to nose tip": (33, 30, "19 .. 20"),
    "nasion to subnasale": (27, 33, "50 .. 55"),
    "nasion to chin": (27, 8, "111 .. 125"),
}
HEAD = """\
The mean head: 68 points of iBUG order; x to the picture's right, y down, z away from the camera, millimetres from
the point midway between the eyes, for a head that looks into the camera. Made by: python -m tools.mean_head
The points are vertices of the neutral head of ICT-FaceKit, whose licence is:

"""


def main() -> int:
    """Run the command line."""
    return run_command(mean_head, "tools.mean_head")


def mean_head(ict: Path, output: Path = Path("tracker/analysis/head68_mm.csv")) -> None:
    """Write the mean head, and print its measures beside published ones.

    Args:
        ict: the folder of ICT-FaceKit's neutral head: generic_neutral_mesh.obj, landmarks.json and LICENSE.
        output: the file to write.
    """
    head = read_ict_head(ict)
    write_whole(output, as_csv(head))
    mm = points_mm(head)
    for name, (a, b, published) in PUBLISHED_MM.items():
        print(f"{name:24}{np.linalg.norm(mm[a] - mm[b]):6.1f} mm   published {published}")


def millimetres(head: IctHead) -> float:
    """Return the length of one unit of the mesh in millimetres."""
    return float(PUPILS_MM / np.linalg.norm(head.eyeballs[1] - head.eyeballs[0]))


def origin(head: IctHead) -> Array:
    """Return the point (3,) midway between the eyes, in the unit of the mesh."""
    right, left = IBUG68.pupil
    return np.asarray((head.points[list(right)].mean(0) + head.points[list(left)].mean(0)) / 2)


def points_mm(head: IctHead) -> Array:
    """Return iBUG's points (68, 3) in the frame of tracker.analysis.head_pose."""
    return np.asarray((head.points - origin(head)) * millimetres(head))


def as_csv(head: IctHead) -> bytes:
    """Return the content of head68_mm.csv."""
    head_lines = [f"# {line}".rstrip() for line in (HEAD + head.licence.strip()).splitlines()]
    rows = [",".join(f"{value:.2f}" for value in row) for row in points_mm(head).round(2) + 0.0]  # no -0.00
    return "\n".join([*head_lines, *rows, ""]).encode("ascii")


if __name__ == "__main__":
    sys.exit(main())
