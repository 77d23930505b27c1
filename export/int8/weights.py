"""Weights that are rounded one after another, each compensating for the rounding errors before it (GPTQ).

Frantar et al., ICLR 2023, after Optimal Brain Surgeon: the output of a convolution on real crops is to change least,
not each weight. On edge68 the squared error of the outputs falls to a fifth of that of rounding to the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch.nn import functional

from export.int8.nodes import Nodes, attributes, values
from export.int8.rounding import RESTORE

DAMPING = 0.01  # of the mean square of the inputs, so that those which are never used do not matter
MOST = 127
AT_ONCE = 2**27  # bytes of sums of products that are held


@dataclass(frozen=True)
class Rounded:
    """Weights in int8.

    Attributes:
        steps: (O,) float32 of the output channels.
        weights: (O, I, H, W) int8.
    """

    steps: NDArray[np.float32]
    weights: NDArray[np.int8]


def round_weights(model: onnx.ModelProto, quantised: onnx.ModelProto, crops: NDArray[np.uint8]) -> dict[str, Rounded]:
    """Round the weights of convolutions to the steps that they have in a quantised file.

    Args:
        model: a LandmarkGraph in FP32.
        quantised: the same with Q/DQ pairs, whose scales per output channel are kept.
        crops: (N, S, S, 3) uint8 RGB.

    Returns:
        The weights by their names in model; depthwise ones and other groups of channels are left out.
    """
    kernels = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    steps = _steps(quantised)
    convolutions = [
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.input[1] in steps
        and kernels[node.input[1]].ndim == 4
        and attributes(node).get("group", 1) == 1
    ]
    found: dict[str, Rounded] = {}
    while convolutions:
        now: list[onnx.NodeProto] = []
        held = 0
        while convolutions and (not now or held < AT_ONCE):
            now.append(convolutions.pop(0))
            held += 8 * kernels[now[-1].input[1]][0].size ** 2
        products = {node.input[1]: np.zeros(2 * [kernels[node.input[1]][0].size]) for node in now}
        for batch in values(model, [node.input[0] for node in now], crops):
            for node in now:
                name = node.input[1]
                products[name] += _products(batch[node.input[0]], kernels[name], node)
        for name, product in products.items():
            found[name] = Rounded(steps[name], _round(kernels[name], steps[name], product))
    return found


def replace_weights(quantised: onnx.ModelProto, rounded: Mapping[str, Rounded]) -> None:
    """Put rounded weights into a file with Q/DQ pairs in place, where its scales are those that they were rounded to.

    Args:
        quantised: the model.
        rounded: by the names of the weights in FP32.
    """
    steps, tensors = _steps(quantised), {tensor.name: tensor for tensor in quantised.graph.initializer}
    for name in steps.keys() & rounded.keys():
        tensor, one = tensors[_quantised_name(name)], rounded[name]
        same = np.isclose(steps[name], one.steps, rtol=1e-5, atol=0)[:, None, None, None]
        weights = np.where(same, one.weights, numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))


def restored_weights(quantised: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Return the weights of convolutions in int8, as they are restored, by their names in FP32.

    Args:
        quantised: the model.
    """
    arrays = {tensor.name: tensor for tensor in quantised.graph.initializer}
    return {
        name: (numpy_helper.to_array(arrays[_quantised_name(name)]) * steps[:, None, None, None]).astype(np.float32)
        for name, steps in _steps(quantised).items()
    }


def _steps(quantised: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """The scales (O,) of the weights in int8, by their names in FP32."""
    arrays = {tensor.name: tensor for tensor in quantised.graph.initializer}
    nodes = Nodes(quantised)
    found = {}
    for node in nodes.all:
        restored = nodes.producer(node.input[1]) if node.op_type == "Conv" else None
        if restored is not None and restored.op_type == RESTORE and restored.input[0] in arrays:
            name = restored.input[0].removesuffix(_quantised_name(""))
            found[name] = np.atleast_1d(numpy_helper.to_array(arrays[restored.input[1]]))
    return found


def _quantised_name(name: str) -> str:
    """The name that ONNX Runtime gives to weights in int8."""
    return f"{name}_quantized"


def _products(inputs: NDArray[np.float32], kernel: NDArray[np.float32], node: onnx.NodeProto) -> NDArray[np.float64]:
    """The products of what a convolution multiplies its weights with, summed over the cells: (I H W, I H W)."""
    sizes, kernel_size = attributes(node), kernel.shape[2:]
    top, left, bottom, right = sizes.get("pads", [0, 0, 0, 0])
    total = torch.zeros(
        2 * [kernel[0].size], dtype=torch.float64
    )  # in float32, sums in another order round other weights
    for maps in torch.from_numpy(inputs):  # one by one, as patches are large
        padded = functional.pad(maps, (left, right, top, bottom))
        patches = functional.unfold(
            padded, kernel_size, dilation=sizes.get("dilations", [1, 1]), stride=sizes.get("strides", [1, 1])
        ).double()
        total += patches @ patches.T
    products: NDArray[np.float64] = total.numpy()
    return products


def _round(kernel: NDArray[np.float32], steps: NDArray[np.float32], products: NDArray[np.float64]) -> NDArray[np.int8]:
    """Round the weights (O, I, H, W), those of the strongest inputs first."""
    damping = DAMPING * max(np.diag(products).mean(), np.finfo(np.float32).tiny)
    products = products + damping * np.eye(len(products))
    order = np.argsort(-np.diag(products), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(products[np.ix_(order, order)])).T
    left = (kernel.reshape(len(kernel), -1) / steps[:, None]).astype(np.float64)[:, order]
    rounded = np.zeros_like(left)
    for i in range(len(order)):
        rounded[:, i] = left[:, i].round().clip(-MOST, MOST)
        left[:, i + 1 :] -= np.outer((left[:, i] - rounded[:, i]) / factor[i, i], factor[i, i + 1 :])
    return rounded[:, np.argsort(order)].reshape(kernel.shape).astype(np.int8)
