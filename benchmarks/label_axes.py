"""python -m benchmarks.label_axes: whether image-aware labels lie along the boundary curves of real faces."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tracker.cli.command import run_command
from tracker.datasets.collect import expect_scheme
from tracker.datasets.folder import read_custom
from tracker.datasets.sample import DatasetError
from tracker.errors import TrackerError
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array, transform_points
from tracker.face.schemes import Scheme
from train.targets.boundaries import EdgeProcedure, edge_maps
from train.targets.branches import branches
from train.targets.label_smoothing import ImageAware, covariances, deviations

STRIDE = 4
EYE_CELLS = (4, 5, 6, 7, 8, 9, 10, 11, 12)
"""The widths of an eye, in cells, between which label_axes counts eyes together."""


class Axes(NamedTuple):
    """Medians over a group of landmarks on all faces.

    Degrees between a label's long axis and its curve, the ratio of the axes, and the standard deviations across and
    along the curve, in cells.
    """

    degrees: float
    ratio: float
    across: float
    along: float


def main() -> int:
    """Run the command line."""
    return run_command(label_axes, "benchmarks.label_axes")


def label_axes(
    path: Path,
    scheme: str = "ibug68",
    sizes: Sequence[int] = (256, 128),
    edges: Sequence[EdgeProcedure] = ("distance",),
    half_width: int = 8,
    gamma: float = 0.2,
    eye_widths: bool = False,
) -> None:
    """Measure direction and shape of image-aware labels on the labelled faces of a folder.

    Args:
        path: A folder of pictures with .pts files, or a .csv table, as train.datasets.CustomDataset takes it.
        scheme: The landmarks' scheme.
        sizes: Sides of the crop in pixels; the maps have a cell for four pixels.
        edges: How edge maps are drawn.
        half_width: Of train.targets.label_smoothing.ImageAware.
        gamma: Likewise.
        eye_widths: Also print them for the eyes by their width, the largest distance of two landmarks of an eye.
    """
    shape, aware = scheme_of(scheme), aware_of(half_width, gamma)
    for size in sizes:
        expect_size(size)
    if eye_widths and not eyes_of(shape):
        raise TrackerError(f"--eye-widths: {scheme} has no group of landmarks for an eye")
    try:
        faces = [sample.points_px for sample in read_custom(path, scheme)]
    except DatasetError as error:
        raise TrackerError(str(error)) from None
    print(f"{len(faces)} faces; degrees between axis and curve, ratio of the axes, cells across x along; medians")
    for size in sizes:
        points = in_crops(faces, size)
        for procedure in edges:
            maps = draw_edges(points, shape, size, procedure)
            for whose, smoothing in aware.items():
                print(f"{size} px, {procedure}, edges {whose}:")
                for group, axes in measure(points, maps, shape, smoothing).items():
                    print(f"  {group:<10} {described(axes)}", flush=True)
                if eye_widths:
                    width = float(eye_cells(points, shape).median())
                    print(f"  eyes by width in cells, median {width:.1f}:")
                    for cells, (count, axes) in measure_eyes(points, maps, shape, smoothing).items():
                        print(f"    {cells:<10} {count:5} eyes {described(axes)}", flush=True)


def described(axes: Axes) -> str:
    """Return them as a line of the table."""
    return f"{axes.degrees:3.0f} {axes.ratio:5.2f}  {axes.across:.2f} x {axes.along:.2f}"


def scheme_of(name: str) -> Scheme:
    """The scheme of that name. Raises TrackerError for another."""
    try:
        return expect_scheme(name)
    except DatasetError as error:
        raise TrackerError(f"--scheme: {error}") from None


def aware_of(half_width: int, gamma: float) -> dict[str, ImageAware]:
    """The smoothing with the edges of all curves, and with those of the own one. Raises TrackerError as ImageAware."""
    try:
        return {"all": ImageAware(half_width, gamma, edges="all"), "own": ImageAware(half_width, gamma, edges="own")}
    except ValueError as error:
        raise TrackerError(f"--{error}") from None


def expect_size(size: int) -> None:
    """Raise TrackerError for a side of the crop that edge maps cannot be drawn for."""
    if size < 32 or size % STRIDE:
        raise TrackerError(f"--size: expected a multiple of {STRIDE} from 32 on, got {size}")


def in_crops(faces: Sequence[Array], size: int) -> Tensor:
    """(N, K, 2) the points of faces (K, 2) in crops of that side in pixels."""
    return torch.from_numpy(np.stack([transform_points(roi_of_landmarks(p).crop_from_image(size), p) for p in faces]))


def draw_edges(points: Tensor, scheme: Scheme, size: int, procedure: EdgeProcedure = "distance") -> Tensor:
    """(N, E, cells, cells) edge maps of points (N, K, 2)."""
    return torch.from_numpy(np.stack([edge_maps(p, scheme, size, STRIDE, procedure) for p in points.numpy()]))


def measure(points: Tensor, edges: Tensor, scheme: Scheme, smoothing: ImageAware) -> dict[str, Axes]:
    """By the scheme's groups, of those landmarks of points (N, K, 2) in pixels that lie on a curve."""
    full = covariances(edges, points, STRIDE, smoothing, scheme.curves)
    degrees, widths = degrees_off(points, full, scheme), deviations(full)
    measured = {}
    for group, indices in scheme.groups.items():
        shown = [k for k in indices if not degrees[:, k].isnan().all()]
        if shown:
            across, along = widths[:, shown].unbind(-1)
            values = (degrees[:, shown], along / across, across, along)
            measured[group] = Axes(*(float(value.median()) for value in values))
    return measured


