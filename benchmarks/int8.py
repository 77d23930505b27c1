"""python -m benchmarks.int8 --checkpoint runs/edge68_mixed/last.ckpt: error and time of INT8."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._lib.machine import int8_instructions, machine, versions
from benchmarks._lib.reports import check_report, write_report
from benchmarks.decode import timed
from export.calibration.fit import calibration_of
from export.graph import LandmarkGraph
from export.int8.quantise import Quantisation, quantisation_for
from export.onnx import write_onnx
from export.run import load
from export.verify import ANYTHING, BUDGETS, Budget, Difference, Reference
from tracker.cli.command import run_command
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import ModelSpec
from train.exported import is_exported, read_exported

FACES = (1, 4)


def main() -> int:
    """Run the command line."""
    return run_command(compare, "benchmarks.int8")


def compare(checkpoint: Path, report: Path = Path("runs/int8.json")) -> None:
    """Time FP32 and the kinds of INT8 in ONNX Runtime, in turns, on one thread, and say how far each is from torch.

    Args:
        checkpoint: what train.run wrote, or the name of a packaged model; calibrated on its training faces, compared
            on its validation faces.
        report: the .json file to write.
    """
    check_report(report)
    with tempfile.TemporaryDirectory() as folder:
        errors = write_engines(checkpoint, Path(folder))
        engines = {name: OnnxEngine(Path(folder) / f"{name}.onnx") for name in errors}
    record: dict[str, Any] = {"machine": machine(), "int8_instructions": int8_instructions(), "versions": versions()}
    rng = np.random.default_rng(0)
    for faces in FACES:
        size = engines["fp32"].spec.size
        crops = rng.integers(0, 256, (faces, size, size, 3), dtype=np.uint8)
        ways: dict[str, Callable[[], object]] = {name: partial(e.run, crops) for name, e in engines.items()}
        record.setdefault("ms", {})[f"{faces} faces"] = timed(ways)
    record["error"] = {name: asdict(difference) for name, difference in errors.items()}
    write_report(report, record)
    print(table(record["ms"], errors), record["machine"], sep="\n")
    print("instructions for int8:", ", ".join(record["int8_instructions"]) or "none known")


def write_engines(checkpoint: Path, folder: Path) -> dict[str, Difference]:
    """Write an .onnx file of each kind: "whole" is all in int8 that may be; return its difference from PyTorch."""
    task, data, _ = load(checkpoint)
    faces = data.validation.together()
    decoder = read_exported(checkpoint).decoder if is_exported(checkpoint) else None
    calibration = calibration_of(task, faces, decoder)
    graph = LandmarkGraph(task, decoder=decoder, calibration=calibration).eval()
    reference = Reference(graph, faces.crops, faces.points_px.double().numpy(), task.scheme)
    spec = ModelSpec(
        task.size,
        task.scheme.name,
        0.5,
        "window softmax",
        "for the benchmark",
        {},
        "",
        temperature=calibration.temperature,
    )
    near = replace(ANYTHING, p99_px=BUDGETS["int8"].p99_px)
    kinds: dict[str, tuple[Quantisation | None, Budget]] = {"fp32": (None, ANYTHING)}
    for to in ("onnx", "tensorrt"):
        quantisation = quantisation_for(data, to)
        kinds |= {f"int8 {to}": (quantisation, near), f"int8 {to}, whole": (quantisation, ANYTHING)}
    return {
        name: write_onnx(graph, spec, reference, folder / f"{name}.onnx", budget, quantisation)
        for name, (quantisation, budget) in kinds.items()
    }


def table(ms: dict[str, dict[str, list[float]]], errors: dict[str, Difference]) -> str:
    """Format as Markdown: medians and ranges over the rounds, median ratios, distances from PyTorch."""
    rows = [
        "| engine | "
        + " | ".join(f"{faces}, ms | of fp32" for faces in ms)
        + " | mean px | p99 px | NME, % | change |",
        "| --- " * (2 * len(ms) + 5) + "|",
    ]
    for name, error in errors.items():
        cells = [name]
        for ways in ms.values():
            times = ways[name]
            cells.append(f"{np.median(times):.2f} ({min(times):.2f} to {max(times):.2f})")
            cells.append(f"{np.median(np.divide(times, ways['fp32'])):.2f}")
        cells += [f"{error.mean_px:.3f}", f"{error.p99_px:.2f}"]
        cells += [f"{error.nme_percent:.3f}", f"{error.nme_change_percent:+.4f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
