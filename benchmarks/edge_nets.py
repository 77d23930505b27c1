"""python -m benchmarks.edge_nets: compares error and latency of small nets, each trained for a few epochs."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from benchmarks._lib.latency import medians_ms
from benchmarks._lib.machine import machine
from benchmarks._lib.reports import check_report, write_report
from export.graph import LandmarkGraph
from export.onnx import write_onnx
from export.verify import BUDGETS, Reference
from tracker.cli.command import run_command
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import ModelSpec
from train.datasets import W300
from train.loaders import FaceData
from train.models.edge import EdgeHourglass
from train.objectives import Structured
from train.task import LandmarkTask

# Input side in pixels, and the net.
NETS: dict[str, tuple[int, dict[str, Any]]] = {
    "1 stack": (128, {"channels": [64, 96, 128, 128], "stacks": 1}),
    "1 stack, narrow": (128, {"channels": [48, 96, 128, 128], "stacks": 1}),
    "2 stacks, narrow": (128, {"channels": [48, 64, 96, 96], "stacks": 2}),
    "1 stack, wide": (128, {"channels": [96, 128, 160, 160], "stacks": 1}),
    "1 stack, 160 px": (160, {"channels": [48, 64, 96, 128], "stacks": 1}),
    "1 stack, 64 x 64 maps": (128, {"channels": [24, 48, 96, 128, 128], "stacks": 1, "stem": 24, "stride": 2}),
}


def main() -> int:
    """Run the command line."""
    return run_command(edge_nets, "benchmarks.edge_nets")


def edge_nets(
    root: Path = Path("../shared/data/300w"), epochs: int = 10, report: Path = Path("runs/edge_nets.json")
) -> None:
    """Print a Markdown table: parameters, median milliseconds of one face, validation NME after some epochs.

    Every net is trained with the seed, the data and the settings of configs/train/edge68_300w.yaml, but for a shorter
    schedule and no average. Results that the report already has are kept.

    Args:
        root: 300W, with afw, helen and lfpw in it.
        epochs: of each training.
        report: the .json file to keep results in.
    """
    check_report(report)
    torch.manual_seed(1)
    record = json.loads(report.read_text()) if report.exists() else {}
    record["machine"], record["ms"] = machine(), latencies_ms()
    nme = record.setdefault(f"nme_percent_after_{epochs}", {})
    for name in NETS:
        if name not in nme:
            nme[name] = trained_nme_percent(name, root, epochs)
            write_report(report, record)
    print(table(record["ms"], nme, epochs), record["machine"], sep="\n")


def task_of(name: str) -> LandmarkTask:
    """Return an untrained task with a net of that name, as configured by configs/train/edge68_300w.yaml."""
    size, options = NETS[name]
    return LandmarkTask(EdgeHourglass(**{"block": "bottleneck", **options}), Structured(), size=size, weight_decay=1e-2)


def latencies_ms() -> dict[str, float]:
    """Return the median time of one face in ONNX Runtime, with decoding, on one thread; the nets alternate."""
    return medians_ms({name: untrained_engine(name) for name in NETS})


def untrained_engine(name: str) -> OnnxEngine:
    """Export an untrained net, because the latency does not depend on the weights."""
    task = task_of(name)
    spec = ModelSpec(
        size=task.size, scheme=task.scheme.name, presence=0.5, decode="", licence="untrained", config={}, commit="none"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.onnx"
        crops = torch.randint(256, (2, task.size, task.size, 3), dtype=torch.uint8)
        graph = LandmarkGraph(task).eval()
        anywhere = np.random.default_rng(0).uniform(0, task.size, (2, task.scheme.count, 2))
        write_onnx(graph, spec, Reference(graph, crops, anywhere, task.scheme), path, BUDGETS["fp32"])
        return OnnxEngine(path)


def trained_nme_percent(name: str, root: Path, epochs: int) -> float:
    """Return the NME of the validation faces after a training with the complete schedule in that many epochs."""
    lightning.seed_everything(1)
    task = task_of(name)
    data = FaceData(W300(root), size=task.size)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, limit_val_batches=0
    )
    trainer.fit(task, data)
    trainer.limit_val_batches = 1.0
    (figures,) = trainer.validate(task, data)
    return round(figures["val_nme"], 3)


def table(ms: dict[str, float], nme: dict[str, float], epochs: int) -> str:
    """Format as Markdown, the fastest first."""
    rows = [
        f"| net | input | maps | channels | parameters | engine, ms | validation NME after {epochs} epochs, % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in sorted(NETS, key=lambda name: ms[name]):
        size, options = NETS[name]
        net = task_of(name).net
        channels, maps = " ".join(map(str, options["channels"])), size // net.stride
        parameters = sum(p.numel() for p in net.parameters())
        figures = f"{parameters:,} | {ms[name]:.2f} | {nme[name]:.2f}"
        rows.append(f"| {name} | {size} | {maps} | {channels} | {figures} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
