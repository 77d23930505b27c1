"""python -m benchmarks.mean_head --root 300W: the mean head that tracker/pose.py puts into the picture.

Non-rigid structure from motion on the labels of the training faces and their mirror images: every face is the mean
head, plus `modes` linear deformations with normal weights, seen in scaled orthography, plus noise; fitted by
expectation maximisation (Torresani, Hertzmann & Bregler, PAMI 2008), the poses by Gauss-Newton. It begins with the
rigid factorisation of Tomasi & Kanade (IJCV 1992). Mirrored faces make the head symmetric.

Pictures from small angles leave two numbers open: the scale of the depth, and a shear of the depth along the height,
which looks like another mean pitch. Both are set: in the mean view, in which people look into the camera,
the chin is as far away as the root of the nose, and the tip of the nose is TIP_MM before the outer eye corners.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.cli import run_command
from tracker.face.pts import read_pts
from tracker.face.schemes import IBUG68
from tracker.files import write_whole
from tracker.labelled import labelled_faces

Array = NDArray[np.float64]

PUPILS_MM = 63.36  # mean of adults: Dodgson, Variation and extrema of human interpupillary distance, SPIE 2004
# Means of North American adults, women and men, after Farkas, Anthropometry of the Head and Face, 1994.
TIP_MM = (
    45.0  # the nose's tip before the outer eye corners: rigid structure from motion of three people gave 40, 45, 51
)
PUBLISHED_MM = {
    "outer eye corners": (36, 45, "87 .. 91"),
    "inner eye corners": (39, 42, "31 .. 33"),
    "mouth corners": (48, 54, "50 .. 54"),
    "subnasale to nose tip": (33, 30, "19 .. 20"),
    "nasion to subnasale": (27, 33, "50 .. 55"),
    "nasion to chin": (27, 8, "111 .. 125"),
}
HEAD = """\
# The mean head: 68 points of iBUG order; x to the picture's right, y down, z away from the camera, millimetres from
# the point midway between the eyes, for a head that looks into the camera. A statistic of the labels of {faces} faces
# of 300W (research only), made by: python -m benchmarks.mean_head
"""


@dataclass
class Heads:
    """mean: (68, 3). modes: (M, 68, 3). weights: (F, M) of each face. noise: variance of a coordinate."""

    mean: Array
    modes: Array
    weights: Array
    noise: float

    def shapes(self) -> Array:
        """(F, 68, 3) each face's head in its own frame."""
        return np.asarray(self.mean + np.einsum("fm,mka->fka", self.weights, self.modes))


def main() -> int:
    """Run the command line."""
    return run_command(mean_head, "benchmarks.mean_head")


def mean_head(root: Path, output: Path = Path("tracker/head68_mm.csv"), modes: int = 10, rounds: int = 60) -> None:
    """Write the mean head, and print its measures beside published ones.

    Args:
        root: the folder that holds 300W's afw, helen and lfpw.
        output: the file to write.
        modes: deformations besides the mean.
        rounds: of expectation maximisation.
    """
    faces = np.stack([read_pts(face.label) for face in labelled_faces("300w", root, "train")])
    heads = fit(normalised(faces), modes, rounds)
    mm = anatomical(ahead(heads, normalised(faces)))
    rows = "\n".join(",".join(f"{value:.2f}" for value in row) for row in mm)
    write_whole(output, (HEAD.format(faces=len(faces)) + rows + "\n").encode())
    for name, (a, b, published) in PUBLISHED_MM.items():
        print(f"{name:24}{np.linalg.norm(mm[a] - mm[b]):6.1f} mm   published {published}")
    print(f"root of the nose before the outer eye corners {mm[36, 2] - mm[27, 2]:.1f} mm")
    print(f"a label's noise {np.sqrt(heads.noise) * 100:.2f} % of the face's size")


def ahead(heads: Heads, faces: Array) -> Array:
    """(68, 3) the mean head as the mean view shows it: mirrored faces leave it a pitch only."""
    views, _ = poses(heads.shapes(), faces)
    left, _, right = np.linalg.svd(views.mean(0), full_matrices=False)
    x, y = left @ right
    return np.asarray(heads.mean @ np.stack([x, y, np.cross(x, y)], 1))


def anatomical(head: Array) -> Array:
    """In millimetres, from midway between the eyes, with depth sheared and scaled as is set."""
    head = (head + head[IBUG68.flip] * [-1, 1, 1]) / 2  # the mean view is straight but for chance
    right, left = head[36:42].mean(0), head[42:48].mean(0)
    mm = (head - (right + left) / 2) * PUPILS_MM / np.linalg.norm(left - right)
    mm[:, 2] -= mm[:, 1] * (mm[8, 2] - mm[27, 2]) / (mm[8, 1] - mm[27, 1])
    mm[:, 2] *= TIP_MM / (mm[36, 2] - mm[30, 2])
    return np.asarray(mm)


def normalised(faces: Array) -> Array:
    """(2F, 68, 2) the faces and their mirror images, each with mean 0 and root mean square 1."""
    both = np.concatenate([faces, faces[:, IBUG68.flip] * [-1, 1]])
    both -= both.mean(1, keepdims=True)
    return np.asarray(both / np.sqrt(np.square(both).sum((1, 2), keepdims=True) / 68))


def fit(faces: Array, modes: int, rounds: int) -> Heads:
    """Expectation maximisation from the rigid head."""
    start = np.random.default_rng(0).normal(0, 0.01, (modes, 68, 3))
    heads = upright(Heads(rigid(faces), start, np.zeros((len(faces), modes)), 0.01))
    for _ in range(rounds):
        views, shifts = poses(heads.shapes(), faces)
        heads = upright(maximised(heads, faces - shifts[:, None], views))
    return heads


