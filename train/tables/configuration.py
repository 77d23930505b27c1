"""A row as a configuration of train.run, and the commands that train and test it."""

from __future__ import annotations

import copy
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tracker.errors import TrackerError
from tracker.system.files import unwritable, write_whole
from train.objectives.base import READING
from train.tables.row import DATA, TEST, TITLES, Options, Row, over

WIDTH = 118
RUNS = "runs"
"""Stands for the folder of the trainings until a configuration is written."""


class Places(NamedTuple):
    """The folders that commands and configurations name.

    Attributes:
        data: that holds the data sets.
        runs: of the trainings.
        papers: of the configurations.
    """

    data: Path = Path(DATA)
    runs: Path = Path(RUNS)
    papers: Path = Path("papers")

    @property
    def options(self) -> dict[str, str]:
        """The folders that are not the usual ones, by the names of their options."""
        usual = self._field_defaults
        return {name: str(value) for name, value in self._asdict().items() if value != usual[name]}


PLACES = Places()


class Step(NamedTuple):
    """A command of a row.

    Attributes:
        name: what it is for: start, train, export or test.
        command: to be given to a shell.
    """

    name: str
    command: str


def configured(row: Row, places: Places = PLACES) -> Options:
    """Return the whole configuration of a row.

    Args:
        row: the row.
        places: the folders.
    """
    folder = places.runs / row.id
    own = {
        "trainer": {"default_root_dir": str(folder), "log_every_n_steps": 50},
        "report": {"folder": str(folder / TEST)},
    }
    options: Options = _placed(over(row.options, own), places)
    return options


def _placed(value: Any, places: Places) -> Any:
    """Put the paths that the table states into these folders."""
    if isinstance(value, dict):
        return {name: _placed(each, places) for name, each in value.items()}
    for stated, folder in ((DATA, places.data), (RUNS, places.runs)):
        if isinstance(value, str) and value.startswith(f"{stated}/"):
            return str(folder / value.partition("/")[2])
    return value


def as_yaml(row: Row, places: Places = PLACES) -> str:
    """Return the configuration as a file, whose header says what it stands for and where it departs from the paper.

    Args:
        row: the row.
        places: the folders.
    """
    header = [
        f"{TITLES[row.paper]}: {row.table}, {row.row} ({row.data}).",
        f"Published: {row.figures}.",
        f"Its commands are printed by {command_line('train.tables list', {'row': row.id, **places.options})}",
        "Not trained to the end here. data.batch is the batch of one process: over several, give each its part.",
        "Departures from the paper:",
        *(f"- {departure}" for departure in row.departures),
        "Written by python -m train.tables write: change the table, not this file.",
    ]
    lines = [
        line
        for text in header
        for line in textwrap.wrap(text, WIDTH, subsequent_indent="  " * text.startswith("-"), break_on_hyphens=False)
    ]
    body: str = yaml.safe_dump(configured(row, places), sort_keys=False, default_flow_style=False)
    return "".join(f"# {line}\n" for line in lines) + body


def write_rows(rows: Iterable[Row], places: Places = PLACES) -> list[Path]:
    """Write the configuration of each row into the folder of the configurations, as ID.yaml.

    Args:
        rows: to write.
        places: the folders.

    Returns:
        The files.

    Raises:
        TrackerError: if that is not possible.
    """
    files = []
    for row in rows:
        path = places.papers / f"{row.id}.yaml"
        try:
            places.papers.mkdir(parents=True, exist_ok=True)
            write_whole(path, as_yaml(row, places).encode())
        except OSError as error:
            raise unwritable(path, error) from None
        files.append(path)
    if not files:
        raise TrackerError("no row was chosen; python -m train.tables list shows all")
    return files


def first_alike(rows: Iterable[Row]) -> dict[str, Row]:
    """Return, by the id of each row, the first row that is the same training: the one to train.

    Args:
        rows: to group.
    """
    return {one.id: same[0] for same in distinct(rows) for one in same}


def starts(row: Row, rows: Mapping[str, Row]) -> list[Row]:
    """Return the trainings that must be done before a row can start, the first one first.

    Args:
        row: the row.
        rows: all of them, by their ids.
    """
    if row.start is None:
        return []
    earlier = rows[row.start]
    return [*starts(earlier, rows), earlier]


def needed(row: Row, trained: Row, rows: Mapping[str, Row]) -> list[Row]:
    """Return the rows whose configurations the commands of a row name, in the order of the commands.

    Args:
        row: the row.
        trained: the first row that is the same training.
        rows: all of them, by their ids.
    """
    return [*starts(trained, rows), trained, row]


def commands(row: Row, trained: Row, rows: Mapping[str, Row], places: Places = PLACES) -> Iterator[Step]:
    """Yield the commands that give a row's figures, in their order.

    Args:
        row: the row.
        trained: the first row that is the same training.
        rows: all of them, by their ids.
        places: the folders.
    """
    for one in starts(trained, rows):
        yield Step("start", _fit(one, places))
    yield Step("train", _fit(trained, places))
    if not row.published:  # other rows start from it
        return
    checkpoint = str(places.runs / trained.id / "last.ckpt")
    if row.exported:
        model = str(places.runs / trained.id / f"{row.id}.onnx")
        told = {"checkpoint": checkpoint, "output": model, "licence": "for research only"}
        yield Step("export", command_line("export.run", told))
        options = {
            **_placed(dict(row.exported), places),
            "model": model,
            "report": str(Path(model).with_suffix(".json")),
        }
        yield Step("test", command_line("tracker.evaluate", options))
        return
    for name, changed in row.tests.items():
        options = {"config": _config(row, places), "ckpt_path": checkpoint}
        options |= {f"data.{option}": value for option, value in _placed(dict(changed), places).items()}
        if name != TEST:
            options["report.folder"] = str(places.runs / row.id / name)
        yield Step("test", command_line("train.run test", options))


def _config(row: Row, places: Places) -> str:
    return str(places.papers / f"{row.id}.yaml")


def _fit(row: Row, places: Places) -> str:
    return command_line("train.run fit", {"config": _config(row, places)})


def command_line(command: str, options: Mapping[str, str]) -> str:
    """Return a command for a shell.

    Args:
        command: what follows python -m.
        options: by their names.
    """
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return f"python -m {command} {shlex.join(words)}".rstrip()


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
