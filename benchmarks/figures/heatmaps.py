"""Heatmaps of several checkpoints side by side: of epochs or of objectives (Yang & Yeh, Fig. 4 and A1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures.models import answer, expect_landmarks, load_models, new_figure, read_faces, save, show_face


def heatmaps(
    checkpoints: Sequence[Path],
    path: Path,
    landmarks: Sequence[int] = (8, 37),
    faces: int = 3,
    output: Path = Path("out/heatmaps.png"),
) -> None:
    """Draw the map of a landmark over the face: a row for each face and landmark, a column for each checkpoint.

    Maps are the distributions that points are read from, each scaled to its own highest cell, whose share is printed.
    The label is a green cross, what was read a red one.

    Args:
        checkpoints: Of train.run; of several epochs or of several objectives, with one scheme and size of the crop.
        path: A folder of pictures with .pts files, or a .csv table, as train.datasets.CustomDataset takes it.
        landmarks: Numbers in the scheme, from 0.
        faces: The first ones of the folder.
        output: The .png file to write.
    """
    models = load_models(checkpoints)
    task = models[0].task
    expect_landmarks(landmarks, task.scheme.count)
    batch, _ = read_faces(path, task.scheme.name, task.size, faces)
    rows = [(face, landmark) for face in range(len(batch.crops)) for landmark in landmarks]
    figure, axes = new_figure(len(rows), len(models))
    for column, model in enumerate(models):
        found = answer(model, batch)
        for row, (face, landmark) in enumerate(rows):
            cell = axes[row][column]
            image = found.maps[face, landmark]
            show_face(cell, batch.crops[face], task.size)
            extent = (-0.5, task.size - 0.5, task.size - 0.5, -0.5)
            cell.imshow((image / image.max()).numpy(), extent=extent, cmap="inferno", alpha=0.65, vmin=0, vmax=1)
            for points, colour in ((batch.points_px, "#3fd07c"), (found.points_px, "#ff5a50")):
                cell.plot(*points[face, landmark].tolist(), "+", color=colour, markersize=9)
            cell.set_xlabel(f"{float(image.max()):.1%} in a cell", fontsize=7)
            if row == 0:
                cell.set_title(model.title, fontsize=7)
            if column == 0:
                cell.set_ylabel(f"landmark {landmark}", fontsize=8)
    save(figure, output)
