"""python -m export.lint MODEL.onnx: finds what would fail or lose accuracy in TensorRT or in half precision.

Each rule is a function over the graph's nodes and types; RULES lists them. Nodes inside If, Loop and functions are
not checked, because no exporter here writes any.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from train.extras import needs_extra

with needs_extra(__name__, "export.lint", "export", "cv2", "onnx"):
    import onnx
    from onnx import NodeProto, TensorProto, ValueInfoProto, numpy_helper

    from tracker.cli.command import run_command
    from tracker.engines.onnx_file import external_files, read_model
    from tracker.engines.spec import INPUT, ModelSpec
    from tracker.errors import TrackerError

LARGEST_K = 3840
OLDEST_OPSET = 17
_INTEGERS = {
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
}
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_REDUCTIONS = {
    *("Softmax", "LogSoftmax", "ReduceMean", "ReduceSum", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"),
    *("InstanceNormalization", "LayerNormalization", "GroupNormalization"),
}
_READ_AT_INDICES = {"Gather", "GatherElements", "GatherND"}
_SYMMETRIC = "TensorRT wants them; for it export with --precision int8 --to tensorrt"
_COMPARISONS = {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}


@dataclass(frozen=True)
class Finding:
    """A problem that a rule found.

    Attributes:
        rule: its name.
        node: the name of the node or tensor; "" for the whole file.
        sentence: what is wrong, and what to do.
    """

    rule: str
    node: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.node + ': ' if self.node else ''}{self.sentence}"


class _Graph:
    """A model's graph with look-up tables.

    Attributes:
        producers: the node that computes a tensor, by the tensor's name.
        constants: tensors by name.
        types: of tensors, as TensorProto numbers, if they are known.
        ranks: numbers of dimensions, if they are known.
    """

    def __init__(self, model: onnx.ModelProto, source: str) -> None:
        self.model, self.source = model, source
        self.nodes, self.inputs, self.outputs = model.graph.node, model.graph.input, model.graph.output
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants |= {n.output[0]: a.t for n in self.of("Constant") for a in n.attribute if a.name == "value"}
        values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
        self.types = {name: tensor.data_type for name, tensor in self.constants.items()}
        self.types |= {value.name: value.type.tensor_type.elem_type for value in values}
        self.ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in values if v.type.tensor_type.HasField("shape")}

    def of(self, *operators: str) -> list[NodeProto]:
        """Return the nodes with these operators, in the order of the graph."""
        return [node for node in self.nodes if node.op_type in operators]

    def type_of(self, name: str) -> int:
        """Return a tensor's type as TensorProto number; 0 if it is not known."""
        return int(self.types.get(name, TensorProto.UNDEFINED))

    def outputs_of(self, kinds: Collection[int]) -> Iterator[ValueInfoProto]:
        """Yield the outputs of these types."""
        yield from (output for output in self.outputs if output.type.tensor_type.elem_type in kinds)


_Found = Iterator[tuple[str, str]]  # node and sentence


def lint(onnx: Path) -> list[Finding]:
    """Apply all rules to a model.

    Args:
        onnx: its file.

    Returns:
        The problems found.

    Raises:
        TrackerError: if the file is not an ONNX model.
    """
    graph = _Graph(_load(onnx), str(onnx))
    return [Finding(name, where, sentence) for name, rule in RULES.items() for where, sentence in rule(graph)]


def _uint8_before_cast(graph: _Graph) -> _Found:
    """TensorRT's parser refuses a uint8 Transpose, Reshape or Slice."""
    crops = {value.name for value in graph.inputs if graph.type_of(value.name) == TensorProto.UINT8}
    for node in graph.nodes:
        if node.op_type != "Cast" and crops & set(node.input):
            yield _name(node), f"{node.op_type} reads the uint8 input, which may only feed a Cast; cast to float first"


def _non_zero(graph: _Graph) -> _Found:
    """TensorRT-RTX does not support it, and its output has no fixed shape."""
    for node in graph.of("NonZero"):
        yield _name(node), "TensorRT-RTX cannot build NonZero; take an ArgMax or TopK with a fixed number of results"


