"""ncnn: the model up to its heatmaps, for phones and boards; decode_heatmaps makes the landmarks."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.graph import LandmarkGraph, Precision
from export.runtimes.base import Contents, CutNet, HeatmapEngine, Target, converting, heatmap_tensors, normalised
from tracker.errors import TrackerError

INPUT, OUTPUT = "in0", "out0"  # as pnnx names them


def convert(graph: LandmarkGraph, paths: list[Path], precision: Precision, contents: Contents) -> None:
    """Write a graph up to its heatmaps as .param and .bin files. Raises TrackerError if pnnx fails.

    In fp16 the weights are stored in half precision.
    """
    x = torch.zeros(contents["input"]["shape"])
    with tempfile.TemporaryDirectory() as folder, converting("pnnx"), torch.no_grad():
        import pnnx

        made = [Path(folder) / "net.ncnn.param", Path(folder) / "net.ncnn.bin"]
        pnnx.export(
            CutNet(graph).eval(), str(Path(folder) / "net.pt"), (x,), check_trace=False, fp16=precision == "fp16"
        )
        for path, file in zip(paths, made):
            path.write_bytes(file.read_bytes())


class NcnnHeatmaps:
    """Runs the .param and .bin files of a CutNet on the CPU in float32.

    Args:
        param: the .param file.
        weights: the .bin file.
        threads: of the CPU.
    """

    def __init__(self, param: Path, weights: Path, threads: int = 1) -> None:
        import ncnn

        self._ncnn: Any = ncnn
        self._net = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        self._net.opt.num_threads = threads
        # Where the CPU has half precision, such as on phones, ncnn takes it unless told otherwise
        self._net.opt.use_fp16_packed = self._net.opt.use_fp16_storage = self._net.opt.use_fp16_arithmetic = False
        if self._net.load_param(str(param)) or self._net.load_model(str(weights)):
            raise TrackerError(f"{param}: expected an ncnn model, ncnn cannot load it with {weights}")

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits (1, K, H, W) of a crop (1, S, S, 3)."""
        extractor = self._net.create_extractor()
        picture = normalised(crops)[0]  # kept until the end: a Mat does not hold on to the array that it shares
        extractor.input(INPUT, self._ncnn.Mat(picture))
        _, maps = extractor.extract(OUTPUT)
        return np.array(maps)[None]


TARGET = Target(
    suffixes=(".ncnn.param", ".ncnn.bin"),
    extra="ncnn",
    packages=("pnnx", "ncnn"),
    distributions=("pnnx", "ncnn"),
    precisions=("fp32", "fp16"),
    cut=True,
    tensors=partial(heatmap_tensors, INPUT, OUTPUT),
    convert=convert,
    open=lambda paths, contents, threads: HeatmapEngine(
        NcnnHeatmaps(paths[0], paths[1], threads), contents["decoding"]
    ),
)
