"""python -m benchmarks.gpu --minutes 8 --output FOLDER: everything that only a GPU can prove, by stages.

    start       imports, and the first call of the GPU
    crop        the crop kernel against OpenCV; buffers, streams, events, CUDA graphs
    rate        the card's matrix rate and copy rate
    edge        edge68 in FP16 by batch; a frame on the GPU to landmarks in one graph
    hourglass   the four-stack net in FP16 by batch
    training    the four-stack net on 300W for the time that is left
    compiled    the four-stack net through torch.compile
    crop_again  the first stage with PyCUDA, where that was still being built at first

Each has a time limit and writes NAME.json as it goes; summary.md holds the goals beside the figures.
A second call with the same folder keeps the stages that are done, and runs the others.
`--engine PLAN` times a TensorRT engine instead, and needs no PyTorch.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._lib.gpu.stages import REHEARSAL, Sizes, Stage, run_stages
from benchmarks._lib.gpu.summary import write_summary
from benchmarks.gpu.packed import unpack
from tracker.cli.command import run_command
from tracker.engines.tensorrt.plan import first_gpu
from tracker.errors import TrackerError

MINUTES = 8.0
_START = Stage("start", "benchmarks._lib.gpu.device:measure_start", 90.0)
"""Not shortened with the others: how long a cold disk takes to give PyTorch does not go by the minutes."""
_LIMITS_S = {"crop": 45.0, "rate": 20.0, "edge": 60.0, "hourglass": 75.0, "compiled": 75.0, "crop_again": 20.0}
"""Of a measurement of MINUTES; shorter ones have shorter limits. The training has what is left."""

_PLACES = {
    "crop": "crop:measure_crop",
    "rate": "speed:measure_rate",
    "edge": "speed:measure_edge",
    "hourglass": "speed:measure_hourglass",
    "training": "training:measure_training",
    "compiled": "speed:measure_compiled",
    "crop_again": "crop:measure_crop_again",
}


def measure(
    output: Path,
    minutes: float = MINUTES,
    pictures: Path | None = None,
    engine: Path | None = None,
    model: Path | None = None,
    rehearse: bool = False,
) -> None:
    """Measure what only a GPU can prove, or with --engine a TensorRT engine.

    Args:
        output: the folder for the results; made if it is not there.
        minutes: how long all stages together may take.
        pictures: to train on: 300W, or the pictures.zip of benchmarks.gpu.bundle.
        engine: a .plan of export.tensorrt to time instead.
        model: with engine, the .onnx file it was built from, to compare with.
        rehearse: run every stage on the CPU with tiny sizes, which measures nothing of interest.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackerError(f"{output}: cannot make the folder: {error.strerror}") from None
    if engine is not None:
        _time_engine(engine, output, model)
        return
    if model is not None:
        raise TrackerError("--model belongs to --engine; give that too")
    if not minutes > 0:
        raise TrackerError(f"--minutes expected a number above 0, got {minutes}")
    if not rehearse and first_gpu() is None:
        raise TrackerError("expected an NVIDIA GPU with its driver, found none; --rehearse runs all stages on the CPU")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = unpack(pictures, Path(folder)) if pictures is not None else None
        run_stages(
            stages(minutes),
            REHEARSAL if rehearse else _sizes(),
            output.resolve(),
            root.resolve() if root is not None else None,
            60 * minutes - (time.monotonic() - begun),
            (_LIMITS_S["compiled"] + _LIMITS_S["crop_again"]) * minutes / MINUTES,
            lambda: write_summary(output),
            first=_START,
        )
    print((output / "summary.md").read_text())


def _time_engine(engine: Path, output: Path, model: Path | None) -> None:
    measure_engine = importlib.import_module("benchmarks._lib.gpu.engine").measure_engine
    print(json.dumps(measure_engine(engine, output, model), indent=2))
    write_summary(output)


def _sizes() -> Sizes:
    """Of a measurement; a process for each core but two loads pictures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Sizes(workers=max(1, cores - 2))


def stages(minutes: float) -> list[Stage]:
    """In order: what is cheap and tells most comes first, what trains for the time that is left behind it."""
    return [
        Stage(name, f"benchmarks._lib.gpu.{place}", _LIMITS_S[name] * minutes / MINUTES if name in _LIMITS_S else None)
        for name, place in _PLACES.items()
    ]


def main() -> int:
    """Run the command line."""
    return run_command(measure, "benchmarks.gpu")


if __name__ == "__main__":
    sys.exit(main())
