"""ONNX of fixed shape that ends at the heatmaps, for compilers of accelerators such as Hailo's."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from export.graph import LandmarkGraph, Precision
from export.onnx import OPSET
from export.runtimes.base import Contents, CutNet, HeatmapEngine, Target, heatmap_tensors, normalised
from tracker.system.onnx_runtime import import_onnxruntime

INPUT, OUTPUT = "crop", "heatmaps"
KEY = "landmark_tracker.heatmaps"


def convert(graph: LandmarkGraph, paths: list[Path], precision: Precision, contents: Contents) -> None:
    """Write a graph up to its heatmaps as an .onnx file; its metadata hold what the JSON file says."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about the newer exporter and folded constants
        torch.onnx.export(
            CutNet(graph).eval(),
            (torch.zeros(contents["input"]["shape"]),),
            str(paths[0]),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(paths[0]))
    onnx.helper.set_model_props(model, {KEY: json.dumps(contents)})
    onnx.checker.check_model(model)
    onnx.save(model, str(paths[0]))


class OnnxHeatmaps:
    """Runs the .onnx file of a CutNet in ONNX Runtime on the CPU.

    Args:
        path: the file.
        threads: of the CPU.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits (1, K, H, W) of a crop (1, S, S, 3)."""
        maps: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: normalised(crops)})[0]
        return maps


TARGET = Target(
    suffixes=(".heatmaps.onnx",),
    extra=None,
    packages=(),
    distributions=("onnx", "torch"),
    precisions=("fp32",),
    cut=True,
    tensors=partial(heatmap_tensors, INPUT, OUTPUT),
    convert=convert,
    open=lambda paths, contents, threads: HeatmapEngine(OnnxHeatmaps(paths[0], threads), contents["decoding"]),
)
