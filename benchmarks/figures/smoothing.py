"""The stages of image-aware label smoothing around a landmark (Yang & Yeh, Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.figures.models import expect_landmarks, new_figure, read_faces, save, show_face
from benchmarks.label_axes import STRIDE, aware_of, draw_edges, expect_size, scheme_of
from train.codecs.gaussian import cells_from_pixels
from train.targets.boundaries import EdgeProcedure
from train.targets.branches import branch_maps
from train.targets.label_smoothing import (
    EDGE_WEIGHT,
    NO_EDGE,
    SPOT_CELLS,
    covariances,
    distribution,
    gaussian_taps,
    refine,
)

STAGES = ("edges E", "refined E'", "0.01 E' / max + N", "label G")


def smoothing(
    path: Path,
    scheme: str = "ibug68",
    landmarks: Sequence[int] = (4, 19, 37, 51),
    size: int = 256,
    edges: EdgeProcedure = "distance",
    half_width: int = 8,
    gamma: float = 0.2,
    output: Path = Path("out/smoothing.png"),
) -> None:
    """Draw the stages for landmarks of the first face: for each a row with the edges of all curves, and with its own.

    Maps are of the patch around the landmark; M, and G, are drawn by their square roots, so that its 1 % of edges is
    seen. At the right are all labels of the face.

    Args:
        path: A folder of pictures with .pts files, or a .csv table, as train.datasets.CustomDataset takes it.
        scheme: The landmarks' scheme.
        landmarks: Numbers in the scheme, from 0.
        size: Side of the crop in pixels; the maps have a cell for four pixels.
        edges: How edge maps are drawn.
        half_width: Of train.targets.label_smoothing.ImageAware.
        gamma: Likewise.
        output: The .png file to write.
    """
    aware = aware_of(half_width, gamma)
    expect_size(size)
    shape = scheme_of(scheme)
    expect_landmarks(landmarks, shape.count)
    batch, _ = read_faces(path, scheme, size, 1)
    points = batch.points_px.double()
    maps, cells = draw_edges(points, shape, size, edges), size // STRIDE
    in_cells = cells_from_pixels(points, STRIDE)
    own = {k: of_branches for of_branches, indices in branch_maps(maps, in_cells, shape.curves) for k in indices}
    rows = [(landmark, whose) for landmark in landmarks for whose in aware]
    figure, axes = new_figure(len(rows), 2 + len(STAGES))
    for row, (landmark, whose) in zip(axes, rows):
        full = covariances(maps, points, STRIDE, aware[whose], shape.curves)
        labels = distribution(points, full, cells, STRIDE)[0]
        seen = maps if whose == "all" else own.get(landmark, torch.zeros_like(maps[:, :1]))
        stages = (
            seen.amax(1)[0],
            refine(seen)[0],
            joint_map(refine(seen)[0], in_cells[0, landmark], half_width),
            labels[landmark],
        )
        show_face(row[0], batch.crops[0], size)
        x, y = in_cells[0, landmark].round().tolist()
        reach = (half_width + 0.5) * STRIDE
        px, py = points[0, landmark].tolist()
        row[0].set(xlim=(px - reach, px + reach), ylim=(py + reach, py - reach), ylabel=f"{landmark}, {whose} edges")
        for name, image, cell in zip(STAGES, stages, row[1:]):
            cell.imshow(image.sqrt().numpy(), cmap="inferno")
            cell.plot(*in_cells[0, landmark].tolist(), "+", color="#3fd07c")
            limits = (x - half_width - 0.5, x + half_width + 0.5, y + half_width + 0.5, y - half_width - 0.5)
            cell.set(xlim=limits[:2], ylim=limits[2:])
            if row is axes[0]:
                cell.set_title(name, fontsize=8)
        show_face(row[-1], batch.crops[0], size)
        extent = (-0.5, size - 0.5, size - 0.5, -0.5)
        together = (labels / labels.amax((-2, -1), keepdim=True)).amax(0)
        row[-1].imshow(together.numpy(), extent=extent, cmap="inferno", alpha=0.7)
    save(figure, output)


def joint_map(refined: Tensor, point_cells: Tensor, half_width: int) -> Tensor:
    """(cells, cells) M around the cell of a point (2,) in the refined edges (cells, cells), 0 outside its patch."""
    cells = refined.shape[-1]
    x, y = (int(value) for value in point_cells.round().clamp(0, cells - 1))
    inside = torch.zeros_like(refined)
    inside[max(y - half_width, 0) : y + half_width + 1, max(x - half_width, 0) : x + half_width + 1] = 1
    _, values = gaussian_taps(SPOT_CELLS, refined)
    reach = SPOT_CELLS // 2
    spot = functional.pad(refined.new_zeros(cells, cells), [reach] * 4)
    spot[y : y + SPOT_CELLS, x : x + SPOT_CELLS] = torch.outer(values, values)
    return (
        EDGE_WEIGHT * refined * inside / (refined * inside).amax().clamp_min(NO_EDGE) + spot[reach:-reach, reach:-reach]
    )