def _integer_clip(graph: _Graph) -> _Found:
    """TensorRT 10.3 does not support it."""
    for node in graph.of("Clip"):
        if graph.type_of(node.input[0]) in _INTEGERS:
            yield _name(node), "TensorRT 10.3 cannot clip integers; use Min and Max"


def _large_top_k(graph: _Graph) -> _Found:
    """TensorRT limits k."""
    for node in graph.of("TopK"):
        for k in filter(None, map(graph.constants.get, node.input[1:])):
            if (count := int(numpy_helper.to_array(k).item())) > LARGEST_K:
                yield _name(node), f"TopK takes {count}, TensorRT at most {LARGEST_K}; take fewer"


def _half_coordinates(graph: _Graph) -> _Found:
    """Half precision cannot represent odd numbers above 2048: 4095 becomes 4096."""
    advice = "half precision rounds whole numbers above 2048; keep coordinates in float32"
    positions: set[str] = set()
    for node in graph.nodes:
        halves = [name for name in node.output if graph.type_of(name) == TensorProto.FLOAT16]
        if positions & _carried_on(node):
            if halves:
                yield _name(node), f"a position found by ArgMax or TopK becomes float16 here; {advice}"
            else:
                positions |= set(node.output)
        elif node.op_type in ("ArgMax", "TopK"):
            positions.add(node.output[-1])
        elif node.op_type == "Cast" and _from_half_to_integer(graph, node):
            yield _name(node), f"an index was computed in float16; {advice}"
    for output in graph.outputs_of(_FLOATS - {TensorProto.FLOAT}):
        kind = TensorProto.DataType.Name(output.type.tensor_type.elem_type).lower()
        yield output.name, f"this output is {kind}, expected float32; {advice}"


def _carried_on(node: NodeProto) -> set[str]:
    """Return the inputs whose values appear in the output: neither indices that are read at, nor compared values."""
    if node.op_type in _COMPARISONS:
        return set()
    return set(node.input[:1] if node.op_type in _READ_AT_INDICES else node.input) - {""}


def _from_half_to_integer(graph: _Graph, node: NodeProto) -> bool:
    before, after = graph.type_of(node.input[0]), graph.type_of(node.output[0])
    return before == TensorProto.FLOAT16 and after in (TensorProto.INT32, TensorProto.INT64)


def _int64_output(graph: _Graph) -> _Found:
    """Not every version of TensorRT supports int64 outputs."""
    for output in graph.outputs_of({TensorProto.INT64}):
        yield output.name, "this output is int64, which TensorRT may not return; cast to int32 or float32 in the graph"


def _zero_point(graph: _Graph) -> _Found:
    """TensorRT quantises to int8, symmetrically."""
    nodes = [node for node in graph.of("QuantizeLinear", "DequantizeLinear") if len(node.input) > 2]
    asymmetric = [_name(node) for node in nodes if _off_zero(graph.constants.get(node.input[2]))]
    if asymmetric:
        yield asymmetric[0], f"it and {len(asymmetric) - 1} more are not int8 around zero, as {_SYMMETRIC}"


def _off_zero(point: TensorProto | None) -> bool:
    return point is not None and (point.data_type == TensorProto.UINT8 or bool(numpy_helper.to_array(point).any()))


def _int32_dequantize(graph: _Graph) -> _Found:
    """ONNX Runtime has int32 biases, TensorRT requires float32."""
    found = [_name(node) for node in graph.of("DequantizeLinear") if graph.type_of(node.input[0]) == TensorProto.INT32]
    if found:
        yield found[0], f"it and {len(found) - 1} more read int32, but biases must be float32, as {_SYMMETRIC}"


def _batch_norm(graph: _Graph) -> _Found:
    """If folded into a convolution, it costs nothing and keeps small variances out of half precision."""
    for node in graph.of("BatchNormalization"):
        yield _name(node), "BatchNormalization was left unfolded; fuse it into the convolution before the export"


