"""iBUG's 68 points on FaceMesh's 478 vertices, by the table that tools.fit_mesh68 learns from London faces.

A point is a weighted sum of the mesh's vertices, as a rule of the three corners of a triangle: so it stays on the
surface when the head turns. A point of the jaw is where its stretch of the surface, from the outline inwards, reaches
farthest out in the picture: on the far side of a turned face, its visible contour.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.face.geometry import Array

VERTICES = 478
TABLE = Path(__file__).with_name("mesh68.json")
ROOT, CHIN, JAW = 27, 8, 17
Weights = list[list[float]]
"""Pairs of a vertex and its weight; the weights add up to 1."""


@dataclass(frozen=True, eq=False)
class Mesh68:
    """Where the 68 points lie on the mesh.

    Attributes:
        flip: (478,) the vertex that takes place v in a mirrored picture.
        weights: (68, 478) of the vertices.
        outward: (17, 2) the outward direction of each jaw point, in an upright face, x to the right and y down.
        stretches: for each jaw point (n, 478), places on the surface from its own one inwards.
    """

    flip: NDArray[np.intp]
    weights: Array
    outward: Array
    stretches: tuple[Array, ...]

    def points(self, mesh: Array) -> Array:
        """Return the points (68, 2) of a mesh (478, 3) in the pixels of a picture."""
        places = self._rows @ mesh[:, :2]
        points, *stretches = np.split(places, self._starts)
        down = points[CHIN] - points[ROOT]
        down = down / np.linalg.norm(down)
        across = np.array([down[1], -down[0]])
        for index, (stretch, (right, below)) in enumerate(zip(stretches, self.outward)):
            points[index] = stretch[(stretch @ (right * across + below * down)).argmax()]
        return points

    @cached_property
    def _rows(self) -> Array:
        """All weights in one array: of the points, then of the stretches."""
        return np.vstack([self.weights, *self.stretches])

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        """The row at which each stretch starts."""
        lengths = [len(self.weights), *map(len, self.stretches[:-1])]
        return np.cumsum(lengths)


@cache
def load_mesh68(path: Path = TABLE) -> Mesh68:
    """Return the table of a file."""
    table = json.loads(path.read_text(encoding="ascii"))
    return Mesh68(
        np.array(table["flip"], np.intp),
        _dense(table["points"]),
        np.array(table["outward"], np.float64),
        tuple(map(_dense, table["stretches"])),
    )


def _dense(rows: Iterable[Weights]) -> Array:
    """Return lists of pairs as (n, 478); what rounding has left is shared out, so that each row adds up to 1."""
    rows = list(rows)
    dense = np.zeros((len(rows), VERTICES))
    for row, pairs in zip(dense, rows):
        for vertex, weight in pairs:
            row[int(vertex)] = weight
    return np.asarray(dense / dense.sum(1, keepdims=True))


def as_json(mesh68: Mesh68, about: dict[str, object]) -> str:
    """Return the table as the content of its file, one point per line.

    Args:
        mesh68: the table.
        about: what it was made from.
    """

    def sparse(row: Array) -> Weights:
        return [[int(vertex), round(float(row[vertex]), 5)] for vertex in np.flatnonzero(np.abs(row) > 5e-6)]

    fields = {
        "flip": mesh68.flip.tolist(),
        "points": list(map(sparse, mesh68.weights)),
        "outward": mesh68.outward.round(4).tolist(),
        "stretches": [list(map(sparse, stretch)) for stretch in mesh68.stretches],
    }
    lines = [f' "about": {json.dumps(about)}', f' "flip": {json.dumps(fields.pop("flip"))}']
    for name, rows in fields.items():
        inner = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in rows)
        lines.append(f' "{name}": [\n  {inner}\n ]')
    return "{\n" + ",\n".join(lines) + "\n}\n"
