"""The file for CPUs as ONNX Runtime runs it: just the nodes that the file has in int8 run in int8."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_array_equal
from onnx import helper, numpy_helper

from export.int8 import cpu
from export.int8.cpu import in_int8
from export.int8.nodes import Nodes
from export.int8.quantise import CPU, Quantisation, Quantiser, points
from tracker.system.onnx_runtime import import_onnxruntime

PACKAGED = Path(__file__).parents[3] / "tracker/weights/research/edge68_300w.onnx"
STEM, HOURGLASS = "/net/stem", "/net/hourglasses.0"
FLOAT = {
    "none": [],
    "first": [f"{STEM}/stem.3/stem.3.0/Conv"],
    "chosen": [f"{STEM}/stem.3/stem.3.0/Conv"]
    + [f"{STEM}/stem.5/{name}" for name in ("body/body.0/body.0.0/Conv", "body/body.4/body.4.0/Conv", "Add")],
    "one in the middle": [f"{STEM}/stem.5/body/body.2/body.2.0/Conv"],
    "some": [f"{HOURGLASS}/inner/skip/body/body.0/body.0.0/Conv", f"{HOURGLASS}/up/up.0/body/body.2/body.2.0/Conv"],
    "before resizes": [f"{HOURGLASS}/Add", f"{HOURGLASS}/inner/Add"],
}
CASES = pytest.mark.parametrize("in_float", FLOAT.values(), ids=FLOAT.keys())


@pytest.fixture(scope="module")
def quantiser() -> Quantiser:
    crops = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8)
    return Quantiser(PACKAGED, Quantisation(crops, CPU))


def optimised(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """As ONNX Runtime runs it on this processor."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3  # it warns that the file is for this processor
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


@CASES
def test_all_that_may_be_in_int8_is(quantiser: Quantiser, in_float: list[str], tmp_path: Path) -> None:
    model = quantiser.quantised(in_float)
    nodes = Nodes(model)
    wanted = Counter(node.op_type for node in nodes.all if node.name in quantiser.candidates.names - {*in_float})
    assert Counter(node.op_type for node in nodes.all if in_int8(nodes, node)) == wanted
    runs = Counter(node.op_type for node in optimised(model, tmp_path).graph.node)
    assert runs["QLinearConv"] == wanted["Conv"] and runs["QLinearAdd"] == wanted["Add"]


@CASES
def test_no_pooling_of_channels_in_int8(quantiser: Quantiser, in_float: list[str], tmp_path: Path) -> None:
    """ONNX Runtime has a fast one for pixels, com.microsoft.NhwcMaxPool, and a fast one in float32."""
    nodes = Nodes(optimised(quantiser.quantised(in_float), tmp_path))
    for node in nodes.all:
        if node.op_type == "MaxPool":
            source = nodes.source(node.input[0], ("Transpose", "MaxPool", "ReorderInput", "ReorderOutput"))
            assert source is not None and source.op_type not in ("QuantizeLinear", "QLinearAdd", "QLinearConv")


@CASES
def test_float32_reads_float32_as_it_is(quantiser: Quantiser, in_float: list[str]) -> None:
    nodes = Nodes(quantiser.quantised(in_float))
    for node in nodes.all:
        for name in node.input if node.op_type in ("Conv", "Add", "MaxPool") and not in_int8(nodes, node) else ():
            restored = nodes.producer(name)
            if restored is None or restored.op_type != "DequantizeLinear":
                continue
            source = nodes.source(name, ("DequantizeLinear", "QuantizeLinear", "Relu"))
            assert source is not None and in_int8(nodes, source), node.name


@CASES
def test_pixels_are_copied_in_int8(
    quantiser: Quantiser, in_float: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ONNX Runtime's Resize is slow for pixels, so none is left between nodes in int8; the answers are the same."""
    model = quantiser.quantised(in_float)
    resized = [node.name for node in optimised(model, tmp_path).graph.node if node.op_type == "Resize"]
    assert len(resized) == (
        2 if in_float == FLOAT["before resizes"] else 0
    )  # of three, two are read by sums in float32
    monkeypatch.setattr(cpu, "_copy_pixels", lambda model: None)
    crops = np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), np.uint8)
    assert_array_equal(points(model, crops), points(quantiser.quantised(in_float), crops))


def test_an_enlargement_between_other_steps_is_left(quantiser: Quantiser, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy_after_a_change(model: onnx.ModelProto) -> None:
        nodes = Nodes(model)
        resize = next(node for node in nodes.all if node.op_type == "Resize")
        scale = nodes.readers(resize.output[0])[0].input[1]
        tensor = next(each for each in model.graph.initializer if each.name == scale)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), scale))
        copy_pixels(model)

    copy_pixels = cpu._copy_pixels
    monkeypatch.setattr(cpu, "_copy_pixels", copy_after_a_change)
    kinds = Counter(node.op_type for node in quantiser.quantised([]).graph.node)
    assert kinds["Resize"] == 1


@pytest.mark.parametrize(
    ("before", "after", "kind", "doubles"),
    [
        ([0, 8, 5, 7], [0, 8, 10, 14], {}, True),
        ([1, 8, 5, 7], [1, 8, 10, 14], {}, True),
        ([0, 8, 0, 7], [0, 8, 0, 14], {}, False),  # 0: a size that the file leaves open
        ([0, 8, 5, 0], [0, 8, 10, 0], {}, False),
        ([0, 8, 5, 7], [0, 8, 10, 7], {}, False),
        ([0, 8, 5, 7], [0, 8, 15, 21], {}, False),
        ([0, 8, 5, 7], [0, 8, 10, 14], {"mode": "linear"}, False),
        ([0, 8, 5, 7], [0, 8, 10, 14], {"nearest_mode": "ceil"}, False),
        ([0, 8, 5, 7], [0, 8, 10, 14], {"coordinate_transformation_mode": "half_pixel"}, False),
    ],
)
def test_what_doubles_both_sides_of_maps(
    before: list[int], after: list[int], kind: dict[str, str], doubles: bool
) -> None:
    options = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric", **kind}
    node = helper.make_node("Resize", ["maps", "", "scales"], ["larger"], **options)
    assert cpu._doubles(node, {"maps": before, "larger": after}) is doubles


@CASES
def test_nothing_is_left_that_nothing_reads(quantiser: Quantiser, in_float: list[str]) -> None:
    model = quantiser.quantised(in_float)
    read = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
    assert all(read.intersection(node.output) for node in model.graph.node)
    assert {tensor.name for tensor in model.graph.initializer} <= read
    onnx.checker.check_model(model, full_check=True)


def test_rounded_once(quantiser: Quantiser) -> None:
    """No activation is rounded twice in a row to other scales, which would lose more than once."""
    model = quantiser.quantised(FLOAT["chosen"])
    nodes = Nodes(model)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in nodes.all:
        if node.op_type == "QuantizeLinear":
            before = nodes.source(node.input[0], ("MaxPool", "Resize"))
            if before is not None and before.op_type == "DequantizeLinear":
                assert arrays[node.input[1]] == pytest.approx(arrays[before.input[1]], rel=2e-6)
