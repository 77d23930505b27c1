"""python -m benchmarks.sweeps --group G: the settings of an objective, with the small nets of these benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._lib.trainings import (
    Precision,
    Record,
    edge_net,
    fit,
    kept,
    lfpw_test,
    mean_and_range,
    runs_of,
    task_of,
)
from tracker.cli.command import run_command
from train.models.attention import Masking
from train.models.hourglass import Activation, StackedHourglass
from train.objectives import Objective, SoftArgmax, Star, Structured, Subpixel
from train.targets.label_smoothing import ImageAware
from train.terms import Weights

Group = Literal["structured", "star", "subpixel", "weights", "attention"]
PUBLISHED = "as published"
OWN_READING = "its own"  # of a setting's maps, by its objective
OWN = ImageAware(half_width=8, gamma=0.2, edges="own")
ALONE, BESIDE = Weights(1, 0, 0), Weights(1, 10, 10)
STAR_CODE = Star(reading="linear")


@dataclass(frozen=True)
class Setting:
    """A training.

    Args:
        objective: what it learns towards.
        make_net: returns the untrained net.
        weights: of the terms.
        readings: other objectives that read the same trained maps.
        precision: of the training.
    """

    objective: Objective
    make_net: Callable[[], nn.Module] = edge_net
    weights: Weights = Weights()
    readings: Mapping[str, Objective] = field(default_factory=dict)
    precision: Precision = "32-true"


def _hourglass(activation: Activation, masking: Masking) -> StackedHourglass:
    """Return one stack of the papers' hourglass with point and edge maps, four times narrower."""
    return StackedHourglass("ibug68", stacks=1, levels=3, width=64, activation=activation, masking=masking)


def _with_maps(
    objective: Objective, weights: Weights, activation: Activation = "none", masking: Masking = "none"
) -> Setting:
    """Return a setting of the narrow hourglass; in bfloat16, as its trainings take twice as long as the others."""
    return Setting(objective, partial(_hourglass, activation, masking), weights, precision="bf16-mixed")


def _balanced(landmarks: float, points: float = 10.0, edges: float = 10.0) -> Setting:
    return _with_maps(Structured(smoothing=OWN), Weights(landmarks, points, edges))


GROUPS: dict[Group, dict[str, Setting]] = {
    "structured": {  # Yang & Yeh, Tables 5 and 6, Eq. 9 and 12, A1.3
        PUBLISHED: Setting(Structured(smoothing=OWN)),
        "margin none": Setting(Structured(smoothing=OWN, margin="none")),
        "margin l2": Setting(Structured(smoothing=OWN, margin="l2")),
        "margin l1": Setting(Structured(smoothing=OWN, margin="l1")),
        "STAR on the same labels": Setting(Star(smoothing=OWN)),
        "hard maximum": Setting(Structured(smoothing=OWN, epsilon=0)),
        "epsilon 0.1": Setting(Structured(smoothing=OWN, epsilon=0.1)),
        "epsilon 10": Setting(Structured(smoothing=OWN, epsilon=10)),
        "alpha 0.1": Setting(Structured(smoothing=OWN, alpha=0.1)),
        "alpha 10": Setting(Structured(smoothing=OWN, alpha=10)),
        "10 drawn cells": Setting(Structured(smoothing=OWN, samples=10)),
    },
    "star": {  # Tables 3 to 5, read by a softmax
        "smooth l1, value restriction, w 1": Setting(Star()),
        "l1": Setting(Star(kind="l1")),
        "l2": Setting(Star(kind="l2")),
        "without STAR, smooth l1": Setting(SoftArgmax(kind="smooth_l1")),
        "without STAR, l1": Setting(SoftArgmax(kind="l1")),
        "without STAR, l2": Setting(SoftArgmax(kind="l2")),
        "no restriction": Setting(Star(weight=0)),
        "detach restriction": Setting(Star(restriction="detach")),
        "w 5": Setting(Star(weight=5)),
        "w 20": Setting(Star(weight=20)),
        "with distribution regularisation": Setting(Star(regularisation=1)),
    },
    "subpixel": {  # Table 3, and tau of Eq. 4: the same maps, read otherwise
        PUBLISHED: Setting(
            Subpixel(),
            readings={
                "no window, argmax": Subpixel(decoder="argmax"),
                "window 3": Subpixel(window=3),
                "window 5": Subpixel(window=5),
                "window 7": Subpixel(window=7),
                "window 5, tau 5": Subpixel(temperature=5),
                "window 5, tau 20": Subpixel(temperature=20),
            },
        ),
    },
    "weights": {  # lambda of the landmarks beside point and edge maps with 10, and without them
        "landmarks alone": _balanced(1, 0, 0),
        "1, 10, 10": _balanced(1),
        "10, 10, 10": _balanced(10),
        "100, 10, 10": _balanced(100),
        "5000, 10, 10": _balanced(5000),
    },
    "attention": {  # STAR's Table 3, basic and AAM, with the reading of its code; F of Yang & Yeh's A2 is open
        "STAR": _with_maps(STAR_CODE, ALONE, "instance_norm_relu"),
        "STAR, mask times map": _with_maps(STAR_CODE, BESIDE, "instance_norm_relu", "multiply"),
        "structured": _with_maps(Structured(smoothing=OWN), ALONE),
        "structured, map plus logarithm of the mask": _with_maps(Structured(smoothing=OWN), BESIDE, masking="add_log"),
    },
}


