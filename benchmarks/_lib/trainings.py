"""Short trainings of one small net on 300W, for benchmarks that compare objectives or representations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
from torch import nn
from torch.utils.data import DataLoader

from benchmarks._lib.machine import machine
from benchmarks._lib.reports import check_report, write_report
from tracker.datasets.w300 import read_folder
from train.augmentation import Augmentation
from train.datasets import W300
from train.loaders import Crops, FaceData
from train.models.edge import EdgeHourglass
from train.objectives import Objective
from train.targets.boundaries import EdgeProcedure
from train.task import Batch, LandmarkTask

Record = dict[str, Any]
Precision = Literal["32-true", "bf16-mixed"]  # as Lightning names them
CHANNELS = (64, 96, 128, 128)


def edge_net(cell_head: nn.Module | None = None) -> EdgeHourglass:
    """Return the untrained net of configs/train/edge68.yaml, with a head of train.models.heads if one is given."""
    return EdgeHourglass(channels=CHANNELS, stacks=1, block="bottleneck", cell_head=cell_head)


def task_of(
    objective: Objective, seed: int, make_net: Callable[[], nn.Module] = edge_net, **options: Any
) -> LandmarkTask:
    """Return a task whose net is made with the seed; the options are LandmarkTask's."""
    lightning.seed_everything(seed, verbose=False)
    return LandmarkTask(make_net(), objective, weight_decay=1e-2, seed=seed, **options)


def fit(
    task: LandmarkTask,
    root: Path,
    epochs: int,
    callbacks: Sequence[lightning.Callback] = (),
    precision: Precision = "32-true",
) -> tuple[FaceData, lightning.Trainer]:
    """Train with the complete schedule in so many epochs, without averaging; return the data and the trainer.

    Views of Siamese training are drawn independently of each other, as in its paper.
    """
    needed = task.objective.needs_edges or any(term.needs_edges(task.net) for term in task.terms)
    augmentation = Augmentation(near="independent") if task.weights.siamese else Augmentation()
    edges: EdgeProcedure | None = "distance" if needed else None
    data = FaceData(W300(root), augmentation=augmentation, edges=edges, seed=task.seed, views=task.views)
    trainer = lightning.Trainer(
        accelerator="auto",
        max_epochs=epochs,
        precision=precision,
        enable_model_summary=False,
        logger=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        callbacks=[*callbacks],
    )
    trainer.fit(task, data)
    return data, trainer


def kept(
    report: Path, epochs: int, seeds: int, names: Iterable[str], trained: Callable[[str, int], Record]
) -> tuple[Record, Record]:
    """Return the report and its runs by "name, seed S"; runs that it does not have are trained and added."""
    check_report(report)
    record: Record = json.loads(report.read_text()) if report.exists() else {}
    runs = record.setdefault(f"{epochs} epochs", {})
    for seed, name in product(range(1, seeds + 1), names):
        if f"{name}, seed {seed}" not in runs:
            runs[f"{name}, seed {seed}"] = trained(name, seed)
            record["machine"] = machine()
            write_report(report, record)
    return record, runs


def runs_of(runs: Record, name: str) -> list[Record]:
    """Return the runs of every seed."""
    return [run for key, run in runs.items() if key.rpartition(", seed")[0] == name]


def mean_and_range(values: Sequence[float]) -> str:
    """Format a figure of several seeds."""
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def lfpw_test(root: Path, data: FaceData) -> DataLoader[Batch]:
    """Return the crops of lfpw/testset, without augmentation."""
    return DataLoader(Crops(read_folder(root / "lfpw/testset"), data.size), data.batch)
