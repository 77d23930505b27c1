"""LiteRT (TensorFlow Lite): the complete model, decoding included, for Android, iOS and Linux boards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graph import LandmarkGraph, Precision
from export.runtimes.base import FACE, Contents, Target, converting, example_crops, joined, plain_layout
from tracker.engines.base import EngineOutput
from tracker.engines.spec import INPUT, OUTPUTS


class _Complete(nn.Module):
    """A LandmarkGraph whose input and outputs have names; torch.export reserves the name graph."""

    def __init__(self, graph: LandmarkGraph) -> None:
        super().__init__()
        self.model = plain_layout(graph)

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        return dict(zip(OUTPUTS, self.model(crops)))


def convert(graph: LandmarkGraph, paths: list[Path], precision: Precision, contents: Contents) -> None:
    """Write a graph as a .tflite file. Raises TrackerError if litert-torch fails."""
    crops = example_crops(contents["spec"]["size"])
    with converting("litert-torch"), torch.no_grad():
        import litert_torch

        litert_torch.convert(_Complete(graph).eval(), sample_kwargs={INPUT: crops}).export(str(paths[0]))


class LiteRtEngine:
    """Runs a .tflite file of this project on the CPU.

    Args:
        path: the file.
        threads: of the CPU.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._run: Any = self._interpreter.get_signature_runner()

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Return the landmarks of RGB crops (N, S, S, 3), one at a time, from one face on."""
        found = [self._run(**{INPUT: crop[None]}) for crop in crops]
        return joined([EngineOutput(*(np.array(each[name]) for name in OUTPUTS)) for each in found])


def tensors(size: int, maps: tuple[int, int, int]) -> Contents:
    """Describe the signature of the file."""
    count = maps[0]
    shapes = zip(OUTPUTS, ([FACE, count, 2], [FACE, count], [FACE, count, 3]))
    return {
        "input": {
            "name": INPUT,
            "shape": [FACE, size, size, 3],
            "type": "uint8",
            "layout": "NHWC",
            "colours": "RGB",
            "normalisation": "none: it is inside the model",
        },
        "outputs": {name: {"shape": shape, "type": "float32"} for name, shape in shapes},
    }


TARGET = Target(
    suffixes=(".tflite",),
    extra="litert",
    packages=("litert_torch", "ai_edge_litert"),
    distributions=("litert-torch", "ai-edge-litert"),
    precisions=("fp32",),
    cut=False,
    tensors=tensors,
    convert=convert,
    open=lambda paths, contents, threads: LiteRtEngine(paths[0], threads),
)
