"""Computes the operations of a Core ML package with PyTorch, where Core ML itself does not run.

Only the operations that nets of this project are converted to are known; another one is an error. The definitions are
those of coremltools' MIL operations for iOS 15 and 16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracker.errors import TrackerError

Operation = Callable[[Mapping[str, Any]], Tensor]


class MilHeatmaps:
    """Computes an .mlpackage with one picture as input and one output.

    Args:
        package: the folder.
        name: of the input.

    Raises:
        TrackerError: if it holds an operation that is not known here.
    """

    def __init__(self, package: Path, name: str) -> None:
        import coremltools
        from coremltools.converters.mil.frontend.milproto.load import load

        model = coremltools.models.MLModel(str(package), skip_model_load=True)
        spec = model.get_spec()
        program = load(spec, spec.specificationVersion, file_weights_dir=model.weights_dir)
        (function,) = program.functions.values()
        self._name = name
        self._steps: list[Any] = [op for op in function.operations if op.op_type != "const"]
        self._output: str = function.outputs[0].name
        if unknown := sorted({op.op_type for op in self._steps} - OPERATIONS.keys()):
            raise TrackerError(f"{package}: its operation {unknown[0]} is not known to export.runtimes.mil")

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits (1, K, H, W) of a crop (1, S, S, 3)."""
        values = {self._name: torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32))}
        with torch.no_grad():
            for step in self._steps:
                inputs = {key: _value(var, values) for key, var in step.inputs.items() if var is not None}
                (output,) = step.outputs
                values[output.name] = _rounded(OPERATIONS[step.op_type](inputs), output)
        return values[self._output].numpy()


def _value(var: Any, values: Mapping[str, Tensor]) -> Any:
    """Return a tensor that was computed, or a constant: numbers as tensors of float32, the rest as it is."""
    if var.name in values:
        return values[var.name]
    constant = var.val
    if isinstance(constant, (np.ndarray, np.floating)) and np.issubdtype(constant.dtype, np.floating):
        return torch.from_numpy(np.asarray(constant, np.float32))
    return constant.tolist() if isinstance(constant, (np.ndarray, np.generic)) else constant


def _rounded(result: Tensor, output: Any) -> Tensor:
    """Round to half precision where the package has it."""
    return result.half().float() if output.dtype.get_bitwidth() == 16 else result


def _conv(given: Mapping[str, Any]) -> Tensor:
    x = _padded(given, 0.0)
    weight, bias = given["weight"], given.get("bias")
    return functional.conv2d(x, weight, bias, given["strides"], 0, given["dilations"], given["groups"])


def _max_pool(given: Mapping[str, Any]) -> Tensor:
    x = _padded(given, -torch.inf)
    return functional.max_pool2d(x, given["kernel_sizes"], given["strides"], ceil_mode=given["ceil_mode"])


def _padded(given: Mapping[str, Any], value: float) -> Tensor:
    x: Tensor = given["x"]
    if given["pad_type"] == "valid":
        return x
    if given["pad_type"] != "custom":
        raise TrackerError(f"expected padding of the kinds valid and custom, got {given['pad_type']}")
    top, bottom, left, right = given["pad"]
    return functional.pad(x, (left, right, top, bottom), value=value)


def _upsample(given: Mapping[str, Any]) -> Tensor:
    factors = (float(given["scale_factor_height"]), float(given["scale_factor_width"]))
    return functional.interpolate(given["x"], scale_factor=factors, mode="nearest")


OPERATIONS: Mapping[str, Operation] = {
    "add": lambda given: given["x"] + given["y"],
    "cast": lambda given: given["x"],  # rounded by the type of its output
    "conv": _conv,
    "identity": lambda given: given["x"],
    "log": lambda given: (given["x"] + given["epsilon"]).log(),
    "max_pool": _max_pool,
    "mul": lambda given: given["x"] * given["y"],
    "relu": lambda given: given["x"].relu(),
    "sub": lambda given: given["x"] - given["y"],
    "upsample_nearest_neighbor": _upsample,
}
