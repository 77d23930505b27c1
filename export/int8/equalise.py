"""Cross-layer equalisation: channels get similar ranges, so that one scale suits them all (Nagel et al., ICCV 2019).

A ReLU, a maximum, a resize and a sum commute with a positive factor per channel. So the output channels of a
convolution may be divided by any factors if the weights that read them are multiplied by these.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.int8.nodes import PASSED, Nodes, attributes, shapes, values

POWER = 0.75  # of a channel's range; with 1, the weights lose as much as the activations gain
LEAST = 0.02  # of the widest channel's factor
UNUSED = 1e-4  # of the widest channel's range: a channel that is hardly ever above 0

_Array = NDArray[np.float32]


def equalise(model: onnx.ModelProto, crops: NDArray[np.uint8]) -> int:
    """Divide channels of a LandmarkGraph in FP32 in place, and multiply the weights that read them.

    Args:
        model: with its weights as initialisers.
        crops: (N, S, S, 3) uint8 RGB, on which ranges are measured.

    Returns:
        How many groups of tensors were changed. Those are left alone that other operators read or write.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {name: numpy_helper.to_array(tensor).copy() for name, tensor in tensors.items()}
    channels = {name: shape[1] for name, shape in shapes(model).items() if len(shape) == 4}
    groups = _groups(Nodes(model), weights, channels)
    ranges: dict[str, _Array] = {}
    for batch in values(model, [name for group in groups for name in group.rounded], crops):
        for name, value in batch.items():
            ranges[name] = np.maximum(ranges.get(name, np.float32(0)), np.abs(value).max((0, 2, 3)))
    changed: set[str] = set()
    for group in groups:
        factors = _factors(np.array([ranges[name] for name in group.rounded]))
        for node in group.writers:
            for name in node.input[1:]:
                weights[name] /= _along(factors, weights[name], 0)
            changed.update(node.input[1:])
        for node in group.readers:
            kernel = weights[node.input[1]]
            kernel *= _along(factors, kernel, 0 if _channel_groups(node) > 1 else 1)
            changed.add(node.input[1])
    for name in changed:
        tensors[name].CopyFrom(numpy_helper.from_array(weights[name], name))
    return len(groups)


@dataclass
class _Group:
    """Tensors that have the same channels.

    Attributes:
        writers: the convolutions that compute them.
        readers: the convolutions that read them.
        rounded: the names of those that are rounded in int8.
        usable: whether nothing else reads or writes them.
    """

    writers: list[onnx.NodeProto] = field(default_factory=list)
    readers: list[onnx.NodeProto] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)
    usable: bool = True


def _groups(nodes: Nodes, weights: dict[str, _Array], channels: dict[str, int]) -> list[_Group]:
    """The groups whose channels can be equalised."""
    names: dict[str, frozenset[str]] = {}  # by tensor, those of its group
    for node in nodes.all:
        names.update({name: frozenset([name]) for name in node.output})
        alike = [*_alike(node), *node.output]
        together = frozenset[str]().union(*(names.get(name, {name}) for name in alike))
        if len(alike) > 1:
            names.update(dict.fromkeys(together, together))
    groups = {}
    for group in dict.fromkeys(names.values()):
        sizes = {channels.get(name) for name in group}
        groups[group] = _Group(usable=len(sizes) == 1 and None not in sizes)
    of_tensor = {name: groups[group] for group in groups for name in group}
    for node in nodes.all:
        for name in dict.fromkeys([*node.input, *node.output]):
            if name in of_tensor:
                _note(of_tensor[name], nodes, node, name, weights)
    return [group for group in groups.values() if group.usable and group.writers and group.readers]


def _alike(node: onnx.NodeProto) -> list[str]:
    """The inputs of a node whose channels are those of its output."""
    return [*node.input] if node.op_type == "Add" else [*node.input[:1]] if node.op_type in PASSED else []


def _note(group: _Group, nodes: Nodes, node: onnx.NodeProto, name: str, weights: dict[str, _Array]) -> None:
    """Note what a node does with a tensor of a group."""
    if node.op_type == "Conv":
        kernel = weights.get(node.input[1])
        own = all(weight in weights and len(nodes.readers(weight)) == 1 for weight in node.input[1:])
        depthwise = kernel is not None and kernel.shape[:2] == (_channel_groups(node), 1)
        writes = name in node.output
        group.usable &= own and (writes or _channel_groups(node) == 1 or depthwise)
        (group.writers if writes else group.readers).append(node)
    elif not _alike(node):
        group.usable = False
    if name in node.input and node.op_type in ("Conv", "Add") and name not in group.rounded:
        group.rounded.append(name)


def _channel_groups(convolution: onnx.NodeProto) -> int:
    return int(attributes(convolution).get("group", 1))


def _along(factors: _Array, weights: _Array, axis: int) -> _Array:
    """The factors in the shape in which they are those of an axis of the weights."""
    return factors.reshape([-1 if each == axis else 1 for each in range(weights.ndim)])


def _factors(ranges: _Array) -> _Array:
    """Compute the divisor of each channel (C,) from its ranges (T, C) in the tensors of a group."""
    relative = ranges / np.maximum(ranges.max(1, keepdims=True), np.finfo(np.float32).tiny)
    together = np.exp(np.log(np.maximum(relative, UNUSED)).mean(0))
    found: _Array = np.maximum((together / together.max()) ** POWER, LEAST).astype(np.float32)
    return found