def _half_reduction(graph: _Graph) -> _Found:
    """Sums of many terms lose precision in half precision, or overflow at 65504."""
    for node in graph.of(*_REDUCTIONS):
        if graph.type_of(node.input[0]) == TensorProto.FLOAT16:
            yield _name(node), f"{node.op_type} sums in float16; cast its input to float32"


def _separate_argmax(graph: _Graph) -> _Found:
    """If two peaks are equal, the row may come from one and the column from the other."""
    first: dict[str, tuple[str, int]] = {}
    for node in graph.of("ArgMax"):
        taken = node.input[0], _axis(graph, node)
        source = _before_maximum(graph, node.input[0])
        if first.setdefault(source, taken) != taken:
            advice = "ties mix two peaks; take one ArgMax over the flat map and divide by the width"
            yield _name(node), f"a second ArgMax of {source!r}, over another axis; {advice}"


def _axis(graph: _Graph, node: NodeProto) -> int:
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    return axis + graph.ranks.get(node.input[0], 0) if axis < 0 else axis


def _before_maximum(graph: _Graph, name: str) -> str:
    """Return the tensor before maxima over rows or columns."""
    while (node := graph.producers.get(name)) is not None and node.op_type == "ReduceMax":
        name = node.input[0]
    return name


def _fixed_batch(graph: _Graph) -> _Found:
    """One engine runs 1 to 16 faces."""
    crops = [value for value in graph.inputs if value.name == INPUT]
    if not crops:
        yield "", f"no input is called {INPUT}; export it with `python -m export.run`"
    for value in crops:
        dims = value.type.tensor_type.shape.dim
        if not dims or dims[0].HasField("dim_value"):
            yield INPUT, "its first dimension is fixed; export it with a dynamic number of faces (dynamic_axes)"


def _no_spec(graph: _Graph) -> _Found:
    """The runtime refuses a model without a spec."""
    try:
        ModelSpec.from_metadata({p.key: p.value for p in graph.model.metadata_props}, graph.source)
    except TrackerError as error:
        yield "", str(error)


def _old_opset(graph: _Graph) -> _Found:
    """Older opsets are neither exported nor tested by this project."""
    for opset in graph.model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < OLDEST_OPSET:
            yield "", f"opset {opset.version}, expected {OLDEST_OPSET} or newer; export it with opset {OLDEST_OPSET}"


RULES: dict[str, Callable[[_Graph], _Found]] = {
    "uint8-before-cast": _uint8_before_cast,
    "non-zero": _non_zero,
    "integer-clip": _integer_clip,
    "large-top-k": _large_top_k,
    "half-coordinates": _half_coordinates,
    "int64-output": _int64_output,
    "zero-point": _zero_point,
    "int32-dequantize": _int32_dequantize,
    "batch-norm": _batch_norm,
    "half-reduction": _half_reduction,
    "separate-argmax": _separate_argmax,
    "fixed-batch": _fixed_batch,
    "no-spec": _no_spec,
    "old-opset": _old_opset,
}


def _name(node: NodeProto) -> str:
    """Return a node's name; its output's if it has none."""
    return node.name or node.output[0]


def _load(path: Path) -> onnx.ModelProto:
    content = read_model(path)
    beside = external_files(path, content)
    try:
        model = onnx.load(str(path)) if beside else onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # errors of protobuf, checker and shape inference derive from Exception only
        reason = " ".join(str(error).split())[:160]
        raise TrackerError(f"{path}: expected an ONNX model, this is not one ({reason})") from None


def check(model: Path) -> None:
    """Print the problems of running a model in TensorRT or in half precision; fail if there are any.

    Args:
        model: the .onnx file.

    Raises:
        TrackerError: if there are problems, or the file is not an ONNX model.
    """
    findings = lint(model)
    for finding in findings:
        print(finding)
    if findings:
        raise TrackerError(f"{model}: not clean, {len(findings)} found, listed above")
    print(f"{model}: clean by {len(RULES)} rules")


def main() -> int:
    """Run the command line, in which the model may be given without --model; return the exit status."""
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        arguments.insert(0, "--model")
    return run_command(check, "export.lint", arguments)


if __name__ == "__main__":
    sys.exit(main())
