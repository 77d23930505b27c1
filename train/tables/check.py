"""A check that the trainings of the tables run: two steps of each, on faces that are drawn at random."""

from __future__ import annotations

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import yaml

from tracker.datasets.pts_files import write_pts
from tracker.errors import TrackerError
from tracker.face.schemes import scheme_named
from train.command_line import TrainingCLI
from train.tables.configuration import configured
from train.tables.row import Options, Row, made, over

PICTURE = 160  # pixels a side
FACES = 2
STEPS = 2


class Checked(NamedTuple):
    """A training that took its steps.

    Attributes:
        row: the row.
        loss: of the last step.
        seconds: that it took.
    """

    row: Row
    loss: float
    seconds: float


def check(rows: Iterable[Row], size: int | None = None, accelerator: str = "cpu") -> Iterator[Checked]:
    """Train each row for two steps of one face as train.run does, with its own net, objective and augmentation.

    Args:
        rows: to train.
        size: side of the crop in pixels; None for the paper's.
        accelerator: as trainer.accelerator.

    Raises:
        TrackerError: naming the row, for one that does not run or whose loss is not finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            begun = time.perf_counter()
            try:
                loss = _steps(row, Path(folder), size, accelerator)
            except (Exception, SystemExit) as error:
                raise TrackerError(f"{row.id} does not run: {type(error).__name__}: {error}") from error
            if not math.isfinite(loss):
                raise TrackerError(f"{row.id}: its loss is {loss} after {STEPS} steps")
            yield Checked(row, loss, time.perf_counter() - begun)


def _steps(row: Row, folder: Path, size: int | None, accelerator: str) -> float:
    """Train a row; return the loss of the last step."""
    options = configured(row, runs=folder)
    scheme = options["model"]["scheme"]
    options = over(options, _small(_faces(folder, scheme), scheme, folder / row.id, accelerator))
    options["model"].pop("start", None)
    if size is not None:
        options["data"]["size"] = size
        if options["model"]["net"]["class_path"].endswith("HihNet"):
            options["model"]["net"]["init_args"]["size"] = size
    config = folder / f"{row.id}.yaml"
    config.write_text(yaml.safe_dump(options))
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cli = TrainingCLI.run(args=["fit", f"--config={config}"])
    if cli.trainer.global_step != STEPS:
        raise TrackerError(f"expected {STEPS} steps, it took {cli.trainer.global_step}")
    return float(cli.trainer.callback_metrics["train_loss"])


def _small(faces: Path, scheme: str, folder: Path, accelerator: str) -> Options:
    """Return options that make a training one of two steps on these faces."""
    trainer = {
        "default_root_dir": str(folder),
        "accelerator": accelerator,
        "devices": 1,
        "max_epochs": 1,
        "limit_train_batches": STEPS,
        "sync_batchnorm": False,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    source = made("train.datasets.CustomDataset", path=str(faces), scheme=scheme, validation="none")
    return {"trainer": trainer, "data": {"source": source, "batch": 1, "workers": 0}}


def _faces(folder: Path, scheme: str) -> Path:
    """Return a folder of pictures of noise with points of that scheme, made once."""
    faces = folder / scheme
    if not faces.exists():
        faces.mkdir()
        rng = np.random.default_rng(0)
        for i in range(FACES):
            picture = rng.integers(0, 256, (PICTURE, PICTURE, 3), dtype=np.uint8)
            cv2.imwrite(str(faces / f"{i}.png"), picture)
            write_pts(faces / f"{i}.pts", rng.uniform(0.2, 0.8, (scheme_named(scheme).count, 2)) * PICTURE)
    return faces