class Gradients(lightning.Callback):
    """Keeps the norm of each term's gradient at the first step and at the last that was logged."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Read what the task has logged."""
        logged: Mapping[str, Tensor] = trainer.callback_metrics
        found = {name: float(value) for name, value in logged.items() if name.endswith("_gradient")}
        self.first = self.first or found
        self.last = found


def main() -> int:
    """Run the command line."""
    return run_command(sweeps, "benchmarks.sweeps")


def sweeps(
    group: Group,
    root: Path = Path("../shared/data/300w"),
    epochs: int = 12,
    seeds: int = 1,
    folder: Path = Path("runs/sweeps"),
) -> None:
    """Train every setting of a group and print a table.

    Results that the report in the folder already has are kept.

    Args:
        group: of settings.
        root: 300W, with afw, helen and lfpw in it.
        epochs: of each training, with the whole schedule in them.
        seeds: how many trainings of each setting.
        folder: of the reports, one .json file for each group.
    """
    settings = GROUPS[group]
    report = folder / f"{group}.json"
    record, runs = kept(report, epochs, seeds, settings, lambda name, seed: trained(settings[name], root, epochs, seed))
    print(table(runs, settings), record["machine"], sep="\n")


def trained(setting: Setting, root: Path, epochs: int, seed: int) -> Record:
    """Train once; return the errors after the last epoch, on the test faces by reading, and the gradients."""
    gradients = Gradients()
    task = task_of(setting.objective, seed, setting.make_net, weights=setting.weights)
    data, trainer = fit(task, root, epochs, [gradients], setting.precision)
    curve = [*task.curve.values()]
    found = {}
    for name, objective in ({OWN_READING: setting.objective} | dict(setting.readings)).items():
        task.objective = objective
        (figures,) = trainer.validate(task, lfpw_test(root, data), verbose=False)
        found[name] = round(figures["val_nme"], 4)
    return {
        "validation_nme_percent": round(curve[-1], 4),
        "lfpw_test_nme_percent": found,
        "gradients": {"first": gradients.first, "last": gradients.last},
    }


def table(runs: Record, settings: Mapping[str, Setting]) -> str:
    """Format as Markdown: a row for every reading of every setting, with means and ranges over the seeds.

    The norms of the gradients are columns where there are several terms.
    """
    several = any(run["gradients"]["first"] for run in runs.values())
    heads = ["setting", "validation NME, %", "lfpw/testset NME, %"]
    rows = [[*heads, "gradients at the start", "at the end"] if several else heads]
    rows.append(["---"] * len(rows[0]))
    for name in settings:
        found = runs_of(runs, name)
        gradients = [_gradients([run["gradients"][when] for run in found]) for when in ("first", "last")]
        validation = _mean([run["validation_nme_percent"] for run in found])
        for reading in found[0]["lfpw_test_nme_percent"]:
            test = _mean([run["lfpw_test_nme_percent"][reading] for run in found])
            rows.append(
                [reading if reading != OWN_READING else name, validation, test, *(gradients if several else [])]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _mean(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return mean_and_range(values)


def _gradients(found: list[dict[str, float]]) -> str:
    names = [name.removesuffix("_gradient") for name in found[0]]
    return ", ".join(f"{name} {np.mean([run[f'{name}_gradient'] for run in found]):.3g}" for name in names)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    sys.exit(main())
