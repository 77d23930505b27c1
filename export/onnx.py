"""Writes a model's graph as an .onnx file with its spec in the metadata."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import onnx
import torch

from export.graph import LandmarkGraph
from export.int8.quantise import Quantisation, Quantiser, convolutions
from export.outputs import check_output
from export.verify import Budget, Difference, Reference, expect_within
from tracker.engines.spec import INPUT, OUTPUTS, ModelSpec
from tracker.errors import TrackerError
from tracker.system.files import unwritable, whole_file

OPSET = 17
SHARES = (0.95, 0.8)  # of the budget of int8, tried in turns: faces that were not tried may move further


def write_onnx(
    graph: LandmarkGraph,
    spec: ModelSpec,
    reference: Reference,
    output: Path,
    budget: Budget,
    quantisation: Quantisation | None = None,
) -> Difference:
    """Write a graph as an .onnx file, if it agrees with the reference within the budget.

    The file is written atomically: completely or not at all.

    Args:
        graph: the model.
        spec: for the metadata.
        reference: the answers of PyTorch on validation faces.
        output: the file to write.
        budget: the largest allowed differences; fields that are None have the default of the graph's precision.
        quantisation: for int8.

    Returns:
        The difference between the file in ONNX Runtime and the reference.

    Raises:
        TrackerError: if a difference exceeds the budget, or the file cannot be written.
    """
    graph = graph.eval()
    spec.check(str(output))
    check_output(output, ".onnx")
    try:
        with whole_file(output) as partial:
            p99_px = budget.completed("int8").p99_px
            assert p99_px is not None
            _trace(graph, reference.crops[:2], partial)
            quantiser = None if quantisation is None else Quantiser(partial, quantisation)
            for share in SHARES:
                if quantiser is not None:
                    _quantise(quantiser, partial, output, p99_px, share)
                _embed(partial, spec)
                difference = _compare(partial, output, graph, reference)
                if quantisation is None or p99_px == math.inf or difference.p99_px <= p99_px:
                    break
            expect_within(difference, budget, graph.precision, output)
            return difference
    except OSError as error:
        raise unwritable(output, error) from None


def _quantise(quantiser: Quantiser, partial: Path, output: Path, p99_px: float, share: float) -> None:
    """Quantise as much as a share of the budget allows; raise TrackerError if that is nothing."""
    partial.write_bytes(quantiser.within(share * p99_px).SerializeToString())
    if not convolutions(partial)[0]:
        raise TrackerError(
            f"{output}: not written: no convolution can be in int8 if 99 % of the landmarks may move by {p99_px:g} px "
            "(--budget.p99_px)"
        )


def _compare(partial: Path, output: Path, graph: LandmarkGraph, reference: Reference) -> Difference:
    """Compare the temporary file with the reference."""
    try:
        return reference.compare(partial, graph.precision)
    except TrackerError as error:
        raise TrackerError(f"{output}: not written: {str(error).removeprefix(f'{partial}: ')}") from None


def _trace(graph: LandmarkGraph, crops: torch.Tensor, path: Path) -> None:
    names = [INPUT, *OUTPUTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the newer exporter and folded constants
        torch.onnx.export(
            graph,
            (crops,),
            str(path),
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "faces"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )


def _embed(path: Path, spec: ModelSpec) -> None:
    model = onnx.load(str(path))
    for output in model.graph.output:  # the tracer loses the number of landmarks after the dynamic batch
        output.type.tensor_type.shape.dim[1].dim_value = spec.landmark_scheme().count
    onnx.helper.set_model_props(model, spec.to_metadata())
    model.producer_name = "landmark-tracker"
    model.doc_string = f"{spec.scheme} landmarks. {spec.licence}"
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
