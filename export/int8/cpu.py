"""Changes to the Q/DQ pairs of ONNX Runtime's tool, so that its CPU kernels run in int8 just what the file says."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.int8.nodes import PASSED, Nodes, attributes, replace_nodes, shapes
from export.int8.rounding import QUANTISE, RESTORE, Ranges, replace_input, round_tensor

NEARLY = 1 + 1e-6  # a factor that only makes two equal scales differ


def finish(model: onnx.ModelProto, ranges: Ranges) -> None:
    """Change a file with Q/DQ pairs on the inputs of its nodes in place, so that these compute in int8.

    Args:
        model: with uint8 activations.
        ranges: of the activations of the nodes.
    """
    _round_activations(model, ranges)
    _read_unrounded(model)
    _pool_in_float(model)
    _copy_pixels(model)
    _keep_weights(model)


def in_int8(nodes: Nodes, node: onnx.NodeProto) -> bool:
    """Tell whether a node is a convolution or a sum that reads nothing but restored values.

    On CPUs it computes in int8 if its activation is rounded, too.

    Args:
        nodes: of a file with Q/DQ pairs.
        node: one of them.
    """
    sources = [nodes.producer(name) for name in node.input[:2]]
    return node.op_type in ("Conv", "Add") and all(each is not None and each.op_type == RESTORE for each in sources)


def _round_activations(model: onnx.ModelProto, ranges: Ranges) -> None:
    """Round the outputs of int8 nodes that float32 nodes read; otherwise ONNX Runtime runs the node in float32."""
    for activation, (least, most) in ranges.items():
        nodes = Nodes(model)
        source = nodes.source(activation, ("Relu",))
        if source is not None and in_int8(nodes, source) and not _is_rounded(nodes, activation):
            round_tensor(model, activation, least, most, symmetric=False)


def _is_rounded(nodes: Nodes, tensor: str) -> bool:
    """Tell whether all readers quantise a tensor first, also after a MaxPool: ONNX Runtime moves that before it."""
    return all(
        reader.op_type == QUANTISE or (reader.op_type == "MaxPool" and _is_rounded(nodes, reader.output[0]))
        for reader in nodes.readers(tensor)
    )


def _read_unrounded(model: onnx.ModelProto) -> None:
    """Let float32 nodes read the unrounded outputs of convolutions and sums in float32."""
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
    """Keep the pooling of tensors in NCHW layout in float32: in int8 it takes 25 times as long.

    ONNX Runtime pools in int8 if the scales before and after are the same.
    """
    nodes = Nodes(model)
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in nodes.all:
        source = nodes.source(node.input[0], (RESTORE, QUANTISE, *PASSED)) if node.op_type == "MaxPool" else None
        if source is None or _is_nhwc(nodes, source):
            continue
        for reader in nodes.readers(node.output[0]):
            if reader.op_type == QUANTISE:
                scale = scales[reader.input[1]]
                step = numpy_helper.to_array(scale) * np.float32(NEARLY)
                scale.CopyFrom(numpy_helper.from_array(step, scale.name))


def _is_nhwc(nodes: Nodes, node: onnx.NodeProto) -> bool:
    """Tell whether ONNX Runtime keeps a node's output in NHWC: of int8 convolutions and of sums of their outputs."""
    if not in_int8(nodes, node):
        return False
    sources = [nodes.source(name, (RESTORE, QUANTISE, *PASSED)) for name in node.input]
    return node.op_type == "Conv" or all(each is not None and _is_nhwc(nodes, each) for each in sources)


def _copy_pixels(model: onnx.ModelProto) -> None:
    """Write an enlargement by two between nodes in int8 as copies of pixels and of rows.

    ONNX Runtime has these values in NHWC layout, in which its Resize takes five times as long as the copies.
    """
    nodes = Nodes(model)
    sizes = shapes(model)
    changed: list[onnx.NodeProto] = []
    for node in nodes.all:
        restoring, readers = nodes.producer(node.input[0]) if node.input else None, nodes.readers(node.output[0])
        if restoring is None or not _doubles(node, sizes) or not _same_steps(model, restoring, *readers):
            changed.append(node)
            continue
        name, (channels, height, width) = node.name, sizes[node.output[0]][1:]
        wide, high = f"{name}_wide", f"{name}_high"
        for tensor, shape in ((wide, [-1, height // 2, 1, width * channels]), (high, [-1, height, width, channels])):
            model.graph.initializer.append(numpy_helper.from_array(np.array(shape), tensor))
        steps: list[tuple[str, list[str], dict[str, Any]]] = [
            ("Transpose", [restoring.input[0]], {"perm": (0, 2, 3, 1)}),
            ("Concat", [f"{name}_0", f"{name}_0"], {"axis": 3}),
            ("Reshape", [f"{name}_1", wide], {}),
            ("Concat", [f"{name}_2", f"{name}_2"], {"axis": 2}),
            ("Reshape", [f"{name}_3", high], {}),
            ("Transpose", [f"{name}_4"], {"perm": (0, 3, 1, 2)}),
        ]
        for step, (operator, inputs, options) in enumerate(steps):
            changed.append(helper.make_node(operator, inputs, [f"{name}_{step}"], f"{name}_{step}", **options))
        for reader in nodes.readers(readers[0].output[0]):
            replace_input(reader, readers[0].output[0], f"{name}_5")
    replace_nodes(model, changed)


def _doubles(node: onnx.NodeProto, sizes: dict[str, list[int]]) -> bool:
    """Tell whether a node doubles the height and the width of maps by repeating each pixel (nearest neighbour)."""
    kind = [attributes(node).get(name) for name in ("mode", "nearest_mode", "coordinate_transformation_mode")]
    if node.op_type != "Resize" or kind != [b"nearest", b"floor", b"asymmetric"]:
        return False
    before, after = sizes[node.input[0]][2:], sizes[node.output[0]][2:]
    return 0 not in before and after == [2 * side for side in before]


def _same_steps(model: onnx.ModelProto, restoring: onnx.NodeProto, *readers: onnx.NodeProto) -> bool:
    """Tell whether a restored tensor has one reader, which quantises it with the same scale and zero point."""
    if [node.op_type for node in (restoring, *readers)] != [RESTORE, QUANTISE]:
        return False
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (scale, zero), (again, zero_again) = ([arrays[name] for name in node.input[1:3]] for node in (restoring, *readers))
    return bool(zero == zero_again and np.isclose(scale, again, rtol=1e-5))  # both are measured


def _keep_weights(model: onnx.ModelProto) -> None:
    """Keep ONNX Runtime from rounding the weights of a convolution in float32 that lies between two in int8.

    Its pass WeightBiasQuantization does, with one scale for all channels. A Clip without bounds changes nothing else.
    """
    nodes = Nodes(model)
    changed: list[onnx.NodeProto] = []
    for node in nodes.all:
        restored = nodes.producer(node.input[0]) if node.op_type == "Conv" and not in_int8(nodes, node) else None
        readers = nodes.readers(nodes.activation(node)) if restored is not None else []
        if restored is not None and restored.op_type == RESTORE and any(each.op_type == QUANTISE for each in readers):
            kept = f"{node.input[0]}_kept_{len(changed)}"
            changed.append(helper.make_node("Clip", [node.input[0]], [kept], kept))
            node.input[0] = kept
        changed.append(node)
    replace_nodes(model, changed)
