"""What the exports for phones and boards share."""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graph import LandmarkGraph, Precision
from export.verify import Runs
from tracker.engines.base import EngineOutput
from tracker.engines.heatmaps import decode_heatmaps
from tracker.errors import TrackerError
from train.models.heads import WithHead

Contents = dict[str, Any]
"""What the JSON file beside a model says, see export.runtimes.write."""

FACE = 1  # faces in one call: compilers for phones and accelerators want fixed shapes


@dataclass(frozen=True)
class Target:
    """A format, and how to write and run it.

    Attributes:
        suffixes: of its files or folders, behind the name of the .onnx file without ".onnx".
        extra: of landmark-tracker that brings its packages; None if export does.
        packages: that it needs, by the names that are imported.
        distributions: the packages whose versions are recorded.
        precisions: that it can be written in.
        cut: whether it ends at the heatmaps' logits.
        tensors: its input and outputs, for the JSON file, of a crop's side and the shape (K, H, W) of the maps.
        convert: writes the files of a graph to paths in the order of suffixes.
        open: the files, the JSON file's contents and a number of threads to an engine that runs them.
        note: how far the check went, for the user; empty if the format's own runtime ran the model.
    """

    suffixes: tuple[str, ...]
    extra: str | None
    packages: tuple[str, ...]
    distributions: tuple[str, ...]
    precisions: tuple[Precision, ...]
    cut: bool
    tensors: Callable[[int, tuple[int, int, int]], Contents]
    convert: Callable[[LandmarkGraph, list[Path], Precision, Contents], None]
    open: Callable[[list[Path], Contents, int], Runs]
    note: str = ""

    def files(self, model: Path) -> list[Path]:
        """Return the paths of the files that belong to an .onnx file."""
        return [model.with_name(model.stem + suffix) for suffix in self.suffixes]


class CutNet(nn.Module):
    """Maps normalised crops (N, 3, S, S) in [-1, 1] to the logits (N, K, H, W) of the heatmaps.

    Args:
        graph: the model in float32.
    """

    def __init__(self, graph: LandmarkGraph) -> None:
        super().__init__()
        self.net = plain_layout(graph.net)
        self.objective = graph.objective

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits before the temperature."""
        output = self.net(x)
        return self.objective.logits(output.stacks[-1] if isinstance(output, WithHead) else output)


def plain_layout(net: nn.Module) -> nn.Module:
    """Copy a net with contiguous weights; litert-torch 0.10 takes those in channels_last for contiguous ones."""
    copied: nn.Module = copy.deepcopy(net).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return copied.eval()


def heatmap_tensors(name: str, output: str, size: int, maps: tuple[int, int, int]) -> Contents:
    """Describe the input and the output of a CutNet."""
    return {
        "input": {
            "name": name,
            "shape": [FACE, 3, size, size],
            "type": "float32",
            "layout": "NCHW",
            "colours": "RGB",
            "normalisation": {"mean": [127.5] * 3, "scale": [1 / 127.5] * 3, "formula": "(pixel - mean) * scale"},
        },
        "outputs": {output: {"shape": [FACE, *maps], "type": "float32", "layout": "NKHW", "meaning": "heatmap logits"}},
    }


Heatmaps = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Runs a CutNet on crops (1, S, S, 3) uint8 RGB; returns logits (1, K, H, W)."""


class HeatmapEngine:
    """Makes an engine of what runs a model up to its heatmaps.

    Args:
        heatmaps: runs one crop.
        decoding: the parameters of decode_heatmaps.
    """

    def __init__(self, heatmaps: Heatmaps, decoding: Mapping[str, Any]) -> None:
        self.heatmaps, self.decoding = heatmaps, decoding

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Return the landmarks of RGB crops (N, S, S, 3), one at a time, from one face on."""
        return joined([decode_heatmaps(self.heatmaps(crop[None]), **self.decoding) for crop in crops])


def joined(outputs: list[EngineOutput]) -> EngineOutput:
    """Join the outputs of several crops."""
    fields = ("points_px", "scores", "covariances_px2")
    return EngineOutput(*(np.concatenate([getattr(output, name) for output in outputs]) for name in fields))


def normalised(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return crops (N, S, S, 3) uint8 as (N, 3, S, S) in [-1, 1]."""
    return np.ascontiguousarray((crops.astype(np.float32) * np.float32(1 / 127.5) - 1).transpose(0, 3, 1, 2))


def example_crops(size: int) -> Tensor:
    """Return a crop (1, S, S, 3) uint8 to trace a graph with."""
    return torch.full((FACE, size, size, 3), 127, dtype=torch.uint8)


@contextmanager
def converting(package: str) -> Iterator[None]:
    """Keep a converter's own messages off the terminal, and turn its errors into one sentence.

    Args:
        package: the converter's name.

    Raises:
        TrackerError: if the converter fails.
    """
    with tempfile.TemporaryFile() as log, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _flush()
        kept = [os.dup(descriptor) for descriptor in (1, 2)]
        try:
            for descriptor in (1, 2):
                os.dup2(log.fileno(), descriptor)
            yield
        except Exception as error:  # converters raise types of their own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise TrackerError(f"{package} cannot convert this net ({reason})") from None
        finally:
            _flush()
            for descriptor, copied in zip((1, 2), kept):
                os.dup2(copied, descriptor)
                os.close(copied)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
