"""Models side by side on the same faces, with the labels (Yang & Yeh, Fig. 5; STAR, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures.models import FOUND, TRUTH, answer, load_models, new_figure, read_faces, save, show_face
from tracker.errors import TrackerError


def compare(
    checkpoints: Sequence[Path],
    path: Path,
    faces: int = 1_000_000,
    shown: int = 6,
    output: Path = Path("out/compare.png"),
) -> None:
    """Draw the faces on which two models differ most: labels in green, what was found in red, NME in percent.

    A row for each face, the one that the first model loses by most and the one that it wins by most in turns; a column
    for each checkpoint. Prints the mean NME of each and how many faces the first has a smaller error on.

    Args:
        checkpoints: Two or more of train.run, with one scheme and size of the crop.
        path: A folder of pictures with .pts files, or a .csv table, as train.datasets.CustomDataset takes it.
        faces: The first ones of the folder.
        shown: How many of them are drawn.
        output: The .png file to write.
    """
    if len(checkpoints) < 2:
        raise TrackerError(f"--checkpoints: expected two or more checkpoints, got {len(checkpoints)}")
    models = load_models(checkpoints)
    task = models[0].task
    batch, names = read_faces(path, task.scheme.name, task.size, faces)
    answers = [answer(model, batch) for model in models]
    by_loss = np.argsort(answers[1].percent - answers[0].percent)
    drawn = [each for pair in zip(by_loss, by_loss[::-1]) for each in pair][: min(shown, len(by_loss))]
    figure, axes = new_figure(len(drawn), len(models))
    for row, face in zip(axes, drawn):
        for cell, model, found in zip(row, models, answers):
            show_face(cell, batch.crops[face], task.size)
            for points, colour in ((batch.points_px, TRUTH), (found.points_px, FOUND)):
                cell.plot(points[face, :, 0].numpy(), points[face, :, 1].numpy(), ".", color=colour, markersize=3)
            cell.set_xlabel(f"{found.percent[face]:.2f} %", fontsize=8)
            if row is axes[0]:
                cell.set_title(model.title, fontsize=7)
        row[0].set_ylabel(Path(names[face]).name, fontsize=7)
    for model, found in zip(models, answers):
        print(f"{model.title}: NME {found.percent.mean():.3f} % of {len(names)} faces")
    wins = int((answers[0].percent < answers[1].percent).sum())
    print(f"the first has the smaller error on {wins} of {len(names)} faces, beside the second")
    save(figure, output)
