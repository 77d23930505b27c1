"""The choice of the nodes that stay in float32, compared with all possible choices on a small net."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.int8.choice import ADDED, CONVERSION, CONVERTED, Candidates, Losses, choose

STEM = Path(__file__).parents[3] / "tracker/weights/research/edge68_300w.onnx"
NAMES = ("a", "b", "c", "sum", "d")


def block() -> onnx.ModelProto:
    """first (float32) -> a -> b -> c -> sum with a's activation -> d -> last (float32)."""
    rng, maps = np.random.default_rng(0), [1, 160, 16, 16]
    inputs = {"first": "x", "a": "first", "b": "a relu", "c": "b relu", "d": "sum relu", "last": "d"}
    nodes = []
    for name in ("first", "a", "b", "c", "sum", "d", "last"):
        if name == "sum":
            nodes.append(helper.make_node("Add", ["c", "a relu"], ["sum"], name))
        else:
            nodes.append(helper.make_node("Conv", [inputs[name], f"{name} w"], [name], name))
        if name in ("a", "b", "sum"):
            nodes.append(helper.make_node("Relu", [name], [f"{name} relu"], f"{name} relu"))
    weights = [numpy_helper.from_array(rng.normal(0, 1, (160, 160, 1, 1)).astype(np.float32), f"{n} w") for n in inputs]
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, maps)],
        [helper.make_tensor_value_info("last", TensorProto.FLOAT, maps)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def lost(candidates: Candidates, losses: Losses, in_float: Collection[str] = ()) -> float:
    """The sum of the losses, in square pixels, that the cut weighs."""
    in_int8 = candidates.names.difference(in_float)
    rounded = sum(losses.activations[name] for name in candidates.activations if candidates._rounds(name) & in_int8)
    return rounded + sum(losses.weights.get(name, 0.0) for name in in_int8)


def all_choices() -> list[frozenset[str]]:
    return [frozenset(some) for count in range(len(NAMES) + 1) for some in combinations(NAMES, count)]


def test_what_int8_saves() -> None:
    candidates = Candidates(block(), {*NAMES}, converts=True)
    macs, cells = 160 * 160 * 256, 160 * 256
    conversion = CONVERSION + CONVERTED * cells
    assert candidates.saved() == 4 * macs - 2 * conversion  # between first and a, and between d and last
    assert candidates.saved({"d"}) == 3 * macs - 2 * conversion
    assert candidates.saved({"b"}) == 3 * macs - 4 * conversion
    assert candidates.saved({"sum"}) == 4 * macs - 5 * conversion - ADDED * cells
    assert candidates.saved({"sum", "c"}) == 3 * macs - 5 * conversion  # which adds on the way
    assert candidates.saved(NAMES) == 0
    assert Candidates(block(), {*NAMES} - {"sum"}, converts=False).saved() == 4 * macs  # TensorRT


def test_what_rounding_loses() -> None:
    losses = Losses({"first": 1, "a": 2, "b": 4, "c": 8, "sum": 16, "d": 32}, {"a": 100, "d": 200})
    candidates = Candidates(block(), {*NAMES}, converts=True)
    assert lost(candidates, losses) == 363
    assert lost(candidates, losses, {"a"}) == 262  # b and the sum still read it rounded
    assert lost(candidates, losses, {"a", "b", "sum"}) == 4 + 8 + 16 + 32 + 200  # c, and d reads the sum
    assert lost(candidates, losses, NAMES) == 0
    rtx = Candidates(block(), {*NAMES} - {"sum"}, converts=False)
    assert lost(rtx, losses, {"a", "b", "c"}) == 16 + 200  # nothing rounds d's output


@settings(max_examples=60, deadline=None)
@given(
    answers=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    weights=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    price=st.floats(1e4, 1e8),
    on_cpu=st.booleans(),
)
def test_the_cut_is_the_best_of_all_choices(
    answers: list[float], weights: list[float], price: float, on_cpu: bool
) -> None:
    losses = Losses(dict(zip(("first", *NAMES), answers)), dict(zip("abcd", weights)))
    names = {*NAMES} if on_cpu else {*NAMES} - {"sum"}
    candidates = Candidates(block(), names, on_cpu)

    def worth(in_float: Collection[str]) -> float:
        return candidates.saved(in_float) - price * lost(candidates, losses, in_float)

    best = max(worth(choice) for choice in all_choices() if choice <= names)
    assert worth(candidates.cut(losses, price)) == pytest.approx(best, abs=20)  # capacities are rounded


def found_with(within_px: float) -> tuple[Candidates, frozenset[str], Losses]:
    """Choose for a budget, with losses that add up exactly."""
    losses = Losses({"first": 0.04, "a": 0.01, "b": 0.002, "c": 0.001, "sum": 0.001, "d": 0.02}, {"a": 0.005})
    candidates = Candidates(block(), {*NAMES}, converts=True)

    def errors_px(in_float: Collection[str]) -> NDArray[np.float64]:
        return np.array([lost(candidates, losses, in_float) ** 0.5])

    return candidates, choose(candidates, losses, errors_px, within_px), losses


@pytest.mark.parametrize("within_px", [0.03, 0.1, 0.15, 0.2, 0.25])
def test_the_choice_keeps_to_the_budget_and_nothing_can_be_given_back(within_px: float) -> None:
    candidates, in_float, losses = found_with(within_px)
    assert lost(candidates, losses, in_float) <= within_px**2
    for name in in_float:
        rest = in_float - {name}
        assert lost(candidates, losses, rest) > within_px**2 or candidates.saved(rest) <= candidates.saved(in_float)


def test_some_choices_are_mixed() -> None:
    """Else the tests above say little."""
    assert any(0 < len(found_with(within_px)[1]) < len(NAMES) for within_px in (0.1, 0.15, 0.2, 0.25))


def test_no_convolution_may_be_in_int8() -> None:
    candidates = Candidates(block(), {"sum"}, converts=True)
    assert choose(candidates, Losses({}, {}), lambda _: np.zeros(1), 1.0) == {"sum"}


def test_a_net_too_small_for_conversions_is_quantised_all_the_same() -> None:
    candidates = Candidates(block(), {"a"}, converts=True)
    assert candidates.saved() == 160 * 160 * 256 - 2 * (CONVERSION + CONVERTED * 160 * 256)
    model = block()
    for value in (*model.graph.input, *model.graph.output):
        for side in value.type.tensor_type.shape.dim[2:]:
            side.dim_value = 1
    assert Candidates(model, {"a"}, converts=True).saved() == 160 * 160


def test_a_budget_for_all_and_one_for_nothing() -> None:
    assert found_with(1)[1] == frozenset()
    assert found_with(0)[1] == frozenset(NAMES)


def test_the_packaged_net() -> None:
    model = onnx.load(STEM)
    names = {node.name for node in model.graph.node if node.op_type in ("Conv", "Add") and "/hourglasses" in node.name}
    candidates = Candidates(onnx.shape_inference.infer_shapes(model), names, converts=True)
    assert candidates.names < candidates.activations.keys()  # with the stem's, which the hourglass reads
    assert candidates.activations["/net/stem/stem.5/Add"] == "/net/stem/stem.5/Relu_output_0"
