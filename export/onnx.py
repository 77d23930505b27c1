"""A checkpoint's graph as an .onnx file that carries its own spec."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch

from export.graph import LandmarkGraph
from export.int8 import Quantisation, quantise
from export.outputs import check_output
from export.verify import Budget, Difference, Reference
from tracker.engines.spec import INPUT, OUTPUTS, ModelSpec
from tracker.errors import TrackerError
from tracker.system.files import unwritable, whole_file

OPSET = 17


def write_onnx(
    graph: LandmarkGraph,
    spec: ModelSpec,
    reference: Reference,
    output: Path,
    budget: Budget,
    quantisation: Quantisation | None = None,
) -> Difference:
    """Write the graph to output, its net in int8 if so asked, unless it differs from the reference over the budget.

    What the budget leaves open has the default of the graph's precision. The file appears whole or not at all.
    Raises TrackerError when over budget or when the folder cannot be written.
    """
    graph = graph.eval()
    spec.check(str(output))
    check_output(output, ".onnx")
    try:
        with whole_file(output) as partial:
            _trace(graph, reference.crops[:2], partial)
            if quantisation is not None:
                quantise(partial, quantisation)
            _embed(partial, spec)
            return _compare(partial, output, graph, reference, budget)
    except OSError as error:
        raise unwritable(output, error) from None


def _compare(partial: Path, output: Path, graph: LandmarkGraph, reference: Reference, budget: Budget) -> Difference:
    """Compare the file in the making with the reference. Raises TrackerError over the budget."""
    try:
        difference = reference.compare(partial, graph.precision)
    except TrackerError as error:
        raise TrackerError(f"{output}: not written: {str(error).removeprefix(f'{partial}: ')}") from None
    if excess := difference.excess(budget.completed(graph.precision)):
        worst = ", ".join(map(str, difference.worst))
        raise TrackerError(f"{output}: not written: {excess}; the worst landmarks are {worst}")
    return difference


def _trace(graph: LandmarkGraph, crops: torch.Tensor, path: Path) -> None:
    names = [INPUT, *OUTPUTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the other exporter, and constants it folds
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
    for output in model.graph.output:  # the tracer loses the number of landmarks behind the dynamic batch
        output.type.tensor_type.shape.dim[1].dim_value = spec.landmark_scheme().count
    onnx.helper.set_model_props(model, spec.to_metadata())
    model.producer_name = "landmark-tracker"
    model.doc_string = f"{spec.scheme} landmarks. {spec.licence}"
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
