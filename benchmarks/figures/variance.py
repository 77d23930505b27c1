"""Variance of the points over models trained with different seeds (STAR, section 5.3 and Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.figures.models import answer, load_models, read_faces, save
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import Scheme


def variance(
    checkpoints: Sequence[Path],
    path: Path,
    others: Sequence[Path] = (),
    faces: int = 1_000_000,
    output: Path = Path("out/variance.png"),
) -> None:
    """Draw how the variance of several models' points is distributed, and print its mean over faces and landmarks.

    The variance of a landmark of a face is the mean squared distance of the models' points from their mean, without
    bias, in pixels of the crop squared; the paper does not state its unit, and says 0.79 and 0.69.

    Args:
        checkpoints: Two or more of train.run that differ in their seed alone; the paper has five.
        path: A folder of pictures with .pts files, or a .csv table, as train.datasets.CustomDataset takes it.
        others: Of another objective, to compare with.
        faces: The first ones of the folder.
        output: The .png file to write.
    """
    groups = {"checkpoints": checkpoints, "others": others} if others else {"checkpoints": checkpoints}
    for name, paths in groups.items():
        if len(paths) < 2:
            raise TrackerError(f"--{name}: expected two or more checkpoints, got {len(paths)}")
    models = load_models([*checkpoints, *others])
    task = models[0].task
    batch, _ = read_faces(path, task.scheme.name, task.size, faces)
    points = np.stack([answer(model, batch).points_px.double().numpy() for model in models])
    found = {"checkpoints": variances(points[: len(checkpoints)])}
    if others:
        found["others"] = variances(points[len(checkpoints) :])
    axes = (figure := Figure(figsize=(6, 4), dpi=120, layout="constrained")).subplots()
    edges = np.linspace(0, float(np.quantile([*found.values()], 0.99)) or 1, 41)
    for (name, values), colour in zip(found.items(), ("#d1495b", "#30638e")):
        title = models[0 if name == "checkpoints" else len(checkpoints)].title
        axes.hist(
            values.ravel(), edges.tolist(), alpha=0.5, color=colour, label=f"{title} and {len(groups[name]) - 1} more"
        )
        axes.axvline(float(values.mean()), color=colour)
        parts = ", ".join(f"{part} {value:.3f}" for part, value in by_group(task.scheme, values).items())
        print(f"{title} and {len(groups[name]) - 1} more, {len(values)} faces: {values.mean():.3f} px²; {parts}")
    axes.set(xlabel="variance of a landmark, px² of the crop; lines: the mean", ylabel="landmarks")
    axes.legend(fontsize=7)
    save(figure, output)


def variances(points: Array) -> Array:
    """(N, K) of the points (M, N, K, 2) of M models."""
    squares = np.square(points - points.mean(0)).sum(-1)
    return np.asarray(squares.sum(0) / (len(points) - 1))


def by_group(scheme: Scheme, values: Array) -> dict[str, float]:
    """The mean of values (N, K) for each part of the face."""
    return {name: float(values[:, list(indices)].mean()) for name, indices in scheme.groups.items()}
