"""Mutates the inputs of a reader, runs it on them in a worker process, and collects the faults."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks._lib.fuzzing.bytes_changed import change_bytes, change_json, change_text, change_yaml
from benchmarks._lib.fuzzing.formats_changed import change_message, change_zip
from benchmarks._lib.fuzzing.reader import FAULTS, Files, Lines, Outcome, Start

WALL_S = 60.0
"""Seconds after which an input is given up that waits for something."""
START_S = 600.0
"""Seconds for all that is imported; torch alone takes minutes where the processor is busy."""
_MOST_IN_POOL = 400
Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
_CHANGES: dict[str, Change] = {
    ".json": change_json,
    ".yaml": change_yaml,
    ".ckpt": change_zip,
    **dict.fromkeys((".onnx", ".pb"), change_message),
    **dict.fromkeys((".pts", ".csv", ".tsv", ".txt", ".pbtxt"), change_text),
}


class Worker:
    """A process that reads inputs.

    fault: the name of a fault that is seeded in it, None for the code as it is. module: what the process runs.
    """

    def __init__(self, fault: str | None = None, module: str = "benchmarks._lib.fuzzing.worker") -> None:
        self.fault = fault
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def seeds(self, reader: str) -> Start:
        """Return the reader's valid inputs and its description."""
        answer = self._ask(START_S, "seeds", reader)
        if not isinstance(answer, Start):
            raise RuntimeError(f"{reader}: no inputs to begin with: {answer}")
        return answer

    def read(self, reader: str, files: Files, traced: bool = False) -> Outcome:
        """Read one input and return its outcome."""
        answer = self._ask(WALL_S, "read", reader, files, traced)
        assert isinstance(answer, Outcome)
        if answer.kind == "memory":  # the largest extent of a process never falls
            self.stop()
        return answer

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._connection.close()
            self._process.kill()
            self._process.wait()
            self._errors.close()
        self._process = None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "no_grpc_proxy": "127.0.0.1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", self._module, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command + ([self.fault] if self.fault else []),
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )
        theirs.close()
        self._connection = Connection(ours.detach())

    def _ask(self, time_s: float, *request: object) -> object:
        if self._process is None:
            self._start()
            time_s += START_S
        try:
            self._connection.send(request)
            if not self._connection.poll(time_s):
                self.stop()
                return Outcome("timeout", f"no answer within {time_s:g} s")
            return self._connection.recv()
        except (EOFError, OSError):
            return self._end()

    def _end(self) -> Outcome:
        """Return why the process ended."""
        assert self._process is not None
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip()
        self.stop()
        if code == -signal.SIGPROF:
            return Outcome("timeout", "more than 10 s of a processor")
        place = next((line.strip() for line in said.splitlines() if 'File "' in line), "")
        return Outcome("crash", f"the process ended with status {code}: {said[-600:]}", place)


@dataclass
class Finding:
    """An input with a forbidden outcome. count: how many had the same outcome at the same place."""

    reader: str
    outcome: Outcome
    files: Files
    count: int = 1

    def save(self, folder: Path) -> Path:
        """Write the input for --replay; return the file."""
        digest = hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()[:10]
        path = folder / f"{self.reader.replace(' ', '_')}-{digest}.zip"
        folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in self.files.items():
                archive.writestr(name, data)
            archive.comment = json.dumps({"reader": self.reader, "kind": self.outcome.kind}).encode()
        path.write_bytes(content.getvalue())
        return path


def load_finding(path: Path) -> tuple[str, Files]:
    """Load the reader's name and the input that Finding.save wrote."""
    with zipfile.ZipFile(path) as archive:
        reader: str = json.loads(archive.comment)["reader"]
        return reader, {name: archive.read(name) for name in archive.namelist()}


_NOTHING = Start([], (), 1, 1, True, 0)


@dataclass
class Campaign:
    """The fuzzing of one reader. The n-th input follows from the seed and from what the inputs before it reached."""

    reader: str
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    lines: Lines = field(default_factory=set)
    findings: dict[tuple[str, ...], Finding] = field(default_factory=dict)
    seconds: float = 0.0
    _pool: list[Files] = field(default_factory=list)
    _start: Start = _NOTHING

    @property
    def all_lines(self) -> int:
        """The number of lines in the reader's code."""
        return self._start.lines

    @property
    def inputs(self) -> int:
        """The number of inputs that were read."""
        return self.counts.total()

    def run(self, worker: Worker, seconds: float, enough: Callable[[Finding], bool] = lambda finding: False) -> None:
        """Read mutated inputs for so long, or until there is a finding that is enough."""
        started_s = time.monotonic()
        end_s = started_s + seconds
        if not self._pool:
            self.begin(worker)
        judged, done = 0, False
        while time.monotonic() < end_s and not done:
            rng = random.Random(f"{self.seed} {self.reader} {self.inputs}")
            self._read(worker, self._mutated(rng))
            done = any(enough(finding) for finding in [*self.findings.values()][judged:])
            judged = len(self.findings)
        self.seconds += time.monotonic() - started_s

    def begin(self, worker: Worker) -> None:
        """Import what the reader needs, and read the valid inputs, which must all be accepted."""
        self._start = worker.seeds(self.reader)
        for files in self._start.seeds:
            outcome = self._read(worker, files)
            if self._start.valid and outcome.kind in ("refused", "foreign"):
                raise RuntimeError(f"{self.reader}: a valid input is {outcome.kind}: {outcome.text} ({outcome.place})")
        self._pool = [*self._start.seeds]

    def _read(self, worker: Worker, files: Files) -> Outcome:
        traced = self.inputs % self._start.traced == 0
        outcome = worker.read(self.reader, files, traced)
        self.counts[outcome.kind] += 1
        new = bool(outcome.lines - self.lines) and outcome.kind in ("accepted", "refused")
        if new and len(self._pool) < _MOST_IN_POOL and files.keys() - {*self._start.fixed}:
            self._pool.append(files)
        self.lines |= outcome.lines
        if outcome.kind in FAULTS:
            key = (outcome.kind, outcome.place, outcome.text[:40])
            if key in self.findings:
                self.findings[key].count += 1
            else:
                self.findings[key] = Finding(self.reader, outcome, files)
        return outcome

    def _mutated(self, rng: random.Random) -> Files:
        files = dict(rng.choice(self._pool))
        names = [name for name in files if name not in self._start.fixed]
        for name in rng.choices(names, k=self._start.at_once * rng.choice((1, 1, 1, 2))):
            how = rng.random()
            if how < 0.01:
                files.pop(name, None)
            elif how < 0.02:
                files[name] = b""
            elif name in files:
                others = [other[name] for other in self._pool if name in other]
                files[name] = _CHANGES.get(Path(name).suffix, change_bytes)(rng, files[name], others)
        return files
