"""Weights that are rounded together: the answers change less than with the nearest ones."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.int8.weights import Rounded, _round, replace_weights, restored_weights, round_weights

Array = NDArray[np.float64]


def squared_error(weights: Array, kernel: Array, inputs: Array) -> float:
    """Of what output channels answer, for inputs (cells, I)."""
    return float(np.square(inputs @ (weights - kernel).T).sum())


def correlated(rng: np.random.Generator, cells: int, channels: int) -> Array:
    return rng.normal(0, 1, (cells, 2)) @ rng.normal(0, 1, (2, channels)) + rng.normal(0, 0.1, (cells, channels))


def rounded(kernel: Array, steps: Array, inputs: Array) -> Array:
    found = _round(kernel.astype(np.float32)[..., None, None], steps.astype(np.float32), inputs.T @ inputs)
    return found[..., 0, 0].astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_better_than_the_nearest_and_not_far_from_the_best(seed: int) -> None:
    """Held against all ways to round each weight to one of the four nearest steps."""
    rng = np.random.default_rng(seed)
    kernel, steps, inputs = rng.normal(0, 3, (4, 6)), np.full(4, 1.0), correlated(rng, 200, 6)
    found = rounded(kernel, steps, inputs)
    nearest = squared_error(kernel.round(), kernel, inputs)
    ways = np.array([*product((-1, 0, 1, 2), repeat=6)])
    best = sum(np.square(inputs @ (np.floor(row) + ways - row).T).sum(0).min() for row in kernel)
    assert 0.999 * best <= squared_error(found, kernel, inputs) < 0.7 * nearest


def test_inputs_that_know_nothing_of_each_other_give_the_nearest() -> None:
    rng = np.random.default_rng(1)
    kernel = rng.normal(0, 30, (5, 8))
    steps = np.abs(kernel).max(1) / 127
    np.testing.assert_array_equal(rounded(kernel, steps, 10 * np.eye(8)), np.round(kernel / steps[:, None]))


@pytest.mark.parametrize("inputs", [np.zeros((3, 6)), np.ones((1, 6))], ids=["never used", "one cell"])
def test_inputs_that_say_little(inputs: Array) -> None:
    kernel = np.random.default_rng(2).normal(0, 30, (3, 6))
    found = rounded(kernel, np.abs(kernel).max(1) / 127, inputs)
    assert np.abs(found).max() <= 127


class TestModel:
    """One convolution with strides and uneven pads, and one that is depthwise."""

    CROPS = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), np.uint8)

    def models(self, factor: float = 1.0) -> tuple[onnx.ModelProto, onnx.ModelProto]:
        """In float32, and with weights in int8."""
        rng = np.random.default_rng(3)
        kernels = {"wide": rng.normal(0, 1, (4, 3, 3, 3)), "deep": rng.normal(0, 1, (4, 1, 3, 3))}
        sizes = {"wide": {"strides": [2, 2], "pads": [0, 1, 1, 0]}, "deep": {"group": 4}}
        found = []
        for quantised in (False, True):
            nodes = [
                helper.make_node("Cast", ["crops"], ["cast"], to=TensorProto.FLOAT),
                helper.make_node("Transpose", ["cast"], ["x"], perm=[0, 3, 1, 2]),
            ]
            tensors = []
            for name, source in (("wide", "x"), ("deep", "wide out")):
                kernel = kernels[name].astype(np.float32)
                steps = (np.abs(kernel).max((1, 2, 3)) / 127).astype(np.float32)
                steps[0] *= np.float32(factor)
                if quantised:
                    nearest = (kernel / steps[:, None, None, None]).round().astype(np.int8)
                    tensors += [
                        numpy_helper.from_array(nearest, f"{name}_quantized"),
                        numpy_helper.from_array(steps, f"{name}_scale"),
                        numpy_helper.from_array(np.zeros(4, np.int8), f"{name}_zero_point"),
                    ]
                    parts = [f"{name}_{part}" for part in ("quantized", "scale", "zero_point")]
                    nodes.append(helper.make_node("DequantizeLinear", parts, [f"{name}_restored"], axis=0))
                else:
                    tensors.append(numpy_helper.from_array(kernel, name))
                read = f"{name}_restored" if quantised else name
                nodes.append(helper.make_node("Conv", [source, read], [f"{name} out"], name, **sizes[name]))
            graph = helper.make_graph(
                nodes,
                "net",
                [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 12, 12, 3])],
                [helper.make_tensor_value_info("deep out", TensorProto.FLOAT, None)],
                tensors,
            )
            found.append(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
        return found[0], found[1]

    def test_depthwise_ones_are_left_out(self) -> None:
        assert round_weights(*self.models(), self.CROPS).keys() == {"wide"}

    def test_replaced_where_the_scale_is_the_same(self) -> None:
        model, quantised = self.models()
        before = restored_weights(quantised)
        found = round_weights(model, quantised, self.CROPS)
        replace_weights(quantised, found)
        after = restored_weights(quantised)
        expected = found["wide"].weights * found["wide"].steps[:, None, None, None]
        np.testing.assert_allclose(after["wide"], expected, rtol=1e-6)
        np.testing.assert_array_equal(after["deep"], before["deep"])
        assert not np.array_equal(after["wide"], before["wide"])
        _, other = self.models(factor=2)
        coarse = restored_weights(other)["wide"][0]
        replace_weights(other, found)
        np.testing.assert_array_equal(restored_weights(other)["wide"][0], coarse)
        np.testing.assert_allclose(restored_weights(other)["wide"][1:], expected[1:], rtol=1e-6)

    def test_the_sums_are_those_of_the_convolution(self) -> None:
        """A slow loop over cells says which inputs each weight is multiplied with."""
        model, quantised = self.models()
        found = round_weights(model, quantised, self.CROPS)["wide"]
        (kernel,) = (numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "wide")
        x = np.pad(self.CROPS.astype(np.float64).transpose(0, 3, 1, 2), ((0, 0), (0, 0), (0, 1), (1, 0)))
        cells = [x[:, :, i : i + 3, j : j + 3].reshape(6, -1) for i in range(0, 11, 2) for j in range(0, 11, 2)]
        inputs = np.concatenate(cells)
        expected = Rounded(found.steps, _round(kernel, found.steps, inputs.T @ inputs))
        np.testing.assert_array_equal(found.weights, expected.weights)
