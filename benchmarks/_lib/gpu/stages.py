"""Stages of a measurement, each in a process of its own with a time limit, each written to its own file.

A stage that hangs, crashes or breaks the GPU's context costs its own time and no more: its process is ended, what it
had recorded stays in its file, and the next one starts afresh. Processes are forked from a server that has imported
PyTorch already and never touched the GPU, so that starting one takes a fraction of a second. Whether that works is
tried first; where it does not, every stage has a new process that imports what it needs.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.system.files import write_whole

GRACE_S = 5.0
"""How long a stage that has been told to end may take to do so."""


class Record:
    """What a stage has found so far: a dictionary in a .json file that is always whole.

    Args:
        path: the file. It is written at once and after every update.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: dict[str, Any] = {"state": "running"}
        self._failed: list[str] = []
        self._write()

    def update(self, **found: Any) -> None:
        """Add or replace entries, and write the file.

        Args:
            found: what json.dumps takes.
        """
        self._content.update(found)
        self._write()

    def part(self, title: str, work: Callable[[], Any]) -> None:
        """Do a part of a stage and record what it gives; where it fails, record that, and let the next part begin.

        Args:
            title: names the part.
            work: gives what json.dumps takes.
        """
        try:
            self.update(**{title: work()})
        except Exception as error:
            self._failed.append(f"{title}: {_told(error)}")
            self.update(**{title: _told(error)}, traceback=_shortened())

    def end(self) -> None:
        """Say whether all parts are done."""
        if self._failed:
            self.update(state="failed", error="; ".join(self._failed))
        else:
            self.update(state="done")

    def _write(self) -> None:
        write_whole(self.path, json.dumps(self._content, indent=2).encode())


@dataclass(frozen=True)
class Sizes:
    """How large the measurements are.

    device: "cuda", or "cpu" to rehearse. batches: pictures a call. calls: how often each is timed. matrix: side of the
    square matrix product. width: channels of the hourglass. hourglass_px: side of its crops. frame: (width, height)
    of the frame on the GPU. batch, workers: of the training. options: further options of the training's configuration.
    """

    device: str = "cuda"
    batches: tuple[int, ...] = (1, 4, 16, 64)
    calls: int = 200
    matrix: int = 8192
    width: int = 256
    hourglass_px: int = 256
    frame: tuple[int, int] = (1280, 720)
    batch: int = 64
    workers: int = 15
    options: tuple[str, ...] = ()


REHEARSAL = Sizes(
    device="cpu",
    batches=(1, 2),
    calls=1,
    matrix=64,
    width=16,
    hourglass_px=64,
    frame=(320, 240),
    batch=2,
    workers=0,
)
"""Tiny: shows on a CPU that every stage runs, and measures nothing of interest."""


@dataclass(frozen=True)
class Task:
    """What a stage is given.

    sizes: how large it is. output: the folder of the results. pictures: a folder in the layout of 300W, None where
    there is none. until_s: the time.monotonic() at which it is ended; those that can use any time stop before it.
    """

    sizes: Sizes
    output: Path
    pictures: Path | None
    until_s: float


def share_of_rate(output: Path, tflops: float) -> dict[str, float]:
    """TFLOP/s as entries of a record, with their share of the matrix rate that the stage "rate" measured, if it did.

    Args:
        output: the folder of the results.
        tflops: 1e12 multiplications and additions a second, counted apart.
    """
    found = {"TFLOP/s": round(tflops, 5)}
    rate = output / "rate.json"
    if rate.exists() and (most := json.loads(rate.read_bytes()).get("matrix_tflops")):
        found["share of the matrix rate"] = round(tflops / most, 4)
    return found


@dataclass(frozen=True)
class Stage:
    """A part of the measurement.

    name: also its file's, NAME.json. place: "module:function" of what does the work, called with a Task and a Record;
    only the stage's own process imports it. limit_s: the longest it may take; None for as long as there is.
    """

    name: str
    place: str
    limit_s: float | None

    def path(self, output: Path) -> Path:
        """Its file in the folder of the results."""
        return output / f"{self.name}.json"

    @property
    def module(self) -> str:
        """Where its work is defined."""
        return self.place.partition(":")[0]

    def work(self) -> Callable[[Task, Record], None]:
        """What does the work."""
        run: Callable[[Task, Record], None] = getattr(
            importlib.import_module(self.module), self.place.partition(":")[2]
        )
        return run


