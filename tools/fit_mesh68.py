"""python -m tools.fit_mesh68 --london FOLDER --ict FOLDER --teacher-python PYTHON: fits mesh68.json.

The file states where iBUG's 68 points lie on FaceMesh's mesh, fitted to hand-labelled faces (docs/labels.md).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from tqdm import tqdm

from tools.ict_surface import Head, read_head
from tools.london import ibug68, read_template
from tracker.cli.command import run_command
from tracker.datasets.sample import DatasetError
from tracker.detectors.base import CalibratedDetector
from tracker.detectors.loading import DetectorName, load_detector
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68
from tracker.system.files import write_whole
from train.label import Unusable, Views
from train.labels.mesh68 import CHIN, JAW, TABLE, VERTICES, Mesh68, as_json
from train.labels.teachers import WORKER, FaceMesh
from train.labels.views import average

VIEWS, SEED, FOLDS = 8, 0, 6
NEAREST = 12  # triangles tried for a point
_DEEP = (*range(6), *range(11, JAW))  # points of the jaw that the head says the depth of
OUTSIDE = 0.02  # of the eyes' distance: what a weight of -1 costs, so that points stay in their triangle
STEP, LONGEST = 0.04, 0.6  # of the eyes' distance: along a jaw point's stretch
MIDDLE = 0.12  # stretches across the face end so near to its middle, where the nose and the mouth begin
# The inner contours of the lips, from the right corner to the left one. In the London set mouths are shut, so that
# distances do not say on which of the two lips a point lies; its name does.
_INNER_LIPS = (
    (range(61, 64), (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)),
    (range(65, 68), (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)),
)


def _axes() -> Array:
    """Return weights (3, 478) of three directions of the mesh.

    They are along the outer eye corners, down the nose, and from its root back to the middle of the temples.
    """
    axes = np.zeros((3, VERTICES))
    axes[0, [33, 263]] = -1, 1
    axes[1, [168, 2]] = -1, 1
    axes[2, [168, 127, 356]] = -1, 0.5, 0.5
    return axes


_AXES = _axes()


def main() -> int:
    """Run the command line."""
    return run_command(fit_mesh68, "tools.fit_mesh68")


def fit_mesh68(
    london: Path, ict: Path, teacher_python: Path, table: Path = TABLE, detector: DetectorName = "auto"
) -> None:
    """Fit the positions of the 68 points on the mesh, write the table, and print the errors against hand labels.

    Args:
        london: the Face Research Lab London Set: NAME.jpg beside NAME.tem.
        ict: the folder of ICT-FaceKit's neutral head, generic_neutral_mesh.obj beside landmarks.json.
        teacher_python: the Python of an environment that has mediapipe==0.10.21.
        table: the .json file to write.
        detector: finds the faces.
    """
    finder, head = load_detector(detector), read_head(ict)
    teacher = FaceMesh([str(teacher_python), str(WORKER)])
    try:
        pictures = sorted(path.with_suffix(".jpg") for path in london.glob("*.tem"))
        if not pictures:
            raise TrackerError(f"{london}: expected NAME.jpg beside NAME.tem, found none; correct --london")
        truth = np.stack([ibug68(read_template(path.with_suffix(".tem"))) for path in pictures])
        flip = mirror_permutation(pictures, teacher, finder)
        teacher.flip = flip
        views = Views(teacher, finder, VIEWS, SEED)
        meshes = np.stack([average(views.look(path))[0] for path in tqdm(pictures, disable=None)])
    except (DatasetError, Unusable) as error:
        raise TrackerError(f"{london}: {error}") from None
    finally:
        teacher.close()
    triangles = triangles_of(teacher.edges)
    result = learn(meshes, truth, flip, triangles, head)
    errors = cross_validate(meshes, truth, flip, triangles, head)
    parts = {name: round(100 * float(errors[:, list(indices)].mean()), 2) for name, indices in IBUG68.groups.items()}
    about = {
        "made_by": "python -m tools.fit_mesh68",
        "from": "Face Research Lab London Set (CC BY 4.0); depth of the jaw: ICT-FaceKit (MIT)",
        "faces": len(pictures),
        "teacher": teacher.about["sha256"],
        "left_out_error_percent": parts,
    }
    write_whole(table, as_json(result, about).encode("ascii"))
    print(f"{len(pictures)} faces, error on those left out, % of the outer eye corners' distance:")
    print(", ".join(f"{name} {value}" for name, value in parts.items()), f"mean {100 * errors.mean():.2f}; see {table}")


def mirror_permutation(pictures: list[Path], teacher: FaceMesh, detector: CalibratedDetector) -> NDArray[np.intp]:
    """(478,) the vertex that takes place v in a mirrored picture, from one view of each face as it is and one mirrored.

    Raises TrackerError for vertices that do not pair up, Unusable as Views.look.
    """
    teacher.flip = np.arange(VERTICES)  # so that the mirrored view's vertices stay in their order
    views = Views(teacher, detector, 2, SEED)
    meshes = np.stack([views.look(path) for path in tqdm(pictures, disable=None)])
    return mirror_pairs(meshes[:, 0], meshes[:, 1], teacher.edges)


def mirror_pairs(straight: Array, mirrored: Array, edges: list[tuple[int, int]]) -> NDArray[np.intp]:
    """Return the permutation that brings mirrored meshes (N, 478, 3) closest to the original ones of the same faces.

    Vertices are compared together with the means of their neighbours and of these neighbours' neighbours: the two lips
    of a shut mouth lie on each other, but what is around them does not.
    """
    joined = np.eye(VERTICES)
    for a, b in edges:
        joined[a, b] = joined[b, a] = 1
    joined /= joined.sum(1, keepdims=True)

    def described(meshes: Array) -> Array:
        levels = np.concatenate([meshes, joined @ meshes, joined @ joined @ meshes], 2)
        return np.asarray(levels.transpose(1, 0, 2).reshape(VERTICES, -1))

    pairs = linear_sum_assignment(cdist(described(mirrored), described(straight), "sqeuclidean"))[1]
    if (pairs[pairs] != np.arange(VERTICES)).any():
        raise TrackerError("the teacher's vertices do not pair up in a mirror; use the pictures of the London set")
    return np.asarray(pairs, np.intp)


def triangles_of(edges: list[tuple[int, int]]) -> NDArray[np.intp]:
    """Return the triangles (n, 3) that edges between vertices form."""
    near: dict[int, set[int]] = {}
    for a, b in edges:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    found = {tuple(sorted((a, b, c))) for a in near for b, c in combinations(near[a], 2) if c in near[b]}
    return np.array(sorted(found), np.intp)


def learn(meshes: Array, truth: Array, flip: NDArray[np.intp], triangles: NDArray[np.intp], head: Head) -> Mesh68:
    """Fit the table that brings meshes (N, 478, 3) closest to hand labels (N, 68, 2), symmetric in the face.

    head: says how deep the jaw lies.
    """
    seen, wanted = _both_sides(meshes, truth, flip)
    weights = np.zeros((IBUG68.count, VERTICES))
    corners = {index: contour for indices, contour in _INNER_LIPS for index in indices}
    for index, row in enumerate(weights):
        if index in corners:
            vertices, shares = _on_contour(seen, wanted[:, index], corners[index])
        else:
            vertices, shares = _in_triangle(seen, wanted[:, index], triangles)
        np.add.at(row, list(vertices), shares)
    mean = mean_mesh(meshes, flip)
    inner = slice(27, 68)  # without the brows, which the head does not show
    line = _aligned(head.landmarks[inner], weights[inner] @ mean, head.jaw_line)
    for index in _DEEP:
        weights[index] = _with_depth(weights[index], seen, wanted[:, index], mean, line, triangles)
    weights = (weights + weights[IBUG68.flip][:, flip]) / 2
    outward, stretches = _stretches(mean, weights, triangles, flip)
    return Mesh68(flip, weights, outward, stretches)


def cross_validate(
    meshes: Array, truth: Array, flip: NDArray[np.intp], triangles: NDArray[np.intp], head: Head
) -> Array:
    """Return distances (N, 68) from the hand labels, over that of the outer eye corners, by cross-validation.

    The table for each face is fitted without the fold of the face.
    """
    errors = np.empty(truth.shape[:2])
    for fold in range(FOLDS):
        out = np.arange(len(meshes)) % FOLDS == fold
        table = learn(meshes[~out], truth[~out], flip, triangles, head)
        for face in np.flatnonzero(out):
            length = np.linalg.norm(IBUG68.ocular_axis @ truth[face])
            errors[face] = np.linalg.norm(table.points(meshes[face]) - truth[face], axis=1) / length
    return errors


def _both_sides(meshes: Array, truth: Array, flip: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return meshes (2 N, 478, 2) and labels (2 N, 68, 2), each face as it is and mirrored.

    The unit is the distance of the eyes, the origin is midway between them.
    """
    mirror = np.array([-1.0, 1.0])
    seen = np.concatenate([meshes[..., :2], meshes[:, flip, :2] * mirror])
    wanted = np.concatenate([truth, truth[:, IBUG68.flip] * mirror])
    axis = np.abs(IBUG68.ocular_axis)
    middle = np.einsum("k,nkd->nd", axis / axis.sum(), wanted)[:, None]
    length = np.linalg.norm(np.einsum("k,nkd->nd", IBUG68.ocular_axis, wanted), axis=1)[:, None, None]
    return (seen - middle) / length, (wanted - middle) / length


