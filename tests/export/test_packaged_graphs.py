"""The packaged models and those trained on 300W are the same nets with other weights: what was timed with one holds."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto

from tracker.weights.packaged import PACKAGED, RESEARCH, landmark_model

# mid68_300w has none
TWINS = [name for name in RESEARCH if name.removesuffix("_300w") in PACKAGED]


def read_graph(name: str) -> ModelProto:
    return onnx.shape_inference.infer_shapes(onnx.load(landmark_model(Path(name))))


def describe_node(node: NodeProto) -> tuple[object, ...]:
    """Its operator, the names it reads and writes, and its settings; of constants the shape alone."""
    settings = {
        each.name: tuple(each.t.dims) if each.HasField("t") else onnx.helper.get_attribute_value(each)
        for each in node.attribute
    }
    return node.op_type, tuple(node.input), tuple(node.output), settings


def describe_tensor(tensor: TensorProto) -> tuple[str, int, tuple[int, ...]]:
    return tensor.name, tensor.data_type, tuple(tensor.dims)


@pytest.mark.parametrize("name", TWINS)
def test_the_same_operators_and_shapes(name: str) -> None:
    ours, research = read_graph(name.removesuffix("_300w")).graph, read_graph(name).graph
    assert len(ours.node) > 100
    assert [*map(describe_node, ours.node)] == [*map(describe_node, research.node)]
    assert [*map(describe_tensor, ours.initializer)] == [*map(describe_tensor, research.initializer)]
    for part in ("input", "output", "value_info"):
        assert [*getattr(ours, part)] == [*getattr(research, part)]


@pytest.mark.parametrize("name", TWINS)
def test_other_weights(name: str) -> None:
    ours, research = read_graph(name.removesuffix("_300w")).graph, read_graph(name).graph
    changed = [a.name for a, b in zip(ours.initializer, research.initializer) if a.raw_data != b.raw_data]
    assert len(changed) > 10