def rigid(faces: Array) -> Array:
    """(68, 3) the shape of rank three, its axes made metric: equal and orthogonal in every view."""
    left, sizes, right = np.linalg.svd(faces.swapaxes(1, 2).reshape(-1, 68), full_matrices=False)
    x, y = (left[:, :3] * sizes[:3]).reshape(-1, 2, 3).swapaxes(0, 1)
    upper = np.triu_indices(3)
    rows = [
        ((a[:, :, None] * b[:, None] + b[:, :, None] * a[:, None]) * np.where(np.eye(3), 0.5, 1))[:, upper[0], upper[1]]
        for a, b in ((x, y), (x, x), (y, y))
    ]
    metric = np.zeros((3, 3))
    metric[upper] = np.linalg.svd(np.concatenate([rows[0], rows[1] - rows[2]]), full_matrices=False)[2][-1]
    metric = metric + np.triu(metric, 1).T
    values, vectors = np.linalg.eigh(metric * np.sign(np.trace(metric)))
    return np.asarray(np.linalg.solve(vectors * np.sqrt(values), right[:3]).T)


def upright(heads: Heads) -> Heads:
    """The same heads with x along the mirrored pairs, y from the root of the nose to the chin, and size 1."""
    centred = heads.mean - heads.mean.mean(0)
    x = np.linalg.svd(centred - centred[IBUG68.flip])[2][0]
    x *= np.sign(x @ (centred[45] - centred[36]))
    down = centred[8] - centred[27]
    y = (down - x * (x @ down)) / np.linalg.norm(down - x * (x @ down))
    axes = np.stack([x, y, np.cross(x, y)], 1)
    if centred[30] @ axes[:, 2] > centred[[36, 45]].mean(0) @ axes[:, 2]:
        axes[:, 2] *= -1  # of the two that look alike in orthography, the one with its nose before its eyes
    mean = centred @ axes
    mean = (mean + mean[IBUG68.flip] * [-1, 1, 1]) / 2
    size = np.sqrt(np.square(mean).sum() / 68)
    return Heads(mean / size, heads.modes @ axes / size, heads.weights, heads.noise)


def poses(shapes: Array, faces: Array) -> tuple[Array, Array]:
    """Scaled orthographic views (F, 2, 3) and shifts (F, 2) that put the shapes on the faces, least squares."""
    middle, seen = shapes.mean(1), faces - faces.mean(1, keepdims=True)
    shapes = shapes - middle[:, None]
    affine = np.linalg.solve(shapes.swapaxes(1, 2) @ shapes, shapes.swapaxes(1, 2) @ seen).swapaxes(1, 2)
    for _ in range(4):
        left, sizes, right = np.linalg.svd(affine, full_matrices=False)
        affine = gauss_newton(sizes.mean(1)[:, None, None] * (left @ right), shapes, seen)
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    views = sizes.mean(1)[:, None, None] * (left @ right)
    return views, faces.mean(1) - np.einsum("fij,fj->fi", views, middle)


def gauss_newton(views: Array, shapes: Array, seen: Array) -> Array:
    """Views one step nearer; to first order still scaled rotations."""
    third = np.cross(views[:, :1], views[:, 1:]) / np.linalg.norm(views[:, :1], axis=2, keepdims=True)
    full = np.concatenate([views, third], 1)
    x, y, z = np.moveaxis(np.einsum("fij,fkj->fki", full, shapes), 2, 0)
    zero = np.zeros_like(x)
    of_x, of_y = np.stack([zero, z, -y, x], 2), np.stack([-z, zero, x, y], 2)  # by three rotations and the scale
    jacobian = np.concatenate([of_x, of_y], 1)
    rest = np.concatenate([seen[..., 0] - x, seen[..., 1] - y], 1)[..., None]
    squares, products = jacobian.swapaxes(1, 2) @ jacobian, jacobian.swapaxes(1, 2) @ rest
    a, b, c, scale = np.moveaxis(np.linalg.solve(squares, products)[..., 0], 1, 0)
    turn = np.stack([np.stack([scale, -c, b], 1), np.stack([c, scale, -a], 1)], 1)
    return np.asarray(views + turn @ full)


def maximised(heads: Heads, faces: Array, views: Array) -> Heads:
    """One round: the weights expected under these heads, then the heads most probable under those weights."""
    count, modes = heads.weights.shape
    seen_modes = np.einsum("fij,mkj->fkim", views, heads.modes).reshape(count, 136, modes)
    rest = (faces - np.einsum("fij,kj->fki", views, heads.mean)).reshape(count, 136, 1)
    spread = np.linalg.inv(seen_modes.swapaxes(1, 2) @ seen_modes / heads.noise + np.eye(modes))
    weights = (spread @ (seen_modes.swapaxes(1, 2) @ rest))[..., 0] / heads.noise
    ones = np.concatenate([np.ones((count, 1)), weights], 1)
    second = ones[:, :, None] * ones[:, None]
    second[:, 1:, 1:] += spread
    size = 3 * (modes + 1)
    normal = np.einsum("fab,fij->aibj", second, views.swapaxes(1, 2) @ views, optimize=True).reshape(size, size)
    right = np.einsum("fa,fij,fki->ajk", ones, views, faces, optimize=True).reshape(size, 68)
    mean, *moved = np.linalg.solve(normal, right).reshape(modes + 1, 3, 68).swapaxes(1, 2)
    new = Heads(mean, np.stack(moved), weights, 0.0)
    error = np.square(faces - np.einsum("fij,fkj->fki", views, new.shapes())).mean()
    new.noise = float(error + np.einsum("fpm,fmn,fpn->", seen_modes, spread, seen_modes, optimize=True) / faces.size)
    return new


if __name__ == "__main__":
    sys.exit(main())
