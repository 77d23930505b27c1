"""python -m benchmarks.representations: compares landmark representations with the same net, data, steps and seeds.

Every representation is trained, validated with each of its decoders, exported with the decoding inside, verified, and
built by TensorRT-RTX if that is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._lib.latency import medians_ms
from benchmarks._lib.machine import machine
from benchmarks._lib.reports import write_report
from benchmarks._lib.trainings import CHANNELS, Record, edge_net, fit, kept, lfpw_test, mean_and_range, runs_of, task_of
from benchmarks.equivariance import measured
from export.calibration.fit import calibration_of
from export.graph import LandmarkGraph, Precision
from export.lint import lint
from export.onnx import write_onnx
from export.tensorrt import build, engine_key
from export.verify import ANYTHING, BUDGETS, Reference
from tracker.cli.command import run_command
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import ModelSpec
from tracker.metrics.nme import nme
from tracker.tracking.estimator import LandmarkEstimator
from train.codecs.reading import ReadingName
from train.loaders import FaceData
from train.models.heads import DecimalHead, OffsetMapHead, OffsetVectorHead
from train.objectives import (
    HeatmapInHeatmap,
    IntegerHeatmap,
    Objective,
    OffsetMap,
    OffsetVector,
    SoftArgmax,
    Star,
    Structured,
    Subpixel,
)
from train.task import Batch, LandmarkTask
from train.terms import Weights

SIGMA_CELLS = 1.0  # of all heatmaps: HIH's on 300W, and Subpixel's
DECIMALS, OFFSETS = 96, 40  # widths of heads, about as costly; HIH's 384 are for nets of 256 channels
WIDTH, CELLS = CHANNELS[0], 32
SETS = ("validation", "lfpw/testset")


@dataclass(frozen=True)
class Representation:
    """A representation to train, and the decoders of its maps, the objective's own first."""

    objective: Objective
    decoders: tuple[ReadingName, ...]
    head: Callable[[], nn.Module] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def task(self, seed: int) -> LandmarkTask:
        """Return an untrained task with this representation."""
        return task_of(self.objective, seed, lambda: edge_net(self.head() if self.head else None), **self.options)


REPRESENTATIONS = {
    "integer heatmap": Representation(IntegerHeatmap(SIGMA_CELLS), ("quarter", "argmax", "dark")),
    "integer heatmap + offset vector": Representation(
        OffsetVector(SIGMA_CELLS), ("vector",), partial(OffsetVectorHead, WIDTH, 68, OFFSETS)
    ),
    "integer heatmap + offset map": Representation(
        OffsetMap(SIGMA_CELLS), ("map",), partial(OffsetMapHead, WIDTH, OFFSETS)
    ),
    "heatmap in heatmap": Representation(
        HeatmapInHeatmap(SIGMA_CELLS), ("decimals", "quarter"), partial(DecimalHead, WIDTH, 68, CELLS, width=DECIMALS)
    ),
    "continuous heatmap (Subpixel)": Representation(Subpixel(SIGMA_CELLS), ("local_softmax", "dark", "quarter")),
    "Subpixel, Siamese": Representation(
        Subpixel(SIGMA_CELLS),
        ("local_softmax",),
        options={"views": 2, "weights": Weights(landmarks=0, consistency=0, siamese=1)},
    ),
    "soft-argmax, l2": Representation(SoftArgmax(), ("softmax_mean",)),
    "STAR": Representation(Star(), ("softmax_mean",)),
    "structured + isotropic": Representation(Structured(), ("local_softmax", "softmax_mean", "dark", "argmax")),
}


def main() -> int:
    """Run the command line."""
    return run_command(representations, "benchmarks.representations")


def representations(
    root: Path = Path("../shared/data/300w"),
    epochs: int = 12,
    seeds: int = 3,
    report: Path = Path("runs/representations.json"),
) -> None:
    """Train every representation with every seed and print a table; engines are written beside the report.

    Results that the report already has are kept. The learning rate is the same for all.

    Args:
        root: 300W, with afw, helen and lfpw in it.
        epochs: of each training, with the whole schedule in them.
        seeds: how many trainings of each representation.
        report: the .json file to keep results in.
    """
    engines = report.with_suffix("")
    record, runs = kept(
        report, epochs, seeds, REPRESENTATIONS, lambda name, seed: trained(name, root, epochs, seed, engines)
    )
    record["machine"] = machine()
    record["ms"] = record.get("ms", {}) | latencies_ms(engines)  # kept where the engines are not
    write_report(report, record)
    print(table(runs, record["ms"]), record["machine"], sep="\n")


