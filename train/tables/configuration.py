"""A row as a configuration of train.run, and the commands that train and test it."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tracker.errors import TrackerError
from tracker.system.files import unwritable, write_whole
from train.objectives.base import READING
from train.tables.row import DATA, TITLES, Options, Row, over

WIDTH = 118


def configured(row: Row, data: Path = Path(DATA), runs: Path = Path("runs")) -> Options:
    """Return the whole configuration of a row.

    Args:
        row: the row.
        data: the folder that holds the data sets.
        runs: that of the trainings.
    """
    folder = {"trainer": {"default_root_dir": str(runs / row.id), "log_every_n_steps": 50}}
    options: Options = _placed(over(row.options, folder), data, runs)
    return options


def _placed(value: Any, data: Path, runs: Path) -> Any:
    """Put the paths that the table states into these folders."""
    if isinstance(value, dict):
        return {name: _placed(each, data, runs) for name, each in value.items()}
    for stated, folder in ((DATA, data), ("runs", runs)):
        if isinstance(value, str) and value.startswith(f"{stated}/"):
            return str(folder / value.partition("/")[2])
    return value


def as_yaml(row: Row, data: Path = Path(DATA), runs: Path = Path("runs")) -> str:
    """Return the configuration as a file, whose header says what it stands for and where it departs from the paper.

    Args:
        row: the row.
        data: as in configured.
        runs: as in configured.
    """
    header = [
        f"{TITLES[row.paper]}: {row.table}, {row.row} ({row.data}).",
        f"Published: {row.figures}.",
        "Not trained to the end here. data.batch is the batch of one process: over several, give each its part.",
        "Departures from the paper:",
        *(f"- {departure}" for departure in row.departures),
        "Written by python -m train.tables write: change the table, not this file.",
    ]
    lines = [
        line for text in header for line in textwrap.wrap(text, WIDTH, subsequent_indent="  " * text.startswith("-"))
    ]
    body: str = yaml.safe_dump(configured(row, data, runs), sort_keys=False, default_flow_style=False)
    return "".join(f"# {line}\n" for line in lines) + body


def write_rows(rows: Iterable[Row], folder: Path, data: Path, runs: Path) -> list[Path]:
    """Write the configuration of each row into a folder, as ID.yaml.

    Args:
        rows: to write.
        folder: where to.
        data: as in configured.
        runs: as in configured.

    Returns:
        The files.

    Raises:
        TrackerError: if that is not possible.
    """
    files = []
    for row in rows:
        path = folder / f"{row.id}.yaml"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, as_yaml(row, data, runs).encode())
        except OSError as error:
            raise unwritable(path, error) from None
        files.append(path)
    if not files:
        raise TrackerError("no row was chosen; python -m train.tables list shows all")
    return files


def commands(row: Row, trained: Row, folder: Path = Path("papers")) -> tuple[str, str]:
    """Return the command that trains a row, and the one that tests it.

    Args:
        row: the row.
        trained: the first row that is the same training.
        folder: of the configurations.
    """
    fit = f"python -m train.run fit --config {folder / trained.id}.yaml"
    if not row.published:  # other rows start from it
        return fit, ""
    others = "".join(f" --data.{name} {value}" for name, value in row.test.items())
    test = f"python -m train.run test --config {folder / row.id}.yaml --ckpt_path runs/{trained.id}/last.ckpt{others}"
    return fit, test


def distinct(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows that are one training together; the first of each is the one to train.

    Rows that differ only in how the trained maps are read are one training.

    Args:
        rows: to group.
    """
    trainings: dict[str, list[Row]] = {}
    for row in rows:
        learned = copy.deepcopy(row.options)
        consistency = learned["model"].get("weights", {}).get("consistency", 1)
        if learned["data"].get("views", 1) == 1 or not consistency:  # else points are compared, as they are read
            for name in READING:
                learned["model"]["objective"]["init_args"].pop(name, None)
        trainings.setdefault(yaml.safe_dump(learned), []).append(row)
    return [*trainings.values()]
