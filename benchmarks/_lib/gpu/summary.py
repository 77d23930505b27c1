"""The page of all stages: goals and results, then all records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.system.files import write_whole

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Goal:
    """A goal. read: gets the figure, None if it was not measured. most: whether the limit is an upper one."""

    title: str
    limit: float
    most: bool
    read: Callable[[Results], float | None]

    def line(self, results: Results) -> str:
        """A row of the table."""
        found = self.read(results)
        wanted = f"{'at most' if self.most else 'at least'} {self.limit:g}"
        if found is None:
            return f"| {self.title} | {wanted} | not measured | |"
        met = found <= self.limit if self.most else found >= self.limit
        return f"| {self.title} | {wanted} | {found:g} | {'met' if met else 'missed'} |"


def _at(*path: str) -> Callable[[Results], float | None]:
    """Reads the figure at the end of the path of keys."""

    def read(results: Results) -> float | None:
        found: Any = results
        for key in path:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return float(found)

    return read


def _fastest(results: Results) -> float | None:
    """Pictures a second of the hourglass at batch 64, plain or compiled."""
    entries = [results.get("hourglass", {}).get("batch 64"), *_compiled(results)]
    return max((entry["pictures/s"] for entry in entries if isinstance(entry, Mapping)), default=None)


def _compiled(results: Results) -> list[Any]:
    return [value for key, value in results.get("compiled", {}).items() if key.endswith("batch 64")]


GOALS = (
    Goal("four-stack FP16, batch 64, pictures/s", 6000, False, _fastest),
    Goal("its share of the matrix rate, plain", 0.21, False, _at("hourglass", "batch 64", "share of the matrix rate")),
    Goal(
        "edge step from a frame on the GPU, batch 1, p50 ms",
        0.5,
        True,
        _at("edge", "frame_to_landmarks", "batch 1", "p50_ms"),
    ),
    Goal(
        "decoding, share of the edge call, batch 1", 0.03, True, _at("edge", "batch 1", "decoding, share of the call")
    ),
    Goal(
        "decoding, share of the four-stack call, batch 64",
        0.03,
        True,
        _at("hourglass", "batch 64", "decoding, share of the call"),
    ),
    Goal("300W lfpw/testset after the training, NME %", 3.0, True, _at("training", "lfpw_test_nme")),
)


def write_summary(output: Path) -> None:
    """Write summary.md and results.json from the stages' files in the folder."""
    results: dict[str, Any] = {}
    for path in sorted(output.glob("*.json"), key=lambda path: path.stat().st_mtime):
        if path.name != "results.json":
            results[path.stem] = json.loads(path.read_bytes())
    write_whole(output / "results.json", json.dumps(results, indent=2).encode())
    write_whole(output / "summary.md", page(results).encode())


def page(results: Results) -> str:
    """The page in Markdown."""
    named = [results.get("rate", {}).get("device"), results.get("start", {}).get("name"), "an unknown device"]
    device = next(filter(None, named))
    lines = [f"# Measured on {device}", "", "| goal | wanted | found | |", "| --- | --- | --- | --- |"]
    lines += [goal.line(results) for goal in GOALS]
    for name, found in results.items():
        lines += ["", f"## {name}: {found.get('state', 'unknown')}", "", "| | |", "| --- | --- |"]
        lines += [f"| {key} | {value} |" for key, value in _flat(found) if key not in ("state",)]
    return "\n".join([*lines, ""])


def _flat(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested entries as lines."""
    for key, value in found.items():
        title = f"{before}, {key}" if before else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, title)
        else:
            yield title, str(value).replace("|", "/").replace("\n", " ")
