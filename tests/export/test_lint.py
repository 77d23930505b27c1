"""A graph for each rule that breaks this rule and no other, and the packaged model, which breaks none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.lint import RULES, Finding, lint, main
from tracker.engines.spec import KEY, ModelSpec
from tracker.errors import TrackerError

PACKAGED = Path(__file__).parents[2] / "tracker/weights/edge68.onnx"
FLOAT, HALF, INT32, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT32, TensorProto.INT64
SPEC = ModelSpec(
    size=64, scheme="ibug68", presence=0.5, decode="none", licence="drawn", config={}, commit="0"
).to_metadata()
node = helper.make_node
FLOATS = node("Cast", ["crops"], ["x"], to=FLOAT)
HALVES = node("Cast", ["crops"], ["x"], to=HALF)


def model(
    *nodes: NodeProto,
    kind: int = FLOAT,
    crops: str = "crops",
    faces: int | str = "faces",
    metadata: dict[str, str] | None = None,
    opset: int = 17,
    **constants: Any,
) -> onnx.ModelProto:
    """From crops (faces, 64, 64, 3) to y, of the shape that follows."""
    x = helper.make_tensor_value_info(crops, TensorProto.UINT8, [faces, 64, 64, 3])
    y = helper.make_tensor_value_info("y", kind, None)
    arrays = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], arrays),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    helper.set_model_props(made, SPEC if metadata is None else metadata)
    made.graph.output[0].CopyFrom(onnx.shape_inference.infer_shapes(made).graph.output[0])
    return made


def linted(tmp_path: Path, made: onnx.ModelProto) -> list[Finding]:
    onnx.save(made, str(tmp_path / "model.onnx"))
    return lint(tmp_path / "model.onnx")


def reduced(operator: str, *more: str, **attributes: Any) -> tuple[NodeProto, ...]:
    """The operator on float16, and back to float32."""
    return (
        HALVES,
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        node(operator, ["t", *more], ["r"], name="here", **attributes),
        node("Cast", ["r"], ["y"], to=FLOAT),
    )


THREE = np.ones(3, np.float16)
BREAKS = {
    "uint8-before-cast": [
        model(node("Transpose", ["crops"], ["t"], name="here"), node("Cast", ["t"], ["y"], to=FLOAT)),
    ],
    "non-zero": [model(FLOATS, node("NonZero", ["x"], ["i"], name="here"), node("Cast", ["i"], ["y"], to=FLOAT))],
    "integer-clip": [
        model(
            node("Cast", ["crops"], ["i"], to=INT32),
            node("Clip", ["i", "low", "high"], ["c"], name="here"),
            node("Cast", ["c"], ["y"], to=FLOAT),
            low=np.int32(3),
            high=np.int32(60),
        )
    ],
    "large-top-k": [
        model(FLOATS, node("Flatten", ["x"], ["f"]), node("TopK", ["f", "k"], ["y", "i"], name="here"), k=[3841]),
        model(
            FLOATS,
            node("Flatten", ["x"], ["f"]),
            node("Constant", [], ["k"], value=numpy_helper.from_array(np.array([5000]))),
            node("TopK", ["f", "k"], ["y", "i"], name="here"),
        ),
    ],
    "half-coordinates": [
        model(
            FLOATS,
            node("ArgMax", ["x"], ["i"], axis=1),
            node("Mod", ["i", "w"], ["m"]),
            node("Cast", ["m"], ["h"], to=HALF, name="here"),
            node("Cast", ["h"], ["y"], to=FLOAT),
            w=np.int64(64),
        ),
        model(
            FLOATS,
            node("TopK", ["x", "k"], ["v", "i"]),
            node("Cast", ["i"], ["f"], to=FLOAT),
            node("Cast", ["f"], ["h"], to=HALF, name="here"),
            node("Cast", ["h"], ["y"], to=FLOAT),
            k=[1],
        ),
        model(
            HALVES,
            node("Cast", ["x"], ["i"], to=INT64, name="here"),
            node("Gather", ["table", "i"], ["y"]),
            table=np.zeros(9, np.float32),
        ),
        model(HALVES, node("Relu", ["x"], ["y"]), kind=HALF),
        model(FLOATS, node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE), kind=TensorProto.DOUBLE),
    ],
    "int64-output": [model(FLOATS, node("ArgMax", ["x"], ["y"], axis=1), kind=INT64)],
    "zero-point": [
        model(
            FLOATS,
            node("QuantizeLinear", ["x", "step", "zero"], ["q"], name="here"),
            node("DequantizeLinear", ["q", "step", "zero"], ["y"]),
            step=np.float32(0.1),
            zero=zero,
        )
        for zero in (np.uint8(0), np.uint8(3), np.int8(-3))
    ],
    "int32-dequantize": [
        model(
            FLOATS,
            node("DequantizeLinear", ["bias", "step"], ["b"], name="here"),
            node("Add", ["x", "b"], ["y"]),
            bias=np.int32([1, 2, 3]),
            step=np.float32(0.1),
        )
    ],
    "batch-norm": [
        model(
            FLOATS,
            node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
            node("BatchNormalization", ["t", "one", "one", "one", "one"], ["y"], name="here"),
            one=np.ones(3, np.float32),
        )
    ],
    "half-reduction": [
        model(*reduced("Softmax")),
        model(*reduced("ReduceMean", axes=[2])),
        model(*reduced("ReduceSum", "axes"), axes=[2]),
        model(*reduced("InstanceNormalization", "one", "one"), one=THREE),
        model(*reduced("LayerNormalization", "one", axis=3), one=np.ones(64, np.float16)),
    ],
    "separate-argmax": [
        model(
            FLOATS,
            node("ArgMax", ["x"], ["row"], axis=1),
            node("ArgMax", ["x"], ["column"], axis=-2, name="here"),
            node("Sub", ["row", "column"], ["d"]),
            node("Cast", ["d"], ["y"], to=FLOAT),
        ),
        model(
            FLOATS,
            node("ReduceMax", ["x"], ["rows"], axes=[2], keepdims=0),
            node("ReduceMax", ["x"], ["columns"], axes=[1], keepdims=0),
            node("ArgMax", ["rows"], ["i"], axis=1),
            node("ArgMax", ["columns"], ["j"], axis=1, name="here"),
            node("Sub", ["i", "j"], ["d"]),
            node("Cast", ["d"], ["y"], to=FLOAT),
        ),
    ],
    "fixed-batch": [
        model(node("Cast", ["crops"], ["y"], to=FLOAT), faces=1),
        model(node("Cast", ["image"], ["y"], to=FLOAT), crops="image"),
    ],
    "no-spec": [
        model(node("Cast", ["crops"], ["y"], to=FLOAT), metadata={}),
        model(node("Cast", ["crops"], ["y"], to=FLOAT), metadata={KEY: "{"}),
    ],
    "old-opset": [model(node("Cast", ["crops"], ["y"], to=FLOAT), opset=16)],
}


@pytest.mark.parametrize(
    ("rule", "made"), [pytest.param(rule, made, id=rule) for rule, models in BREAKS.items() for made in models]
)
def test_a_rule_fires_alone(tmp_path: Path, rule: str, made: onnx.ModelProto) -> None:
    (finding,) = linted(tmp_path, made)
    assert finding.rule == rule
    marked = [n.name for n in made.graph.node if n.name] or ["", "crops", "y"]
    assert finding.node in marked
    assert "; " in finding.sentence  # what is wrong; what to do
    assert "\n" not in str(finding)


def test_every_rule_is_tested() -> None:
    assert BREAKS.keys() == RULES.keys()


def test_a_node_without_a_name_is_found_by_its_output(tmp_path: Path) -> None:
    unnamed = model(node("Transpose", ["crops"], ["t"]), node("Cast", ["t"], ["y"], to=FLOAT))
    assert linted(tmp_path, unnamed)[0].node == "t"


CLEAN = {
    "positions in float32": model(
        FLOATS,
        node("ArgMax", ["x"], ["i"], axis=1),
        node("ArgMax", ["x"], ["again"], axis=-3),
        node("Add", ["i", "again"], ["s"]),
        node("Cast", ["s"], ["y"], to=FLOAT),
    ),
    "half values read where the maximum is": model(
        HALVES,
        node("ArgMax", ["x"], ["i"], axis=1),
        node("GatherElements", ["x", "i"], ["h"], axis=1),
        node("Cast", ["h"], ["y"], to=FLOAT),
    ),
    "half values kept where a position is": model(
        HALVES,
        node("ArgMax", ["x"], ["i"], axis=1),
        node("Equal", ["i", "zero"], ["at"]),
        node("Where", ["at", "x", "none"], ["h"]),
        node("Cast", ["h"], ["y"], to=FLOAT),
        zero=np.int64(0),
        none=np.float16(0),
    ),
    "largest TopK": model(FLOATS, node("Flatten", ["x"], ["f"]), node("TopK", ["f", "k"], ["y", "i"]), k=[3840]),
    "int8 around zero": model(
        FLOATS,
        node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "step", "zero"], ["y"]),
        step=np.float32(0.1),
        zero=np.int8(0),
    ),
    "Clip of floats": model(FLOATS, node("Clip", ["x"], ["y"])),
    "Softmax in float32": model(FLOATS, node("Softmax", ["x"], ["y"])),
}


@pytest.mark.parametrize("made", CLEAN.values(), ids=CLEAN)
def test_what_is_allowed(tmp_path: Path, made: onnx.ModelProto) -> None:
    assert linted(tmp_path, made) == []


def test_the_packaged_model_is_clean() -> None:
    assert lint(PACKAGED) == []


@pytest.mark.parametrize("content", [b"", b"hello", PACKAGED.read_bytes()[:100_000]], ids=["empty", "text", "cut"])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(TrackerError, match="expected an ONNX model, this is not one") as error:
        lint(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


class TestCommand:
    @pytest.fixture
    def command(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
        def run(*options: str) -> int:
            monkeypatch.setattr(sys, "argv", ["export.lint", *options])
            return main()

        return run

    @pytest.mark.parametrize("option", [(), ("--model",)])
    def test_a_clean_model(
        self, command: Callable[..., int], option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command(*option, str(PACKAGED)) == 0
        assert capsys.readouterr().out == f"{PACKAGED}: clean by 14 rules\n"

    def test_findings(self, command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "model.onnx"
        onnx.save(model(node("Transpose", ["crops"], ["t"]), node("Cast", ["t"], ["y"], to=HALF), kind=HALF), str(path))
        assert command(str(path)) == 2
        printed = capsys.readouterr()
        assert [line.split(": ")[:2] for line in printed.out.splitlines()] == [
            ["uint8-before-cast", "t"],
            ["half-coordinates", "y"],
        ]
        assert printed.err == f"export.lint: {path}: not clean, 2 found, listed above\n"

    def test_a_missing_file(
        self, command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command(str(tmp_path / "model.onnx")) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.endswith("model.onnx: cannot read the model: No such file or directory\n")
