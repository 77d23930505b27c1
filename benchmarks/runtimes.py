"""python -m benchmarks.runtimes --model exported/edge68.onnx: LiteRT, ncnn and ONNX Runtime side by side.

Needs the files that `landmarks export --to litert`, `--to ncnn` and `--to heatmaps` write beside the .onnx file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.machine import PACKAGES, machine, versions
from benchmarks._lib.reports import check_report, write_report
from benchmarks.decode import timed
from benchmarks.speed import BUSY
from export.runtimes.write import TARGETS, RuntimeName, contents_path, open_runtime
from export.verify import Runs
from tracker.cli.command import run_command
from tracker.engines.onnx import OnnxEngine
from tracker.errors import TrackerError
from tracker.face.crop import crop, roi_of_landmarks
from tracker.sources.demo import DemoClip

COMPARED: tuple[RuntimeName, ...] = ("litert", "ncnn", "heatmaps")  # Core ML does not run on Linux
FACES = 32  # frames of the demo clip
COMPLETE = "onnxruntime"


def main() -> int:
    """Run the command line."""
    return run_command(compare, "benchmarks.runtimes")


def compare(model: Path, threads: int = 1, report: Path = Path("runs/runtimes.json")) -> None:
    """Time the same model in each runtime on one face, in turns, and say how far its points are from ONNX Runtime's.

    A time is that from the uint8 crop to the landmarks: normalisation and decoding are in it, also where they are
    outside the model's file. Each round has 200 calls of each runtime; a first round warms up and is not counted.

    Args:
        model: the .onnx file that export.run wrote, with the files of the other runtimes beside it.
        threads: of the CPU, for each runtime.
        report: the .json file to write.
    """
    check_report(report)
    cv2.setNumThreads(1)
    engines: dict[str, Runs] = {COMPLETE: OnnxEngine(model, threads)}
    for name in COMPARED:
        if contents_path(model, name).exists():
            engines[name] = open_runtime(name, model, threads)
        else:
            print(f"without {name}: {contents_path(model, name)} is missing", file=sys.stderr)
    if len(engines) == 1:
        raise TrackerError(f"{model}: expected the files of another runtime beside it; see docs/guides/phones.md")
    crops = faces(OnnxEngine(model).spec.size)
    expected = engines[COMPLETE].run(crops).points_px
    about = machine()  # with the load from before the measurement
    ways: dict[str, Callable[[], object]] = {name: partial(each.run, crops[:1]) for name, each in engines.items()}
    packages = {package for name in COMPARED for package in TARGETS[name].distributions}
    record: dict[str, Any] = {
        "machine": about,
        "versions": versions({*PACKAGES, *packages}),
        "threads": threads,
        "ms": timed(ways),
        "largest_px": {
            name: float(np.linalg.norm(each.run(crops).points_px - expected, axis=-1).max())
            for name, each in engines.items()
        },
    }
    write_report(report, record)
    print(table(record), f"report: {report}", sep="\n")


def faces(size: int) -> NDArray[np.uint8]:
    """Return crops (FACES, S, S, 3) of the demo clip's face, as its known landmarks place them."""
    clip = DemoClip()
    return np.stack([crop(clip.picture(i), roi_of_landmarks(clip.truth_px(i)), size) for i in range(FACES)])


def table(record: dict[str, Any]) -> str:
    """Format as Markdown: the median and the range of the rounds' medians, and the ratio to ONNX Runtime."""
    rows = ["| runtime | ms a face | of ONNX Runtime | largest distance, px |", "| --- | --- | --- | --- |"]
    for name, times in record["ms"].items():
        ratio = np.median(np.divide(times, record["ms"][COMPLETE]))
        rows.append(
            f"| {name} | {np.median(times):.2f} ({min(times):.2f} to {max(times):.2f}) | {ratio:.2f} | "
            f"{record['largest_px'][name]:.1e} |"
        )
    about = record["machine"]
    rows.append(f"{about['cpu']}, {about['cores']} cores, {record['threads']} thread(s), load {about['load']}")
    if about["load"] > BUSY:
        rows.append("THIS MACHINE WAS BUSY: do not publish these figures")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
