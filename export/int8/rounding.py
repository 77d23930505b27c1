"""Tensors of a model in FP32, rounded one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.int8.nodes import Nodes, values

QUANTISE, RESTORE = "QuantizeLinear", "DequantizeLinear"
SIGNED, UNSIGNED = 127, 255

Ranges = Mapping[str, tuple[float, float]]
"""The least and the largest value of tensors by name, 0 included."""


def measure_ranges(model: onnx.ModelProto, tensors: Iterable[str], crops: NDArray[np.uint8]) -> Ranges:
    """Return the ranges of tensors.

    Args:
        model: a LandmarkGraph in FP32.
        tensors: their names.
        crops: (N, S, S, 3) uint8 RGB.
    """
    ranges = dict.fromkeys(tensors, (0.0, 0.0))
    for batch in values(model, [*ranges], crops):
        for name, value in batch.items():
            least, most = ranges[name]
            ranges[name] = min(least, float(value.min())), max(most, float(value.max()))
    return ranges


def round_tensor(model: onnx.ModelProto, tensor: str, least: float, most: float, symmetric: bool) -> None:
    """Let all that read a tensor read it rounded, in place.

    Args:
        model: with the tensor.
        tensor: its name.
        least: its least value, at most 0.
        most: its largest value, at least 0.
        symmetric: int8 with a zero point of 0; else uint8.
    """
    if symmetric:
        step, zero = np.float32(max(-least, most) / SIGNED or 1), np.array(0, np.int8)
    else:
        step = np.float32((most - least) / UNSIGNED or 1)
        zero = np.array(np.clip(np.round(-least / step), 0, UNSIGNED), np.uint8)
    scale, point, rounded, restored = (f"{tensor}_{part}" for part in ("step", "zero", "rounded", "restored"))
    nodes = Nodes(model)
    for reader in nodes.readers(tensor):
        replace_input(reader, tensor, restored)
    place = next(i for i, node in enumerate(nodes.all) if tensor in node.output)
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array(step), scale), numpy_helper.from_array(zero, point)]
    )
    model.graph.node.insert(place + 1, helper.make_node(QUANTISE, [tensor, scale, point], [rounded], rounded))
    model.graph.node.insert(place + 2, helper.make_node(RESTORE, [rounded, scale, point], [restored], restored))


def replace_input(node: onnx.NodeProto, name: str, other: str) -> None:
    """Let a node read another tensor in the place of one.

    Args:
        node: changed in place.
        name: of the one.
        other: the name of the other.
    """
    for place, each in enumerate(node.input):
        if each == name:
            node.input[place] = other
