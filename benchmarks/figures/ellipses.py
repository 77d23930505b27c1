"""The principal axes of predicted maps on faces (STAR, Fig. 1 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Ellipse

from benchmarks.figures.models import answer, load_models, new_figure, read_faces, save, show_face
from tracker.face.schemes import Scheme
from train.losses.star import principal_axes, unbiased_covariance
from train.maps import mean_point

WIDEST = 4.0  # eccentricity at which the blue is full


def ellipses(
    checkpoints: Sequence[Path],
    path: Path,
    faces: int = 4,
    deviations: float = 1.0,
    output: Path = Path("out/ellipses.png"),
) -> None:
    """Draw an ellipse for each landmark along the axes of its map's covariance: a row for each checkpoint.

    Its half axes are so many standard deviations, its blue is the ratio of the eigenvalues. Prints the medians of ratio
    and of standard deviations for each part of the face.

    Args:
        checkpoints: Of train.run, with one scheme and size of the crop.
        path: A folder of pictures with .pts files, or a .csv table, as train.datasets.CustomDataset takes it.
        faces: The first ones of the folder.
        deviations: Half axes of an ellipse in standard deviations.
        output: The .png file to write.
    """
    models = load_models(checkpoints)
    task = models[0].task
    batch, _ = read_faces(path, task.scheme.name, task.size, faces)
    figure, axes = new_figure(len(models), len(batch.crops))
    colours = ScalarMappable(Normalize(1, WIDEST), "Blues")
    for model, row in zip(models, axes):
        maps = answer(model, batch).maps.double()
        mean = mean_point(maps)
        eigenvalues, directions = principal_axes(unbiased_covariance(maps, mean))
        half = (maps.shape[-1] - 1) / 2 * model.task.stride  # pixels for 1 in [-1, 1]
        centre = (mean + 1) * half + (model.task.stride - 1) / 2
        spread = eigenvalues.clamp_min(0).sqrt() * half
        angle = torch.rad2deg(torch.atan2(directions[..., 1, 1], directions[..., 0, 1]))
        ratio = eigenvalues[..., 1] / eigenvalues[..., 0].clamp_min(1e-12)
        for face, cell in enumerate(row):
            show_face(cell, batch.crops[face], task.size)
            shades = colours.to_rgba(ratio[face].numpy())
            for k, shade in enumerate(shades):
                (x, y), (across, along) = centre[face, k].tolist(), (2 * deviations * spread[face, k]).tolist()
                turn = float(angle[face, k])
                cell.add_patch(Ellipse((x, y), along, across, angle=turn, fc=shade, ec="#103050", lw=0.6))
        row[0].set_ylabel(model.title, fontsize=7)
        print(f"{model.title}, {len(batch.crops)} faces: ratio of the eigenvalues, px across x along")
        for name, values in by_group(task.scheme, ratio, spread).items():
            print(f"  {name:<10} {values[0]:.2f}  {values[1]:.2f} x {values[2]:.2f}")
    figure.colorbar(colours, ax=[cell for row in axes for cell in row], shrink=0.6, label="ratio of the eigenvalues")
    save(figure, output)


def by_group(scheme: Scheme, ratio: torch.Tensor, spread: torch.Tensor) -> dict[str, list[float]]:
    """Medians of ratio (N, K) and of spread (N, K, 2) over faces and a group's landmarks."""
    every = torch.cat([ratio[..., None], spread], -1)
    return {
        name: every[:, list(indices)].flatten(0, 1).median(0).values.tolist() for name, indices in scheme.groups.items()
    }
