"""The rows of the papers' tables: python -m train.tables list | write FOLDER | check."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from train.extras import needs_extra

with needs_extra(__name__, "train.tables", "train"):
    from tracker.cli.command import USER_ERROR, run_command
    from tracker.cli.suggestions import suggest
    from tracker.errors import TrackerError
    from train.tables import ROWS, Paper, Row
    from train.tables.configuration import commands, distinct, write_rows


def list_rows(paper: Paper | None = None, row: str | None = None) -> None:
    """Print each row, its published figures and the commands that train and test it.

    Args:
        paper: yang_yeh, star, subpixel or hih; all if not given.
        row: the id of one row, or what ids begin with, such as star-t3-wflw.
    """
    chosen = _choose(paper, row)
    first = _trained()
    for each in chosen:
        fit, test = commands(each, first[each.id])
        print(f"{each.id}: {each.paper}, {each.table}, {each.row} ({each.data})")
        print(f"  published  {each.figures}")
        if first[each.id] != each:
            print(f"  the same training as {first[each.id].id}")
        print(f"  train      {fit}")
        if test:
            print(f"  test       {test}")
    print(f"{len(chosen)} rows; their configurations: python -m train.tables write papers")


def write(
    folder: Path,
    paper: Paper | None = None,
    row: str | None = None,
    data: Path = Path("data"),
    runs: Path = Path("runs"),
) -> None:
    """Write the configurations of rows for train.run, each with its departures from the paper in its header.

    Where a row is the same training as another one, that of the other is written, too.

    Args:
        folder: where to; ID.yaml for each row.
        paper: yang_yeh, star, subpixel or hih; all if not given.
        row: the id of one row, or what ids begin with, such as star-t3-wflw.
        data: the folder that holds the data sets: wflw, 300w, cofw, aflw, 300w_lp, 300w_private.
        runs: the folder that trainings write to.
    """
    chosen = _choose(paper, row)
    first = _trained()
    needed = {each.id: each for one in chosen for each in (first[one.id], one)}
    files = write_rows(needed.values(), folder, data, runs)
    print(f"{len(files)} configurations in {folder}")


def check(
    paper: Paper | None = None, row: str | None = None, size: int | None = None, accelerator: str = "cpu"
) -> None:
    """Train rows for two steps on faces that are drawn at random; rows that are one training once.

    Args:
        paper: yang_yeh, star, subpixel or hih; all if not given.
        row: the id of one row, or what ids begin with, such as star-t3-wflw.
        size: side of the crop in pixels, to be fast; the paper's if not given.
        accelerator: as trainer.accelerator, such as cpu or gpu.
    """
    with needs_extra(__name__, "train.tables check", "train"):
        from train.tables.check import check as checked
    trainings = [same[0] for same in distinct(_choose(paper, row))]
    for one in checked(trainings, size, accelerator):
        print(f"{one.row.id}: loss {one.loss:.4g} after 2 steps, {one.seconds:.1f} s", flush=True)
    print(f"{len(trainings)} trainings run")


def _trained() -> dict[str, Row]:
    """By the id of each row, the first row that is the same training."""
    return {one.id: same[0] for same in distinct(ROWS.values()) for one in same}


def _choose(paper: Paper | None, row: str | None) -> list[Row]:
    """The rows of a paper whose ids begin so. Raises TrackerError where there is none."""
    found = [each for each in ROWS.values() if paper in (None, each.paper) and each.id.startswith(row or "")]
    if exact := [each for each in found if each.id == row]:
        return exact
    if not found:
        raise TrackerError(f"--row: expected the id of a row, or its beginning, got {row}{suggest(row or '', ROWS)}")
    return found


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_rows, "write": write, "check": check}


def main() -> int:
    """Run the command line."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        hint = suggest(name, COMMANDS)
        print(f"train.tables: expected one of {', '.join(COMMANDS)}, got {name or 'nothing'}{hint}", file=sys.stderr)
        return USER_ERROR
    if name == "write" and arguments and not arguments[0].startswith("-"):
        arguments.insert(0, "--folder")
    return run_command(COMMANDS[name], f"train.tables {name}", arguments)


if __name__ == "__main__":
    sys.exit(main())