def _on_contour(seen: Array, wanted: Array, contour: Sequence[int]) -> tuple[Sequence[int], Array]:
    """Return the position on a contour closest to points (N, 2) over all faces: two vertices and their weights."""
    found = []
    for a, b in pairwise(contour):
        along, away = seen[:, b] - seen[:, a], wanted - seen[:, a]
        share = float(np.clip((along * away).sum() / (along**2).sum(), 0, 1))
        error = float(np.linalg.norm(away - share * along, axis=1).mean())
        found.append((error, (a, b), np.array([1 - share, share])))
    return min(found, key=lambda place: place[0])[1:]


def _in_triangle(seen: Array, wanted: Array, triangles: NDArray[np.intp]) -> tuple[Sequence[int], Array]:
    """Return the position in a triangle's plane closest to points (N, 2) over all faces."""
    centres = seen.mean(0)[triangles].mean(1)
    found = []
    for triangle in triangles[np.linalg.norm(centres - wanted.mean(0), axis=1).argsort()[:NEAREST]]:
        a, b, c = seen[:, triangle].transpose(1, 0, 2)
        sides = np.stack([b - a, c - a], 2).reshape(-1, 2)
        shares = np.linalg.lstsq(sides, (wanted - a).ravel(), rcond=None)[0]
        weights = np.array([1 - shares.sum(), *shares])
        error = np.linalg.norm(np.einsum("v,vnd->nd", weights, np.stack([a, b, c])) - wanted, axis=1).mean()
        found.append((float(error + OUTSIDE * max(0.0, -weights.min())), triangle.tolist(), weights))
    return min(found, key=lambda place: place[0])[1:]


