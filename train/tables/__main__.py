"""The rows of the papers' tables: python -m train.tables list | write FOLDER | check."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from train.extras import needs_extra

with needs_extra(__name__, "train.tables", "train"):
    from tracker.cli.command import run_commands
    from tracker.cli.suggestions import suggest
    from tracker.errors import TrackerError
    from train.tables import ROWS, Paper, Row
    from train.tables.configuration import (
        PLACES,
        Places,
        command_line,
        commands,
        distinct,
        first_alike,
        needed,
        write_rows,
    )

SIDE = 64
"""Pixels by which a crop's side is divisible: maps have a cell for four pixels, and each net halves them four times."""


def list_rows(
    paper: Paper | None = None,
    row: str | None = None,
    data: Path = PLACES.data,
    runs: Path = PLACES.runs,
    papers: Path = PLACES.papers,
) -> None:
    """Print each row, its published figures and the commands that train and test it, in their order.

    Args:
        paper: yang_yeh, star, subpixel or hih; all if not given.
        row: the id of one row, or what ids begin with, such as star-t3-wflw.
        data: as in write.
        runs: as in write.
        papers: the folder that write was given.
    """
    chosen = _choose(paper, row)
    first, places = first_alike(ROWS.values()), Places(data, runs, papers)
    for each in chosen:
        trained = first[each.id]
        print(f"{each.id}: {each.paper}, {each.table}, {each.row} ({each.data})")
        print(f"  published  {each.figures}")
        if trained != each:
            print(f"  the same training as {trained.id}")
        for step in commands(each, trained, ROWS, places):
            print(f"  {step.name:<9}  {step.command}")
    given = {name: value for name, value in (("paper", paper), ("row", row)) if value is not None}
    files = command_line(f"train.tables write {shlex.quote(str(papers))}", {**given, **Places(data, runs).options})
    print(f"{len(chosen)} row{'s' * (len(chosen) > 1)}; configurations: {files}")


def write(
    folder: Path,
    paper: Paper | None = None,
    row: str | None = None,
    data: Path = PLACES.data,
    runs: Path = PLACES.runs,
) -> None:
    """Write the configurations of rows for train.run, each with its departures from the paper in its header.

    Where a row is the same training as another one, or starts from the weights of another one, that of the other is
    written, too.

    Args:
        folder: where to; ID.yaml for each row.
        paper: yang_yeh, star, subpixel or hih; all if not given.
        row: the id of one row, or what ids begin with, such as star-t3-wflw.
        data: the folder that holds the data sets: wflw, 300w, cofw, aflw, 300w_lp, 300w_private, 300vw, menpo.
        runs: the folder that trainings write to.
    """
    first = first_alike(ROWS.values())
    named = {each.id: each for one in _choose(paper, row) for each in needed(one, first[one.id], ROWS)}
    files = write_rows(named.values(), Places(data, runs, folder))
    print(f"{len(files)} configuration{'s' * (len(files) > 1)} in {folder}")


def check(
    paper: Paper | None = None,
    row: str | None = None,
    size: int | None = None,
    accelerator: Literal["cpu", "gpu", "mps", "auto"] = "cpu",
    report: Path | None = None,
) -> None:
    """Train rows for two steps on faces that are drawn at random; rows that are one training once.

    A row that starts from the weights of another one does so here, too: that one is trained first.

    Args:
        paper: yang_yeh, star, subpixel or hih; all if not given.
        row: the id of one row, or what ids begin with, such as star-t3-wflw.
        size: side of the crop in pixels, to be fast; the paper's if not given. A multiple of 64 from 128 on.
        accelerator: as trainer.accelerator.
        report: the .json file to write: a line for each training, and the commit.
    """
    if size is not None and (size < 2 * SIDE or size % SIDE):  # at 64 the smallest maps have one cell, no variance
        raise TrackerError(f"--size: expected a multiple of {SIDE} from {2 * SIDE} on, got {size}")
    if report is not None and report.suffix.lower() != ".json":
        raise TrackerError(f"--report: expected the name of a file that ends in .json, got {report}")
    with needs_extra(__name__, "train.tables check", "train"):
        from train.tables.check import Record
        from train.tables.check import check as checked
    trainings = [same[0] for same in distinct(_choose(paper, row))]
    record = None if report is None else Record(report, size, accelerator)
    failed, count = [], 0
    for one in checked(trainings, size, accelerator):
        result = one.error or f"loss {one.loss:.4g} after 2 steps"
        print(f"{one.row.id}: {result}, {one.seconds:.1f} s", flush=True)
        count += 1
        if one.error:
            failed.append(one.row.id)
        if record is not None:
            record.add(one)
    if failed:
        raise TrackerError(f"of {count} trainings {len(failed)} did not run: {', '.join(failed)}")
    print(f"{count} training{'s' * (count > 1)} run")


def _choose(paper: Paper | None, row: str | None) -> list[Row]:
    """Return the rows of a paper whose ids begin so; raise TrackerError where there is none."""
    named = [each for each in ROWS.values() if each.id.startswith(row or "")]
    whole = [each for each in named if f"{each.id}-".startswith(f"{row}-")]  # hih-t1 is not hih-t10
    named = [each for each in named if each.id == row] or whole or named
    found = [each for each in named if paper in (None, each.paper)]
    if named and not found:
        of = " and ".join(sorted({each.paper for each in named}))
        raise TrackerError(f"--row {row} is of the paper {of}, --paper says {paper}: leave one of the two out")
    if not found:
        raise TrackerError(
            f"--row: expected the id of a row, or its beginning, got {row}{suggest(row or '', _known())}"
        )
    return found


def _known() -> list[str]:
    """Return the ids of the rows, and their beginnings up to a dash."""
    parts = [name.split("-") for name in ROWS]
    return [*dict.fromkeys("-".join(each[:n]) for each in parts for n in range(2, len(each) + 1))]


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_rows, "write": write, "check": check}


def main() -> int:
    """Run the command line."""
    return run_commands(COMMANDS, "train.tables", first_words={"write": "folder"})


if __name__ == "__main__":
    sys.exit(main())
