"""Fuzzes checkpoints and the YAML files of trainings."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import instantiate_module

from benchmarks._lib.fuzzing.read_options import said
from benchmarks._lib.fuzzing.reader import Files, Reader, expect
from tracker.errors import TrackerError
from train.checkpoints import build, load_weights, read_checkpoint
from train.loaders import FaceData
from train.run import main
from train.task import LandmarkTask

CONFIGURATION = Path(__file__).parents[3] / "configs/train/edge68.yaml"
TASK: dict[str, Any] = {
    "net": {"class_path": "train.models.edge.EdgeHourglass", "init_args": {"channels": [8, 8], "stem": 8}},
    "objective": {
        "class_path": "train.objectives.Structured",
        "init_args": {"margin": "smooth_l1", "smoothing": {"sigma_cells": 0.9}, "window": 7},
    },
    "scheme": "ibug68",
    "size": 32,
    "learning_rate": 2e-3,
    "milestones": [3, 5],
    "start": None,
}
DATA: dict[str, Any] = {
    "source": {"class_path": "train.datasets.W300", "init_args": {"root": "faces", "on_invalid": "refuse"}},
    "size": 32,
    "keep_gb": 0.5,
}


def _checkpoints() -> list[Files]:
    task = instantiate_module(LandmarkTask, TASK)
    instantiator = {"_instantiator": "lightning.pytorch.cli.instantiate_module"}
    raw = {
        "epoch": 2,
        "global_step": 12,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": task.state_dict(),
        "loops": {"fit_loop": {"epoch_progress": {"current": {"completed": 2}}}},
        "callbacks": {},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "lr_schedulers": [{"last_epoch": 12}],
        "hyper_parameters": {**TASK, **instantiator},
        "datamodule_hyper_parameters": {**DATA, **instantiator},
    }
    out = io.BytesIO()
    torch.save(raw, out)
    return [{"a.ckpt": out.getvalue()}]


def _read_checkpoint(folder: Path) -> None:
    path = folder / "a.ckpt"
    checkpoint = read_checkpoint(path, resume=True)
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = build(LandmarkTask, checkpoint, path)
        load_weights(task, checkpoint, path)
        data = build(FaceData, checkpoint, path)
    expect(task.size > 0 and data.batch > 0, f"the sizes are {task.size} and {data.batch}")


def _read_configuration(folder: Path) -> None:
    before = sys.argv
    sys.argv = ["train.run", "fit", "--config", str(folder / "training.yaml"), "--print_config"]
    try:
        said(main)
    finally:
        sys.argv = before


READERS = {
    "checkpoints": Reader(
        _checkpoints,
        _read_checkpoint,
        (TrackerError,),
        ("train.checkpoints",),
        traced=2,
    ),
    "training YAML": Reader(
        lambda: [{"training.yaml": CONFIGURATION.read_bytes()}],
        _read_configuration,
        (TrackerError,),
        ("train.option_errors", "train.run:main"),
        traced=1,
    ),
}