def run_here(stage: Stage, task: Task) -> None:
    """Run a stage in this process; its record ends as "done", or as "failed" with the error and where it came from."""
    record = Record(stage.path(task.output))
    start = time.monotonic()
    record.update(runs_on=task.sizes.device)
    try:
        stage.work()(task, record)
    except Exception as error:
        record.update(state="failed", error=_told(error), traceback=_shortened())
    else:
        record.end()
    record.update(seconds=round(time.monotonic() - start, 2))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _shortened() -> list[str]:
    """The end of the traceback of the error that is being handled."""
    return traceback.format_exc().splitlines()[-12:]


def run_stages(
    stages: Sequence[Stage],
    sizes: Sizes,
    output: Path,
    pictures: Path | None,
    seconds: float,
    reserve_s: float = 0.0,
    after: Callable[[], None] = lambda: None,
    first: Stage | None = None,
) -> None:
    """Run the stages one after the other, within seconds together.

    Those that the folder's files call done, on a GPU or on a CPU as now, are kept and not run again: a second call
    goes on where the first was cut.

    Args:
        stages: in order. One without a limit gets what is left, less reserve_s for those behind it.
        sizes: how large they are.
        output: the folder of the results.
        pictures: a folder in the layout of 300W.
        seconds: for all of them. A stage for which there is no time is recorded as "left out".
        reserve_s: kept for the stages behind the one without a limit.
        after: called whenever a stage has ended.
        first: run first, by a server that has imported what all stages need; where it is not done, no stage is
            started by that server. None: the server imports nothing.
    """
    end = time.monotonic() + seconds
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted({stage.module for stage in stages}) if first else [])
    if first is not None:
        allowed = min(first.limit_s or seconds, seconds)
        _run_apart(context, first, Task(sizes, output, pictures, time.monotonic() + allowed), allowed)
        if _state(first.path(output))[0] != "done":
            context = multiprocessing.get_context("spawn")
    for stage in stages:
        left = end - time.monotonic()
        allowed = left - reserve_s if stage.limit_s is None else min(stage.limit_s, left)
        if _state(stage.path(output)) == ("done", sizes.device):
            print(f"{stage.name}: done by an earlier call, kept; to measure it again delete {stage.path(output).name}")
        elif allowed <= 0:
            _leave_out(stage.path(output))
        else:
            _run_apart(context, stage, Task(sizes, output, pictures, time.monotonic() + allowed), allowed)
        try:
            after()
        except Exception:  # what is only told must not cost the next stage
            traceback.print_exc()


def _leave_out(path: Path) -> None:
    """Record in a stage's file that it was not started; earlier results are kept."""
    if not path.exists():
        Record(path).update(state="left out", error="no time was left for it")
    elif _state(path)[0] == "running":
        found = json.loads(path.read_bytes()) | {"state": "cut", "error": "an earlier call was ended during this stage"}
        write_whole(path, json.dumps(found, indent=2).encode())


def _state(path: Path) -> tuple[str, str]:
    """The state and the device that a stage's file names; empty where there is none."""
    try:
        found = json.loads(path.read_bytes())
        return str(found.get("state", "")), str(found.get("runs_on", ""))
    except (OSError, ValueError, AttributeError):
        return "", ""


def _run_apart(context: Any, stage: Stage, task: Task, allowed: float) -> None:
    path = stage.path(task.output)
    path.unlink(missing_ok=True)  # of an earlier call, so that what is found there is this one's
    process = context.Process(target=run_here, args=(stage, task), name=stage.name)
    try:
        process.start()
    except (OSError, EOFError) as error:  # the server has ended, as while it imported
        Record(path).update(state="failed", error=f"its process could not be started: {_told(error)}")
        return
    process.join(allowed)
    cut = process.is_alive()
    for end in (process.terminate, process.kill):
        if process.is_alive():
            end()
            process.join(GRACE_S)
    _note_end(path, cut, allowed, process.exitcode)


def _note_end(path: Path, cut: bool, allowed: float, status: int | None) -> None:
    """Record in the stage's file how it ended, if the stage could not do so itself."""
    try:
        found = json.loads(path.read_bytes())
    except OSError:  # it ended before its first line
        found = {"state": "running"}
    if found["state"] != "running":
        return
    found["state"] = "cut" if cut else "failed"
    found["error"] = f"ended at its limit of {allowed:.0f} s" if cut else f"its process ended with status {status}"
    write_whole(path, json.dumps(found, indent=2).encode())
