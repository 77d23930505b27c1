"""What ONNX Runtime's tool leaves out, without which its kernels for CPUs compute less in int8 than the file says."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from export.int8.nodes import PASSED, Nodes
from export.int8.rounding import QUANTISE, RESTORE, Ranges, replace_input, round_tensor

NEARLY = 1 + 1e-6  # a factor on a scale that changes nothing but that two scales are not the same


def finish(model: onnx.ModelProto, ranges: Ranges) -> None:
    """Change a file with Q/DQ pairs on the inputs of its nodes in place, so that these compute in int8.

    Args:
        model: with uint8 activations.
        ranges: of what the nodes answer.
    """
    _round_answers(model, ranges)
    _read_unrounded(model)
    _pool_in_float(model)


def in_int8(nodes: Nodes, node: onnx.NodeProto) -> bool:
    """Tell whether a node is a convolution or a sum that reads nothing but restored values.

    On CPUs it computes in int8 if its answer is rounded, too.

    Args:
        nodes: of a file with Q/DQ pairs.
        node: one of them.
    """
    sources = [nodes.producer(name) for name in node.input[:2]]
    return node.op_type in ("Conv", "Add") and all(each is not None and each.op_type == RESTORE for each in sources)


def _round_answers(model: onnx.ModelProto, ranges: Ranges) -> None:
    """Round what nodes in int8 answer to others in float32: ONNX Runtime computes all in float32 else."""
    for answer, (least, most) in ranges.items():
        nodes = Nodes(model)
        source = nodes.source(answer, ("Relu",))
        if source is not None and in_int8(nodes, source) and not _is_rounded(nodes, answer):
            round_tensor(model, answer, least, most, symmetric=False)


def _is_rounded(nodes: Nodes, tensor: str) -> bool:
    """Whether all that read a tensor read it rounded; ONNX Runtime rounds before a pooling what is rounded after it."""
    return all(
        reader.op_type == QUANTISE or (reader.op_type == "MaxPool" and _is_rounded(nodes, reader.output[0]))
        for reader in nodes.readers(tensor)
    )


def _read_unrounded(model: onnx.ModelProto) -> None:
    """Let nodes in float32 read what others in float32 answer as it is, not what it was rounded to for one in int8."""
    nodes = Nodes(model)
    for restoring in [node for node in nodes.all if node.op_type == RESTORE]:
        rounding = nodes.producer(restoring.input[0])
        if rounding is None or rounding.op_type != QUANTISE:
            continue
        source = nodes.source(rounding.input[0])
        if source is not None and source.op_type in ("Conv", "Add") and not in_int8(nodes, source):
            for reader in nodes.readers(restoring.output[0]):
                if not in_int8(nodes, reader):
                    replace_input(reader, restoring.output[0], rounding.input[0])


def _pool_in_float(model: onnx.ModelProto) -> None:
    """Keep in float32 the pooling of numbers that lie channel by channel, which takes 25 times as long in int8.

    ONNX Runtime pools in int8 if the scales before and after are the same.
    """
    nodes = Nodes(model)
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in nodes.all:
        source = nodes.source(node.input[0], (RESTORE, QUANTISE, *PASSED)) if node.op_type == "MaxPool" else None
        if source is None or _lies_by_pixels(nodes, source):
            continue
        for reader in nodes.readers(node.output[0]):
            if reader.op_type == QUANTISE:
                scale = scales[reader.input[1]]
                step = numpy_helper.to_array(scale) * np.float32(NEARLY)
                scale.CopyFrom(numpy_helper.from_array(step, scale.name))


def _lies_by_pixels(nodes: Nodes, node: onnx.NodeProto) -> bool:
    """Whether the answer of a node lies pixel by pixel: that of a convolution in int8, or of a sum of such answers."""
    if not in_int8(nodes, node):
        return False
    sources = [nodes.source(name, (RESTORE, QUANTISE, *PASSED)) for name in node.input]
    return node.op_type == "Conv" or all(each is not None and _lies_by_pixels(nodes, each) for each in sources)
