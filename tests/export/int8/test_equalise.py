"""Channels that are alike in range; the net computes the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.int8.equalise import equalise
from tracker.system.onnx_runtime import import_onnxruntime

ROOT = Path(__file__).parents[3]
CROPS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


def net(seed: int, *, last: str = "Relu", shared: bool = False) -> onnx.ModelProto:
    """A block with a sum, a pooling, a resize and a depthwise convolution, whose channels differ a thousandfold."""
    rng = np.random.default_rng(seed)
    spread = 10 ** rng.uniform(-1.5, 1.5, 6)
    arrays = {
        "w1": rng.normal(0, 1, (6, 3, 3, 3)) * spread[:, None, None, None],
        "b1": rng.normal(0, 1, 6) * spread,
        "w2": rng.normal(0, 1, (6, 6, 1, 1)) / spread[:, None, None],
        "w3": rng.normal(0, 1, (6, 1, 3, 3)),
        "w4": rng.normal(0, 1, (5, 6, 1, 1)) / spread[:, None, None],
        "scales": np.array([1, 1, 2, 2]),
    }
    if shared:
        arrays["w2"] = arrays["w2"] * 0 + rng.normal(0, 1, (6, 6, 1, 1))
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Cast", ["crops"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["cast"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], **same),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"]),
        helper.make_node("Add", ["c2", "r1"], ["sum"]),
        helper.make_node(last, ["sum"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["pooled", "", "scales"], ["up"], mode="nearest"),
        helper.make_node("Conv", ["up", "w3"], ["c3"], group=6, **same),
        helper.make_node("Conv", ["c3", "w2" if shared else "w4"], ["maps"]),
    ]
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type} {number}"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 8, 8, 3])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def run(model: onnx.ModelProto, *outputs: str) -> list[NDArray[np.float32]]:
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    session = import_onnxruntime().InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(list(outputs), {"crops": CROPS})
    return found


def ranges_of(model: onnx.ModelProto) -> NDArray[np.float32]:
    """Of the channels of the tensors that are rounded."""
    return np.array([np.abs(values).max((0, 2, 3)) for values in run(model, "r1", "c2", "up")])


def unevenness(ranges: NDArray[np.float32]) -> float:
    """Divide the range of the widest channel by that of the narrowest, both as geometric means over the tensors."""
    together = np.exp(np.log(ranges).mean(0))
    return float(together.max() / together.min())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_answer_is_the_same_and_the_channels_are_alike(seed: int) -> None:
    model = net(seed)
    (before,), ranges = run(model, "maps"), ranges_of(model)
    assert equalise(model, CROPS) == 2
    (after,) = run(model, "maps")
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max())
    used = (ranges > 1e-3 * ranges.max(1, keepdims=True)).all(0)
    if used.any():
        uneven = unevenness(ranges[:, used])
        assert unevenness(ranges_of(model)[:, used]) < 1.01 * max(uneven**0.25, uneven / 50)


def test_all_but_weights_and_biases_stay() -> None:
    before, after = net(3), net(3)
    equalise(after, CROPS)
    assert after.graph.node == before.graph.node
    changed = {a.name for a, b in zip(after.graph.initializer, before.graph.initializer) if a != b}
    assert changed == {"w1", "b1", "w2", "w3", "w4"}


@pytest.mark.parametrize("last", ["Sigmoid", "Softplus"])
def test_what_does_not_commute_is_left_alone(last: str) -> None:
    model = net(4, last=last)
    before = model.SerializeToString()
    assert equalise(model, CROPS) == 1  # between the depthwise convolution and the last one
    assert [
        a.name for a, b in zip(model.graph.initializer, onnx.ModelProto.FromString(before).graph.initializer) if a != b
    ] == [
        "w3",
        "w4",
    ]


def test_weights_that_two_convolutions_share_are_left_alone() -> None:
    model = net(5, shared=True)
    (before,) = run(model, "maps")
    equalise(model, CROPS)
    np.testing.assert_array_equal(run(model, "maps")[0], before)


def test_a_channel_that_is_never_used_stays_finite() -> None:
    model = net(6)
    for tensor in model.graph.initializer:
        if tensor.name in ("w1", "b1"):
            array = numpy_helper.to_array(tensor).copy()
            array[2] = 0 if tensor.name == "w1" else -1
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    (before,) = run(model, "maps")
    equalise(model, CROPS)
    np.testing.assert_allclose(run(model, "maps")[0], before, rtol=0, atol=2e-5 * np.abs(before).max())


@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (6, 1, 1), (1, 6, 8, 8)])
def test_a_constant_that_is_added(shape: tuple[int, ...]) -> None:
    """It would have to be divided, too: such tensors are left alone."""
    model = net(7)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), "constant"))
    (node,) = (node for node in model.graph.node if node.op_type == "Add")
    node.input[1] = "constant"
    (before,) = run(model, "maps")
    equalise(model, CROPS)
    np.testing.assert_allclose(run(model, "maps")[0], before, rtol=0, atol=2e-5 * np.abs(before).max())


def test_the_same_bytes_whatever_the_order_of_sets() -> None:
    code = (
        "import hashlib; from tests.export.int8.test_equalise import CROPS, net;"
        "from export.int8.equalise import equalise; model = net(8); equalise(model, CROPS); "
        "print(hashlib.sha256(model.SerializeToString(True)).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in range(3)
    }
    assert len(found) == 1