def _with_depth(
    row: Array, seen: Array, wanted: Array, mean: Array, depth_line: Array, triangles: NDArray[np.intp]
) -> Array:
    """(478,) a point of the jaw, which pictures from the front place in two dimensions, on the jaw line of a head.

    Near the outline the surface runs away from who looks at it: from the front one cannot see how deep a point lies,
    but on the near side of a turned face that is what moves it. The point is the nearest place of the surface and an
    offset along three axes of the mesh, which turn with it.

    row: (478,) the place in the plane, on one side of the face. seen, wanted: (N, 478, 2), (N, 2). mean: as mean_mesh.
    depth_line: (n, 3) the head's jaw line from above to the chin, in the mean mesh's frame.
    """
    target = row @ mean
    target[2] = np.interp(target[1], depth_line[:, 1], depth_line[:, 2])
    grid = np.array([(a, b, 9 - a - b) for a in range(10) for b in range(10 - a)]) / 9  # places in a triangle
    places = grid @ mean[triangles]
    triangle, share = np.unravel_index(((places - target) ** 2).sum(2).argmin(), places.shape[:2])
    result = np.linalg.solve((_AXES @ mean).T, target - places[triangle, share]) @ _AXES
    result[triangles[triangle]] += grid[share]
    missing = wanted - np.einsum("v,nvd->nd", result, seen)
    across = np.einsum("av,nvd->nda", _AXES[:2], seen)
    return np.asarray(result + np.linalg.lstsq(across.reshape(-1, 2), missing.ravel(), rcond=None)[0] @ _AXES[:2])


