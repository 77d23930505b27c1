"""A checkpoint's graph as an .onnx file that carries its own spec."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import onnx
import torch

from export.graph import LandmarkGraph
from export.verify import Difference, compare
from tracker.engines.onnx import OUTPUTS
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError

OPSET = 17


def write_onnx(
    graph: LandmarkGraph, spec: ModelSpec, crops: torch.Tensor, output: Path, budget_px: float
) -> Difference:
    """Write the graph to output, unless it differs from torch by more than budget_px on the crops (N, S, S, 3).

    The file appears whole or not at all. Raises TrackerError when over budget or when the folder cannot be
    written.
    """
    graph = graph.eval()
    try:
        handle, name = tempfile.mkstemp(suffix=".onnx", dir=output.parent)
        os.close(handle)
        partial = Path(name)
        try:
            _trace(graph, crops[:2], partial)
            _embed(partial, spec)
            difference = compare(graph, partial, crops)
            if difference.largest_px > budget_px:
                raise TrackerError(
                    f"{output}: not written, its points differ from torch by up to "
                    f"{difference.largest_px:.4f} px (landmark {difference.worst_landmark}); "
                    f"the budget is {budget_px} px"
                )
            partial.chmod(0o644)
            os.replace(partial, output)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise TrackerError(f"{output}: cannot write there: {error.strerror}") from None
    return difference


def _trace(graph: LandmarkGraph, crops: torch.Tensor, path: Path) -> None:
    names = ["crops", *OUTPUTS]
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
