"""python -m benchmarks.rendered_heads --ict FOLDER: the error of head_pose on renders with known poses.

The head is ICT-FaceKit's neutral one, from which the mean head was made: projected to points, and rendered as pictures
in which the packaged model finds the points. So this measures the solver and the model, not variation among heads.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.pose import angles
from tools.ict_head import JAW, IctHead, read_ict_head
from tools.mean_head import millimetres, origin
from tracker import HeadPose, Landmarks, camera_matrix
from tracker.analysis.head_pose import RIGID, mean_head_mm, nearest_pose
from tracker.cli.command import run_command
from tracker.engines.loading import load_engine
from tracker.face.schemes import IBUG68
from tracker.tracking.estimator import LandmarkEstimator, next_roi
from tracker.weights.packaged import landmark_model

Array = NDArray[np.float64]

SIZE, DISTANCE_MM = (640, 480), 600.0
PITCHES, YAWS, ROLLS = (-30, -15, 0, 15, 30), (-45, -30, -15, 0, 15, 30, 45), (-20, 0, 20)
NOISES = (0.01, 0.02, 0.03, 0.04)  # standard deviation of a coordinate, over the outer eye corners' distance
DRAWS = 10
SLAB_MM, LIGHT = 2.5, np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
SKIN, LIPS, HAIR, WHITE, IRIS = (205, 160, 135), (170, 90, 85), (60, 45, 40), (235, 230, 225), (70, 50, 40)
MATERIALS = ("M_Face", "M_BackHead", "M_ScleraLeft", "M_ScleraRight", "M_EyeLashes")
IRIS_UNITS, BROW_UNITS = 0.6, 0.35  # radius of an iris and half the height of a brow, in the unit of the mesh
FINE = 2  # pictures are drawn so many times as large and then averaged


def main() -> int:
    """Run the command line."""
    return run_command(rendered_heads, "benchmarks.rendered_heads")


def rendered_heads(ict: Path, model: Path | None = None, pictures: Path | None = None, threads: int = 1) -> None:
    """Print tables of errors in degrees: of pitch, yaw and roll over a grid of poses.

    Args:
        ict: the folder of ICT-FaceKit's neutral head.
        model: a landmark model for the drawn pictures; the packaged one if not given.
        pictures: a folder to write the drawn pictures to.
        threads: of OpenCV.
    """
    cv2.setNumThreads(threads)
    head = read_ict_head(ict)
    poses = [rotation_of(*np.radians(turns)) for turns in product(PITCHES, YAWS, ROLLS)]
    camera = camera_matrix(*SIZE)
    print("| points | mean error, pitch, yaw, roll | root mean square |\n| --- | --- | --- |")
    exact = np.stack([project(mean_head_mm(), rotation, camera) for rotation in poses])
    print(row("projected", errors(exact, poses, camera)))
    rng = np.random.default_rng(0)
    for noise in NOISES:
        size = noise * np.linalg.norm(mean_head_mm()[45] - mean_head_mm()[36]) * camera[0, 0] / DISTANCE_MM
        noisy = [errors(exact + rng.normal(0, size, exact.shape), poses, camera) for _ in range(DRAWS)]
        print(row(f"projected, noise of {noise:.0%} of the eyes' distance", np.concatenate(noisy)))
    contour = np.stack([with_contour_jaw(head, rotation, camera) for rotation in poses])
    moved = np.linalg.norm(contour - exact, axis=2)[:, : 2 * JAW + 1].mean() * DISTANCE_MM / camera[0, 0]
    print(row(f"projected, the jaw on the visible contour ({moved:.1f} mm off)", errors(contour, poses, camera)))
    print(row("the same, solved on all 68 points", errors(contour, poses, camera, range(68))))
    for factor in (0.5, 2.0):
        wrong = camera_matrix(*SIZE, focal_px=factor * SIZE[0])
        print(
            row(
                f"projected, the camera's focal length taken for {factor:g} times what it is",
                errors(exact, poses, wrong),
            )
        )
    estimator, drawn = LandmarkEstimator(load_engine(landmark_model(model))), DrawnHead(head)
    seen = []
    for number, (rotation, points_px) in enumerate(zip(poses, exact)):
        picture = drawn.picture(rotation)
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(pictures / f"{number:03}.png"), picture[..., ::-1])
        view = next_roi(Landmarks.from_points(points_px, IBUG68))
        seen.append(estimator.estimate_twice(picture, [view])[0].landmarks.points_px)  # as Tracker does
    found = errors(np.stack(seen), poses, camera)
    print(row("drawn, found by the model", found))
    print("\n| drawn, found by the model: yaw | mean error, pitch, yaw, roll | root mean square |\n| --- | --- | --- |")
    truth = np.array([true_angles(rotation) for rotation in poses])
    for yaw in sorted({round(float(value)) for value in np.degrees(truth[:, 1])}):
        print(row(f"{yaw}", found[np.degrees(truth[:, 1]).round() == yaw]))
    for name, column in (("pitch", 0), ("yaw", 1)):
        slope = np.polyfit(truth[:, column], truth[:, column] + found[:, column], 1)[0]
        print(f"a degree of {name} is measured as {slope:.2f}")


def row(name: str, errors_rad: Array) -> str:
    """Format a row of a table."""
    figures = np.degrees([errors_rad.mean(0), np.sqrt(np.square(errors_rad).mean(0))])
    mean, spread = (", ".join(f"{value:.2f}" for value in values) for values in figures.round(2) + 0.0)
    return f"| {name} | {mean} | {spread} |"


def rotation_of(pitch: float, yaw: float, roll: float) -> Array:
    """Return Rz(roll) @ Ry(yaw) @ Rx(pitch), angles in radians."""
    x, y, z = (cv2.Rodrigues(angle * axis)[0] for angle, axis in zip((pitch, yaw, roll), np.eye(3)))
    return np.asarray(z @ y @ x, np.float64)


def true_angles(rotation: Array) -> Array:
    """Return pitch, yaw and roll (3,)."""
    return angles(HeadPose(rotation, np.zeros(3), 0.0))


def project(points_mm: Array, rotation: Array, camera: Array) -> Array:
    """Project through a pinhole at DISTANCE_MM, (N, 2)."""
    seen = (points_mm @ rotation.T + (0, 0, DISTANCE_MM)) @ camera.T
    return np.asarray(seen[:, :2] / seen[:, 2:])


def errors(points_px: Array, poses: list[Array], camera: Array, used: Sequence[int] = RIGID) -> Array:
    """Return the estimated minus the true angles (N, 3); used are the points to solve with."""
    found = [angles(nearest_pose(points, camera, used)) for points in points_px]
    return np.stack(found) - [true_angles(rotation) for rotation in poses]


def in_mm(head: IctHead) -> Array:
    """Return the vertices (V, 3) in the frame of tracker.analysis.head_pose."""
    return np.asarray((head.vertices - origin(head)) * millimetres(head))


def with_contour_jaw(head: IctHead, rotation: Array, camera: Array) -> Array:
    """Return the projected points (68, 2).

    Points of the jaw that are hidden behind the cheek are moved to the cheek's outline at the same height, where
    annotators and models put them.
    """
    points, points_px = mean_head_mm(), project(mean_head_mm(), rotation, camera)
    skin = in_mm(head)[sorted({index for polygon in head.faces["M_Face"] for index in polygon})]
    skin_px = project(skin, rotation, camera)
    across = points_px[45] - points_px[36]
    across /= np.linalg.norm(across)
    for index in range(2 * JAW + 1):
        side = np.sign(points[index, 0]) * across
        level = (np.abs(skin[:, 1] - points[index, 1]) < SLAB_MM) & (skin[:, 2] <= points[index, 2])
        if np.any(side) and level.any():
            outermost = skin_px[level][(skin_px[level] @ side).argmax()]
            if outermost @ side > points_px[index] @ side:
                points_px[index] = outermost
    return points_px


class DrawnHead:
    """Renders the head as pictures of SIZE with the painter's algorithm, matt, under one light."""

    def __init__(self, head: IctHead) -> None:
        self._vertices = in_mm(head)
        polygons = [(polygon, material) for material in MATERIALS for polygon in head.faces[material]]
        self._polygons = np.array([(*polygon, polygon[-1])[:4] for polygon, _ in polygons])  # of 3 or 4 corners
        middles = head.vertices[self._polygons].mean(1)
        self._colours = np.array(
            [colour(head, place, material) for place, (_, material) in zip(middles.tolist(), polygons)]
        )

    def picture(self, rotation: Array) -> NDArray[np.uint8]:
        """(H, W, 3) RGB."""
        width, height = SIZE
        camera = np.diag([FINE, FINE, 1.0]) @ camera_matrix(*SIZE)
        vertices = self._vertices @ rotation.T + (0, 0, DISTANCE_MM)
        seen_px = ((vertices @ camera.T)[:, :2] / vertices[:, 2:]).round().astype(np.int32)
        corners = vertices[self._polygons]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        light = 0.35 + 0.65 * np.maximum(normals @ LIGHT, 0)
        colours = (light[:, None] * self._colours).tolist()
        towards = np.flatnonzero((normals * corners[:, 0]).sum(1) < 0)
        canvas = np.full((height * FINE, width * FINE, 3), 120, np.uint8)
        for place in towards[corners[towards, :, 2].mean(1).argsort()[::-1]]:
            cv2.fillConvexPoly(canvas, seen_px[self._polygons[place]], colours[place])
        small = cv2.resize(canvas, SIZE, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.7), np.uint8)


