"""Core ML: the model up to its heatmaps as an .mlpackage, for iPhones and Macs; decode_heatmaps makes the landmarks.

Core ML runs on Apple's systems only. So the package is verified by computing its own operations with its own weights in
PyTorch, see export.runtimes.mil: what the converter wrote is checked, what Core ML makes of it is not.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from export.graph import LandmarkGraph, Precision
from export.runtimes.base import Contents, CutNet, HeatmapEngine, Target, converting, heatmap_tensors
from export.runtimes.mil import MilHeatmaps

INPUT, OUTPUT = "crop", "heatmaps"
KEY = "landmark_tracker.heatmaps"


def convert(graph: LandmarkGraph, paths: list[Path], precision: Precision, contents: Contents) -> None:
    """Write a graph up to its heatmaps as a package for iOS 16, macOS 13 and newer.

    Its input is a picture, whose pixels it normalises itself. In fp16 it also computes in half precision, which the
    Neural Engine requires; its output is float32.

    Raises:
        TrackerError: if coremltools fails.
    """
    shape = contents["input"]["shape"]
    with tempfile.TemporaryDirectory() as folder, converting("coremltools"), torch.no_grad():
        import coremltools

        model = coremltools.convert(
            torch.jit.trace(CutNet(graph).eval(), torch.zeros(shape)),  # type: ignore[no-untyped-call]
            inputs=[
                coremltools.ImageType(
                    name=INPUT,
                    shape=shape,
                    scale=1 / 127.5,
                    bias=[-1, -1, -1],
                    color_layout=coremltools.colorlayout.RGB,
                )
            ],
            outputs=[coremltools.TensorType(name=OUTPUT, dtype=np.float32)],
            compute_precision=getattr(coremltools.precision, "FLOAT16" if precision == "fp16" else "FLOAT32"),
            minimum_deployment_target=coremltools.target.iOS16,
            skip_model_load=True,
        )
        model.short_description = f"{contents['spec']['scheme']} landmarks, heatmap logits"
        model.license = contents["licence"]
        model.user_defined_metadata[KEY] = json.dumps(contents)
        made = Path(folder) / "net.mlpackage"
        model.save(str(made))
        # Copied without its permissions: coremltools lets nobody else read the file
        shutil.copytree(made, paths[0], copy_function=shutil.copyfile)


def tensors(size: int, maps: tuple[int, int, int]) -> Contents:
    """Describe the input and the output of the package."""
    described = heatmap_tensors(INPUT, OUTPUT, size, maps)
    described["input"] |= {"type": "picture (CVPixelBuffer)", "normalisation": "none: it is inside the model"}
    return described


TARGET = Target(
    suffixes=(".mlpackage",),
    extra="coreml",
    packages=("coremltools",),
    distributions=("coremltools", "torch"),
    precisions=("fp32", "fp16"),
    cut=True,
    tensors=tensors,
    convert=convert,
    open=lambda paths, contents, threads: HeatmapEngine(MilHeatmaps(paths[0], INPUT), contents["decoding"]),
    note="Core ML runs on Apple's systems only: PyTorch computed the package's operations with its weights; run it on "
    "a Mac or an iPhone before you ship it",
)
