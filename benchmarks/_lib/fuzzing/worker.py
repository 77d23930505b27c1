"""python -m benchmarks._lib.fuzzing.worker: reads inputs in a process that may crash, hang or fill its memory.

For benchmarks._lib.fuzzing.campaign, which sends requests over an inherited connection.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from resource import RLIMIT_AS, RLIMIT_CORE, RUSAGE_SELF, getrusage, setrlimit
from types import FrameType, TracebackType
from typing import Any

from benchmarks._lib.fuzzing.reader import Empty, Files, Lines, Outcome, Reader, Start, find, lines_of

CPU_S = 10.0
"""Seconds of a processor for one input."""
MEMORY_MB = 2500
"""Resident memory at most, the libraries included."""
_ADDRESS_SPACE = 16 << 30
_LONGEST = 1500
_ROOT = str(Path(__file__).parents[3])


class Watched:
    """A reader with the lines that are counted and those that were reached."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.lines = lines_of(self.reader.code)
        self.reached: Lines = set()


def main() -> None:
    """Answer requests until the connection ends: ("seeds", reader), or ("read", reader, files, whether to trace)."""
    faulthandler.enable()
    setrlimit(RLIMIT_CORE, (0, 0))
    setrlimit(RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    connection = Connection(int(sys.argv[1]))
    if len(sys.argv) > 2:
        from benchmarks._lib.fuzzing.faults import seed

        seed(sys.argv[2])
    watched: dict[str, Watched] = {}
    with tempfile.TemporaryDirectory() as folder:
        while True:
            try:
                request, name, *more = connection.recv()
            except EOFError:
                return
            if name not in watched:
                watched[name] = Watched(find(name))
            each = watched[name]
            if request == "seeds":
                r = each.reader
                connection.send(Start(r.seeds(), r.fixed, r.at_once, r.traced, r.valid, len(each.lines)))
            else:
                connection.send(outcome(each, Path(folder) / "input", *more))


def outcome(watched: Watched, folder: Path, files: Files, traced: bool) -> Outcome:
    """Read one input."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    reached: Lines = set()
    signal.setitimer(signal.ITIMER_PROF, CPU_S)  # its signal ends the process, wherever it is
    try:
        with _traced({file for file, _ in watched.lines}, reached) if traced else nullcontext():
            watched.reader.read(folder)
        result = Outcome("accepted")
    except Empty:
        result = Outcome("empty")
    except (Exception, SystemExit) as error:
        result = _judged(error, watched.reader)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if largest_extent_kb() > MEMORY_MB << 10:
        result = Outcome("memory", f"more than {MEMORY_MB} MB ({result.kind}: {result.text})", result.place)
    new = reached & watched.lines - watched.reached
    watched.reached |= new
    return result._replace(lines=frozenset(new))


def largest_extent_kb() -> int:
    """Return the peak resident memory of this program. Linux's ru_maxrss would include the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0])
    return getrusage(RUSAGE_SELF).ru_maxrss


def _judged(error: BaseException, reader: Reader) -> Outcome:
    """Classify the error: a refusal has an allowed class and one printable sentence, anything else is a fault."""
    text, place = str(error), place_of(error.__traceback__)
    kind = type(error)
    if not any(kind is each or (each is not ValueError and issubclass(kind, each)) for each in reader.refusals):
        return Outcome("foreign", f"{kind.__name__}: {text[:300]}", place)
    if not text.strip() or "\n" in text or len(text) > _LONGEST or not _is_printable(text):
        return Outcome("foreign", f"{kind.__name__} without one sentence: {text[:300]!r}", place)
    return Outcome("refused", text, place)


def _is_printable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and "\x1b" not in text


def place_of(stack: TracebackType | None) -> str:
    """Return the innermost line of the project, of benchmarks only if there is no other."""
    names = [(os.path.relpath(frame.filename, _ROOT), frame.lineno) for frame in traceback.extract_tb(stack)]
    ours = [f"{name}:{line}" for name, line in names if not name.startswith("..")]
    return next((place for place in reversed(ours) if not place.startswith("benchmarks")), ours[-1] if ours else "")


@contextmanager
def _traced(files: set[str], reached: Lines) -> Iterator[None]:
    """Record which lines of these files are reached."""

    def note(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            reached.add((frame.f_code.co_filename, frame.f_lineno))
        return note

    def start(frame: FrameType, event: str, argument: Any) -> Any:
        return note if frame.f_code.co_filename in files else None

    threading.settrace(start)
    sys.settrace(start)
    try:
        yield
    finally:
        sys.settrace(None)
        threading.settrace(None)


if __name__ == "__main__":
    main()
