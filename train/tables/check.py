"""A check that the trainings of the tables run: two steps of each, on faces that are drawn at random."""

from __future__ import annotations

import json
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
from tracker.system.commit import commit
from tracker.system.files import write_file
from train.command_line import TrainingCLI
from train.tables import ROWS
from train.tables.configuration import Places, configured, starts
from train.tables.row import Options, Row, made, over

PICTURE = 160  # pixels a side
FACES = 2
STEPS = 2


class Checked(NamedTuple):
    """A training that was tried.

    Attributes:
        row: the row.
        loss: of the last step; NaN if there is an error.
        seconds: that it took.
        error: why it does not run, in one sentence; empty if it took its steps.
    """

    row: Row
    loss: float
    seconds: float
    error: str = ""


class Record:
    """A report on the trainings that were tried, written anew after each.

    Args:
        path: the .json file.
        size: as in check.
        accelerator: as in check.

    Raises:
        TrackerError: if the file cannot be written.
    """

    def __init__(self, path: Path, size: int | None, accelerator: str) -> None:
        self.path = path
        self.head = {"commit": commit(), "size": size, "accelerator": accelerator, "steps": STEPS}
        self.lines: list[str] = []
        self._write()

    def add(self, one: Checked) -> None:
        """Add a training; TrackerError if the file cannot be written."""
        found = {"error": one.error} if one.error else {"loss": float(f"{one.loss:.4g}")}
        line = {"training": one.row.id, "status": int(bool(one.error)), "seconds": round(one.seconds, 1), **found}
        self.lines.append(json.dumps(line))
        self._write()

    def _write(self) -> None:
        trainings = ",".join(f"\n  {line}" for line in self.lines)
        write_file(self.path, f'{json.dumps(self.head)[:-1]}, "trainings": [{trainings}\n]}}\n'.encode())


def check(rows: Iterable[Row], size: int | None = None, accelerator: str = "cpu") -> Iterator[Checked]:
    """Train each row for two steps of one face as train.run does, with its own net, objective and augmentation.

    A row that starts from the weights of another one does so, and that one is trained before it.

    Args:
        rows: to train.
        size: side of the crop in pixels; None for the paper's.
        accelerator: as trainer.accelerator.

    Yields:
        What came of each training, in order.
    """
    with tempfile.TemporaryDirectory() as folder:
        done: set[str] = set()
        for row in (one for each in rows for one in (*starts(each, ROWS), each)):
            if row.id not in done:
                done.add(row.id)
                yield _checked(row, Path(folder), size, accelerator)


def _checked(row: Row, folder: Path, size: int | None, accelerator: str) -> Checked:
    begun, loss, error = time.perf_counter(), math.nan, ""
    try:
        loss = _steps(row, folder, size, accelerator)
        if not math.isfinite(loss):
            error = f"its loss is {loss} after {STEPS} steps"
    except (Exception, SystemExit) as caught:
        error = " ".join(f"{type(caught).__name__}: {caught}".split())
    return Checked(row, loss, time.perf_counter() - begun, error)


def _steps(row: Row, folder: Path, size: int | None, accelerator: str) -> float:
    """Train a row; return the loss of the last step."""
    options = configured(row, Places(runs=folder))
    scheme = options["model"]["scheme"]
    options = over(options, _small(_faces(folder, scheme), scheme, folder / row.id, accelerator))
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
    if row.id in {each.start for each in ROWS.values()}:
        cli.trainer.save_checkpoint(folder / row.id / "last.ckpt")
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