def colour(head: IctHead, place: list[float], material: str) -> tuple[int, int, int]:
    """Return the colour of a surface point, in the unit of the mesh: skin, lips, brows, sclera, iris or lashes."""
    x, y, z = place
    if material == "M_EyeLashes":
        return HAIR
    if material.startswith("M_Sclera"):
        centre = head.eyeballs[int(x > 0)]
        return IRIS if np.hypot(x - centre[0], y - centre[1]) < IRIS_UNITS else WHITE
    points = head.points[:, :2]
    if z < head.points[36, 2]:  # the front of the face
        lips, mouth = (points[first:last].astype(np.float32) for first, last in ((48, 60), (60, 68)))
        if cv2.pointPolygonTest(lips, (x, y), False) > 0 >= cv2.pointPolygonTest(mouth, (x, y), False):
            return LIPS
        if min(np.linalg.norm(near(points[first : first + 5], x) - (x, y)) for first in (17, 22)) < BROW_UNITS:
            return HAIR
    return SKIN


def near(line: Array, x: float) -> Array:
    """Return the point (2,) of a line (N, 2), ordered along x, at x or at its nearer end."""
    at = float(np.clip(x, line[0, 0], line[-1, 0]))
    return np.array([at, np.interp(at, line[:, 0], line[:, 1])])


if __name__ == "__main__":
    sys.exit(main())