def measure_eyes(points: Tensor, edges: Tensor, scheme: Scheme, smoothing: ImageAware) -> dict[str, tuple[int, Axes]]:
    """Return the number of eyes of each range of width that has some, and the medians over their landmarks.

    Args:
        points: (N, K, 2) in pixels.
        edges: (N, E, cells, cells).
        scheme: of the landmarks.
        smoothing: of the labels.
    """
    full = covariances(edges, points, STRIDE, smoothing, scheme.curves)
    degrees, widths = degrees_off(points, full, scheme), deviations(full)
    cells, eyes = eye_cells(points, scheme), eyes_of(scheme)
    measured = {}
    for low, high in zip((-np.inf, *EYE_CELLS), (*EYE_CELLS, np.inf)):
        inside = (cells >= low) & (cells < high)
        if not inside.any():
            continue
        angles = torch.cat([degrees[chosen][:, eye].flatten() for chosen, eye in zip(inside.unbind(1), eyes)])
        shapes = torch.cat([widths[chosen][:, eye].flatten(0, 1) for chosen, eye in zip(inside.unbind(1), eyes)])
        across, along = shapes.unbind(-1)
        axes = Axes(*(float(value.nanmedian()) for value in (angles, along / across, across, along)))
        name = f"below {high}" if low < 0 else f"from {low}" if high == np.inf else f"{low} to {high}"
        measured[name] = (int(inside.sum()), axes)
    return measured


def eyes_of(scheme: Scheme) -> list[list[int]]:
    """Return the landmarks of each eye."""
    return [[*indices] for group, indices in scheme.groups.items() if group.endswith("eye")]


def eye_cells(points: Tensor, scheme: Scheme) -> Tensor:
    """Return the widths (N, eyes) in cells of the eyes of points (N, K, 2) in pixels."""
    corners = [points[:, eye] for eye in eyes_of(scheme)]
    return torch.stack([torch.cdist(eye, eye).amax((1, 2)) for eye in corners], 1) / STRIDE


def degrees_off(points: Tensor, covariances: Tensor, scheme: Scheme) -> Tensor:
    """(N, K) the angle between the long axis of covariances (N, K, 3) and the curve; NaN for a landmark on no curve.

    The curve's direction at a landmark is that from the landmark before it to the one after it on its branch, at an
    end of a branch that from or to the landmark itself. Where several branches meet, the nearest direction counts.
    """
    xx, xy, yy = covariances.unbind(-1)
    axis = torch.atan2(2 * xy, xx - yy) / 2
    nearest = torch.full_like(axis, torch.nan)
    for curve in scheme.curves:
        for chain in branches(curve):
            ring = chain[0] == chain[-1]
            padded = (chain[-2] if ring else chain[0], *chain, chain[1] if ring else chain[-1])
            for before, landmark, after in zip(padded, chain, padded[2:]):
                way = points[:, after] - points[:, before]
                apart = axis[:, landmark] - torch.atan2(way[:, 1], way[:, 0])
                degrees = torch.rad2deg(torch.asin(torch.sin(apart).abs()))
                nearest[:, landmark] = torch.fmin(nearest[:, landmark], degrees)
    return nearest


if __name__ == "__main__":
    sys.exit(main())