def trained(name: str, root: Path, epochs: int, seed: int, engines: Path) -> Record:
    """Train once and measure.

    Returns:
        NME in percent by set and decoder, the differences of the exported engines, the spread of their points when the
        ROI moves, and the size of the net.
    """
    one = REPRESENTATIONS[name]
    task = one.task(seed)
    data, _ = fit(task, root, epochs)
    task.eval()
    sets = dict(zip(SETS, (data.val_dataloader(), lfpw_test(root, data)), strict=True))
    paths = {decoder: engines / f"{name}, {decoder}, seed {seed}" for decoder in one.decoders}
    return {
        "nme_percent": {key: errors(task, faces, one.decoders) for key, faces in sets.items()},
        "engines": {decoder: exported(task, data, decoder, path) for decoder, path in paths.items()},
        "spread_percent": {decoder: spread(_file(path, "fp32"), data) for decoder, path in paths.items()},
        **size_of(task),
    }


def errors(task: LandmarkTask, faces: DataLoader[Batch], decoders: Sequence[ReadingName]) -> dict[str, float]:
    """Return the mean NME in percent by decoder."""
    graphs = {decoder: LandmarkGraph(task, decoder=decoder).eval() for decoder in decoders}
    found: dict[str, list[float]] = {decoder: [] for decoder in decoders}
    with torch.no_grad():
        for batch in faces:
            truth = batch.points_px.numpy()
            for decoder, graph in graphs.items():
                points = graph(batch.crops)[0].numpy()
                found[decoder] += [nme(p, t, task.scheme) for p, t in zip(points, truth, strict=True)]
    return {decoder: round(100 * float(np.mean(values)), 4) for decoder, values in found.items()}


def exported(task: LandmarkTask, data: FaceData, decoder: ReadingName, path: Path) -> Record:
    """Return the .onnx files' differences from PyTorch in both precisions, and whether they pass, lint and build."""
    faces = data.validation.together()
    calibration = calibration_of(task, faces, decoder)
    graph = LandmarkGraph(task, decoder=decoder, calibration=calibration).eval()
    reference = Reference(graph, faces.crops, faces.points_px.double().numpy(), task.scheme)
    spec = ModelSpec(
        size=task.size,
        scheme=task.scheme.name,
        presence=0.5,
        decode=decoder,
        licence="research only",
        config={},
        commit="benchmark",
        temperature=calibration.temperature,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    record: Record = {}
    for precision in ("fp32", "fp16"):
        graph = LandmarkGraph(task, precision, decoder, calibration)
        record[precision] = verified(graph, spec, reference, _file(path, precision))
    return record


def spread(engine: Path, data: FaceData) -> dict[str, float]:
    """Return the spread of the points of the validation faces in percent, see benchmarks.equivariance."""
    return measured(LandmarkEstimator(OnnxEngine(engine)), data.validation.samples).spread_percent


def _file(path: Path, precision: str) -> Path:
    return path.with_name(f"{path.name}.{precision}.onnx")


def verified(graph: LandmarkGraph, spec: ModelSpec, reference: Reference, output: Path) -> Record:
    """Write and compare an .onnx file, and try to build it with TensorRT-RTX."""
    precision: Precision = "fp16" if graph.dtype == torch.float16 else "fp32"
    difference = write_onnx(graph, spec, reference, output, ANYTHING)
    return {
        "p99_px": difference.p99_px,
        "nme_change_percent": difference.nme_change_percent,
        "over_budget": difference.excess(BUDGETS[precision]),
        "lint": lint(output),
        "rtx_bytes": len(build(output, engine_key(output, "tensorrt_rtx", precision=precision))),
    }


def size_of(task: LandmarkTask) -> Record:
    """Return parameters and multiply-accumulates of the deployed net for one face, without decoding."""
    net = task.net.fused().eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.zeros(1, 3, task.size, task.size))
    return {"parameters": sum(p.numel() for p in net.parameters()), "macs": counter.get_total_flops() // 2}


def latencies_ms(engines: Path) -> dict[str, float]:
    """Return the median time of one face by "representation, decoder", with decoding, FP32, one thread."""
    ending = ", seed 1.fp32.onnx"
    files = sorted(engines.glob(f"*{ending}"))
    return medians_ms({file.name.removesuffix(ending): OnnxEngine(file) for file in files})


def table(runs: Record, ms: dict[str, float]) -> str:
    """Format as Markdown: a row for every decoder of every representation, with means and ranges over the seeds."""
    rows = [
        "| representation | decoder | parameters | MACs, M | engine, ms | validation NME, % | lfpw/testset NME, % | "
        "spread, small, % | FP16, p99 px |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in REPRESENTATIONS.items():
        found = runs_of(runs, name)
        size = f"{found[0]['parameters']:,} | {found[0]['macs'] / 1e6:.1f}"
        for decoder in one.decoders:
            errors = [mean_and_range([run["nme_percent"][faces][decoder] for run in found]) for faces in SETS]
            moves = mean_and_range([run["spread_percent"][decoder]["small"] for run in found])
            half = mean_and_range([run["engines"][decoder]["fp16"]["p99_px"] for run in found])
            cells = [name, decoder, size, f"{ms[f'{name}, {decoder}']:.2f}", *errors, moves, half]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    sys.exit(main())
