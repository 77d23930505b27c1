"""Tensors that are rounded, held against NumPy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from export.int8.rounding import measure_ranges, round_tensor
from tracker.system.onnx_runtime import import_onnxruntime

CROPS = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
CROPS[0, 0, 0, 0], CROPS[20, 0, 0, 0] = 0, 255  # the extremes are in different batches


def model() -> onnx.ModelProto:
    """crops, as numbers from -1 to 0.5, and twice that."""
    nodes = [
        helper.make_node("Cast", ["crops"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["x"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 4, 4, 3])],
        [helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["N", 4, 4, 3])],
        [
            helper.make_tensor("scale", TensorProto.FLOAT, [], [1.5 / 255]),
            helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def run(changed: onnx.ModelProto) -> NDArray[np.float32]:
    session = import_onnxruntime().InferenceSession(changed.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(["twice"], {"crops": CROPS})[0]
    return found


def test_ranges_are_of_all_batches_and_hold_zero() -> None:
    least, most = measure_ranges(model(), ["x"], CROPS)["x"]
    assert (least, most) == pytest.approx((-1, 0.5))
    bright = np.full((2, 4, 4, 3), 250, np.uint8)
    assert measure_ranges(model(), ["x"], bright)["x"][0] == 0


@pytest.mark.parametrize("symmetric", [False, True])
def test_rounded_as_numpy_rounds(symmetric: bool) -> None:
    exact = run(model()) / 2
    step = 1 / 127 if symmetric else 1.5 / 255
    zero, least, most = (0, -128, 127) if symmetric else (170, 0, 255)
    expected = ((exact / step).round() + zero).clip(least, most) - zero
    changed = model()
    round_tensor(changed, "x", -1.0, 0.5, symmetric)
    onnx.checker.check_model(changed)
    np.testing.assert_allclose(run(changed) / 2, expected * step, atol=1e-6)
