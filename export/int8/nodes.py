"""The nodes of an ONNX graph by what they write and read, and the values of its tensors on crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from tracker.engines.spec import INPUT
from tracker.system.onnx_runtime import import_onnxruntime

PASSED = ("Relu", "MaxPool", "Resize")  # computed in int8 between two nodes in int8
_BATCH = 16


class Nodes:
    """Finds nodes by their tensors.

    Args:
        model: whose nodes are in topological order.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.all = [*model.graph.node]
        self._producers = {name: node for node in self.all for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.all:
            for name in {*node.input}:
                self._readers.setdefault(name, []).append(node)

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that writes a tensor; None for inputs of the graph and initialisers."""
        return self._producers.get(tensor)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor."""
        return self._readers.get(tensor, [])

    def source(self, tensor: str, passed: Sequence[str] = PASSED) -> onnx.NodeProto | None:
        """Return the node that computes a tensor, before those of the operators that are passed."""
        node = self.producer(tensor)
        while node is not None and node.op_type in passed:
            node = self.producer(node.input[0])
        return node

    def activation(self, node: onnx.NodeProto) -> str:
        """Return the activation of a node: the output of the ReLU after it, if nothing else reads the node's output."""
        readers = self.readers(node.output[0])
        last = readers[0] if [reader.op_type for reader in readers] == ["Relu"] else node
        name: str = last.output[0]
        return name


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name.

    Args:
        node: of a graph.
    """
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return the shapes of the float32 tensors inside a graph by name; a size that is not fixed is 0.

    Args:
        model: of the graph.
    """
    tensors = {
        value.name: value.type.tensor_type for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    return {
        name: [side.dim_value for side in tensor.shape.dim]
        for name, tensor in tensors.items()
        if tensor.elem_type == onnx.TensorProto.FLOAT
    }


def replace_nodes(model: onnx.ModelProto, changed: Sequence[onnx.NodeProto]) -> None:
    """Let a graph have other nodes, without those of them that nothing reads and the initialisers that they alone read.

    Args:
        model: changed in place.
        changed: the nodes, in topological order.
    """
    read = {output.name for output in model.graph.output}
    used: list[onnx.NodeProto] = []
    for node in reversed(changed):
        if read.intersection(node.output):
            used.append(node)
            read.update(node.input)
    initialisers = [tensor for tensor in model.graph.initializer if tensor.name in read]
    for repeated, kept in ((model.graph.node, reversed(used)), (model.graph.initializer, initialisers)):
        kept = [*kept]
        del repeated[:]
        repeated.extend(kept)


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model.

    Args:
        model: to be copied.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def values(
    model: onnx.ModelProto, tensors: Sequence[str], crops: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield the values of tensors by name, of one batch of crops after the other.

    Args:
        model: a LandmarkGraph in FP32.
        tensors: names of float tensors of it.
        crops: (N, S, S, 3) uint8 RGB.
    """
    names = [*dict.fromkeys(tensors)]
    shown = copied(model)
    shown.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = import_onnxruntime().InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in batches(crops):
        yield dict(zip(names, session.run(names, {INPUT: batch})))


def batches(crops: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return crops (N, S, S, 3) in parts that are run at once."""
    return [crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH)]