def mean_mesh(meshes: Array, flip: NDArray[np.intp]) -> Array:
    """Return the mean (478, 3) of meshes (N, 478, 3), rotated to the front, symmetric, of size 1, centred."""
    mirror = np.array([-1.0, 1.0, 1.0])
    mean = meshes[0]
    for _ in range(5):
        mean = mean - mean.mean(0)
        mean = (mean + mean[flip] * mirror) / 2
        mean /= np.linalg.norm(mean)
        mean = np.mean([_aligned(mesh, mean) for mesh in meshes], 0)
    return np.asarray((mean + mean[flip] * mirror) / 2)


def _aligned(mesh: Array, to: Array, moved: Array | None = None) -> Array:
    """Align a mesh with another by a similarity (Kabsch, Umeyama); move other points with it."""
    centred, target = mesh - mesh.mean(0), to - to.mean(0)
    left, sizes, right = np.linalg.svd(centred.T @ target)
    proper = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = (sizes * proper).sum() / (centred**2).sum()
    points = centred if moved is None else moved - mesh.mean(0)
    return np.asarray(scale * points @ (left * proper) @ right + to.mean(0))


def _stretches(
    mean: Array, weights: Array, triangles: NDArray[np.intp], flip: NDArray[np.intp]
) -> tuple[Array, tuple[Array, ...]]:
    """Where out is for the points of the jaw (17, 2), and the surface from each of them inwards, seen from the front.

    A stretch runs against the outline's normal as far as there is surface, LONGEST at the most. Those of the left side
    are the mirror images of the right side's.
    """
    unit = np.linalg.norm(IBUG68.ocular_axis @ weights @ mean[:, :2])
    mean = mean / unit
    jaw = (weights @ mean)[:JAW, :2]
    along = np.gradient(jaw, axis=0)
    outward = np.column_stack([-along[:, 1], along[:, 0]]) / np.linalg.norm(along, axis=1)[:, None]
    outward = (outward + outward[IBUG68.flip[:JAW]] * [-1, 1]) / 2
    right = []
    for index, out in enumerate(outward[: CHIN + 1]):
        rows = [weights[index]]
        for distance in np.arange(STEP, LONGEST, STEP):
            place = jaw[index] - distance * out
            if abs(place[0]) < MIDDLE < abs(jaw[index, 0]):
                break
            rows.append(_on_surface(place, mean, triangles))
        right.append(np.array([row for row in rows if row is not None]))
    right[CHIN] = (right[CHIN] + right[CHIN][:, flip]) / 2
    return outward, (*right, *(stretch[:, flip] for stretch in right[CHIN - 1 :: -1]))


def _on_surface(place: Array, mean: Array, triangles: NDArray[np.intp]) -> Array | None:
    """(478,) the weights of the frontmost place of the surface at (x, y); None beside the surface."""
    a, b, c = mean[triangles].transpose(1, 0, 2)
    (x1, y1), (x2, y2), (x, y) = (b - a)[:, :2].T, (c - a)[:, :2].T, (place - a[:, :2]).T
    area = x1 * y2 - y1 * x2
    with np.errstate(divide="ignore", invalid="ignore"):
        second, third = (x * y2 - y * x2) / area, (x1 * y - y1 * x) / area
    shares = np.column_stack([1 - second - third, second, third])
    hit = np.flatnonzero((shares >= -1e-9).all(1))
    if not len(hit):
        return None
    depth = (shares[hit] * mean[triangles[hit], 2]).sum(1)
    chosen = hit[depth.argmin()]
    row = np.zeros(VERTICES)
    row[triangles[chosen]] = shares[chosen]
    return row


if __name__ == "__main__":
    sys.exit(main())
