"""python -m benchmarks.convergence: compares objectives with the same small net, data, seeds and steps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._lib.trainings import Record, fit, kept, lfpw_test, mean_and_range, runs_of, task_of
from tracker.cli.command import run_command
from train.objectives import HeatmapMse, Isotropic, Objective, SoftArgmax, Star, Structured
from train.targets.label_smoothing import ImageAware

SIGMA_CELLS = 0.9  # of the heatmaps, and of the labels of our models
MATCHED_CELLS = 0.56  # the geometric mean of the deviations of image-aware labels, own edges, at 128 px
OBJECTIVES: dict[str, Objective] = {
    "structured": Structured(smoothing=None),
    "structured + isotropic, 0.56 cells": Structured(smoothing=Isotropic(MATCHED_CELLS)),
    "structured + isotropic, 0.9 cells": Structured(smoothing=Isotropic(SIGMA_CELLS)),
    "structured + image-aware, own edges": Structured(smoothing=ImageAware(half_width=8, gamma=0.2, edges="own")),
    "structured + image-aware, all edges": Structured(smoothing=ImageAware(half_width=8, gamma=0.2, edges="all")),
    "STAR": Star(),
    "soft-argmax, l2": SoftArgmax(),
    "heatmap, MSE": HeatmapMse(SIGMA_CELLS),
}
LEARNED = 10.0  # percent: an error above is that of a net that has not begun to find landmarks


def main() -> int:
    """Run the command line."""
    return run_command(convergence, "benchmarks.convergence")


def convergence(
    root: Path = Path("../shared/data/300w"),
    epochs: int = 12,
    seeds: int = 3,
    report: Path = Path("runs/convergence.json"),
) -> None:
    """Train every objective with every seed; print a table and write the curves as a picture beside the report.

    Results that the report already has are kept. The learning rate is the same for all; AdamW does not depend on the
    loss's scale.

    Args:
        root: 300W, with afw, helen and lfpw in it.
        epochs: of each training, with the whole schedule in them.
        seeds: how many trainings of each objective.
        report: the .json file to keep results in.
    """
    record, runs = kept(
        report, epochs, seeds, OBJECTIVES, lambda name, seed: trained(OBJECTIVES[name], root, epochs, seed)
    )
    print(table(runs), record["machine"], sep="\n")
    draw(runs, report.with_suffix(".png"))


def trained(objective: Objective, root: Path, epochs: int, seed: int) -> Record:
    """Train once; return the validation curve, and the NME on the test faces after the last epoch."""
    task = task_of(objective, seed)
    data, trainer = fit(task, root, epochs)
    (figures,) = trainer.validate(task, lfpw_test(root, data), verbose=False)
    curve = [round(error, 4) for error in task.curve.values()]
    return {"validation_nme_percent": curve, "lfpw_test_nme_percent": round(figures["val_nme"], 4)}


def curves(runs: Record, name: str) -> NDArray[np.float64]:
    """Return the validation NME (seeds, epochs) of an objective, in percent."""
    return np.array([run["validation_nme_percent"] for run in runs_of(runs, name)])


def epochs_to(curve: NDArray[np.float64], level: float) -> float:
    """Return the epochs until a curve reaches the level, interpolated linearly; NaN if it never does."""
    reached = np.flatnonzero(curve <= level)
    if not len(reached):
        return float("nan")
    last = int(reached[0])
    if last == 0:
        return 1.0
    before, after = curve[last - 1], curve[last]
    return last + float((before - level) / (before - after))


def table(runs: Record) -> str:
    """Format as Markdown, with two levels: the final NME of STAR, and the worst final NME of those that converged."""
    last = {name: float(curves(runs, name)[:, -1].mean()) for name in OBJECTIVES}
    levels = [last["STAR"], max(error for error in last.values() if error < LEARNED)]
    rows = [
        f"| objective | {' | '.join(f'epochs to {level:.2f} %' for level in levels)} | validation NME, % | "
        "lfpw/testset NME, % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in OBJECTIVES:
        found = curves(runs, name)
        test = [run["lfpw_test_nme_percent"] for run in runs_of(runs, name)]
        when = " | ".join(_when(found, level) for level in levels)
        rows.append(f"| {name} | {when} | {mean_and_range(found[:, -1].tolist())} | {mean_and_range(test)} |")
    return "\n".join(rows)


def _when(found: NDArray[np.float64], level: float) -> str:
    """Format the epochs to the level: of the mean curve, the range over the seeds, and how many never reach it."""
    each = [epochs_to(curve, level) for curve in found]
    reached = [epochs for epochs in each if np.isfinite(epochs)]
    if not reached:
        return "not reached"
    mean = epochs_to(found.mean(0), level)
    missing = f", {len(each) - len(reached)} not" if len(reached) < len(each) else ""
    return f"{mean:.1f} ({min(reached):.1f} to {max(reached):.1f}{missing})"


def draw(runs: Record, path: Path) -> None:
    """Plot the mean curve of every objective, and the range over its seeds."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in OBJECTIVES:
        found = curves(runs, name)
        epochs = np.arange(1, found.shape[1] + 1)
        (line,) = axes.plot(epochs, found.mean(0), label=name)
        axes.fill_between(epochs, found.min(0), found.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel="validation NME, % of the outer eye distance", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    sys.exit(main())
