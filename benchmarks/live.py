"""python -m benchmarks.live: times the tracker's step with ten visitors of the live view and three UDP receivers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._lib.machine import machine, versions
from benchmarks._lib.reports import check_report, write_report
from tracker import Frame, Tracker
from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.sinks import JsonLines, LiveView, OscMessages, Sink
from tracker.sources.demo import DemoClip

BAR = 1.1
FPS = 30.0
PAGES, PROGRAMS, RECEIVERS = 5, 4, 3  # and one visitor who stalls
WARM_S = 2.0  # of each turn, not counted


def main() -> int:
    """Run the command line."""
    return run_command(live, "benchmarks.live")


def live(rounds: int = 6, seconds: float = 15.0, report: Path = Path("runs/live.json")) -> None:
    """Time the step at 30 frames per second, alternating with and without --serve, --osc and their clients.

    Both turns write the results to a file, in which no frame may be missing.

    Args:
        rounds: how often each has its turn.
        seconds: of each turn, after two seconds to warm up.
        report: the .json file to write.
    """
    check_report(report)
    about = machine()
    tracker = Tracker()
    frames = cycle(list(DemoClip(seconds=1.5)))  # a face that moves, before it is covered
    turns: dict[str, list[dict[str, Any]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for name, sides in turns.items():
                path = Path(folder) / f"{name}{number}.jsonl"
                with ExitStack() as stack:
                    sinks: list[Sink] = [stack.enter_context(JsonLines(path))]
                    if name == "with":
                        sinks += stack.enter_context(_watched(sides))
                    tracker.reset()
                    steps_ms = _track(tracker, frames, sinks, seconds + WARM_S)
                written = len(path.read_text(encoding="utf-8").splitlines())
                if written != len(steps_ms):
                    raise TrackerError(f"expected {len(steps_ms)} frames in the file of a turn {name}, got {written}")
                counted = steps_ms[int(WARM_S * FPS) :]
                side = {"p50_ms": _quantile(counted, 50), "p95_ms": _quantile(counted, 95), "frames": written}
                sides.append({**(sides.pop() if name == "with" else {}), **side})
    medians = {name: float(np.median([side["p95_ms"] for side in sides])) for name, sides in turns.items()}
    ratio = medians["with"] / medians["without"]
    record = {"machine": about, "versions": versions(), "p95_ms": medians, "ratio": round(ratio, 3), "turns": turns}
    write_report(report, record)
    print(
        f"p95 of the step: {medians['without']:.2f} ms without, {medians['with']:.2f} ms with, median of {rounds} turns"
    )
    print(f"ratio {ratio:.3f}, the bar is {BAR}: {'held' if ratio <= BAR else 'NOT HELD'}; no frame missing in a file")
    print(f"load of the machine before: {about['load']}; written: {report}")


def _track(tracker: Tracker, frames: Iterator[Frame], sinks: Sequence[Sink], seconds: float) -> list[float]:
    """Return the milliseconds of each step."""
    steps_ms = []
    start_s = time.perf_counter()
    for index in range(int(seconds * FPS)):
        time.sleep(max(0.0, start_s + index / FPS - time.perf_counter()))
        frame = replace(next(frames), index=index, timestamp_s=index / FPS)
        result = tracker.step(frame)
        for sink in sinks:
            sink.write(frame, result)
        steps_ms.append(1e3 * result.stage_s["step"])
    return steps_ms


@contextmanager
def _watched(sides: list[dict[str, Any]]) -> Iterator[list[Sink]]:
    """The sinks that others look at, while they do; what they were sent becomes the last of the sides."""
    with ExitStack() as stack:
        receivers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(RECEIVERS)]
        for receiver in receivers:
            receiver.bind(("127.0.0.1", 0))
        ports = [receiver.getsockname()[1] for receiver in receivers]
        sinks: list[Sink] = [stack.enter_context(OscMessages(f"127.0.0.1:{port}")) for port in ports]
        view = stack.enter_context(LiveView("127.0.0.1:0"))
        visitors = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._lib.live_visitors", view.urls[0], str(PAGES), str(PROGRAMS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with visitors:
            yield [*sinks, view]
            answer, _ = visitors.communicate()
        if visitors.returncode:
            raise TrackerError("the visitors of the live view failed, see above")
        sides.append(json.loads(answer))


def _quantile(values: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 3)


if __name__ == "__main__":
    sys.exit(main())
