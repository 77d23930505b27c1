"""Weights of an exported model, to train on from: its convolutions, whose BatchNorms were folded into them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import ModelSpec
from tracker.weights.packaged import landmark_model, named_models
from train.checkpoints import CheckpointError

if TYPE_CHECKING:
    from train.task import LandmarkTask

FACES = 512
"""By which the statistics of the BatchNorms are estimated."""
FURTHEST_PX = 1.0
"""The largest median distance between points of the file and those of the net that took its weights, as the net may be
decoded in another way."""


def is_exported(start: Path) -> bool:
    """Tell whether what a training starts from is an exported model: an .onnx file, or the name of a packaged one."""
    return start.suffix.lower() == ".onnx" or str(start) in named_models()


def load_exported(task: LandmarkTask, start: Path, crops: Iterable[Tensor]) -> ModelSpec:
    """Put the weights of an exported model into a task's net, so that the net answers as the file does.

    A file has a convolution where the net has a convolution and a BatchNorm. The BatchNorms get the mean and the
    variance of the crops as their statistics, and the scale and shift that take the normalisation back.

    Args:
        task: whose net has one stack and the convolutions of the file, in the same order.
        start: an .onnx file in FP32 or FP16, or the name of a packaged model.
        crops: (N, S, S, 3) uint8 RGB, of the faces to train on; the first FACES are used.

    Returns:
        The spec of the file, which states its licence.

    Raises:
        CheckpointError: if the file is quantised or its convolutions are not those of the net.
        TrackerError: if there is no such model, or its file is damaged.
    """
    path = landmark_model(start)
    engine = OnnxEngine(path)
    training = task.training
    task.eval()
    batches = _first(crops, task.device)
    layers = _layers(task, batches[0][:1])
    _load(layers, _convolutions(path), path)
    _normalise(task, [norm for _, norm in layers if norm is not None], batches)
    _expect_alike(task, engine, batches[0], path)
    task.train(training)
    return engine.spec


def _first(crops: Iterable[Tensor], device: torch.device) -> list[Tensor]:
    batches: list[Tensor] = []
    for batch in crops:
        batches.append(batch.to(device))
        if sum(map(len, batches)) >= FACES:
            break
    return batches


def _layers(task: LandmarkTask, crops: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Return the convolutions in the order in which they run, each with the BatchNorm that runs next, if one does."""
    ran: list[nn.Module] = []
    kept = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [
        module.register_forward_pre_hook(lambda module, _: ran.append(module))
        for module in task.net.modules()
        if isinstance(module, kept)
    ]
    with torch.no_grad():
        task(crops)
    for hook in hooks:
        hook.remove()
    return [
        (module, after if isinstance(after, nn.BatchNorm2d) else None)
        for module, after in zip(ran, [*ran[1:], None])
        if isinstance(module, nn.Conv2d)
    ]


def _convolutions(path: Path) -> list[tuple[Tensor, Tensor | None]]:
    """Return weight and bias of every convolution of a file, in the order in which they run."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise CheckpointError(
            f"{path}: reading an exported model needs the package onnx; pip install 'landmark-tracker[export]'"
        ) from None
    graph = onnx.load(str(path)).graph
    values = {each.name: each for each in graph.initializer}

    def value(name: str) -> Tensor:
        if name not in values:
            raise CheckpointError(
                f"{path}: expected a model in FP32 or FP16 to start from, the weights of this one are computed: it is "
                "quantised"
            )
        return torch.from_numpy(numpy_helper.to_array(values[name]).copy()).float()

    return [
        (value(node.input[1]), value(node.input[2]) if len(node.input) > 2 else None)
        for node in graph.node
        if node.op_type == "Conv"
    ]


@torch.no_grad()
def _load(
    layers: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]], given: list[tuple[Tensor, Tensor | None]], path: Path
) -> None:
    """Copy the weights; the BatchNorms add the biases and change nothing else."""
    if len(layers) != len(given):
        raise CheckpointError(
            f"{path}: its weights do not fit the net: expected {len(layers)} convolutions, it has {len(given)}"
        )
    for number, ((convolution, _), (weight, _)) in enumerate(zip(layers, given), start=1):
        if convolution.weight.shape != weight.shape:
            raise CheckpointError(
                f"{path}: its weights do not fit the net: convolution {number} has the shape {tuple(weight.shape)} "
                f"instead of {tuple(convolution.weight.shape)}"
            )
    for (convolution, norm), (weight, bias) in zip(layers, given):
        convolution.weight.copy_(weight)
        shift = torch.zeros(len(weight)) if bias is None else bias
        if norm is None:
            assert convolution.bias is not None
            convolution.bias.copy_(shift)
        else:
            _set(norm, torch.zeros_like(shift), torch.ones_like(shift) - norm.eps, torch.ones_like(shift), shift)


@torch.no_grad()
def _normalise(task: LandmarkTask, norms: list[nn.BatchNorm2d], batches: list[Tensor]) -> None:
    """Set the statistics of BatchNorms that only add to those of the crops; they still only add."""
    moments = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64, device=task.device) for norm in norms}

    def count(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)
        ones = torch.full_like(values[:, 0], values.shape[1])
        moments[norm] += torch.stack([ones, values.sum(1), values.square().sum(1)])  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(count) for norm in norms]
    for crops in batches:
        task(crops)
    for hook in hooks:
        hook.remove()
    for norm, (number, total, squares) in moments.items():
        mean = total / number
        variance = (squares / number - mean.square()).clamp(min=0)
        scale = (variance + norm.eps).sqrt()
        _set(norm, mean, variance, scale, norm.bias.double() + mean)


def _set(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    for own, given in (
        (norm.running_mean, mean),
        (norm.running_var, variance),
        (norm.weight, weight),
        (norm.bias, bias),
    ):
        own.copy_(given)


@torch.no_grad()
def _expect_alike(task: LandmarkTask, engine: OnnxEngine, crops: Tensor, path: Path) -> None:
    """Compare the points; a net of the same shapes but of another order has others."""
    prediction = task.prediction(task(crops))
    logits = task.objective.logits(prediction.maps[-1]) / engine.spec.temperature
    points, _, _ = task.objective.read(logits, prediction.head_output, task.stride)
    expected = torch.from_numpy(engine.run(crops.cpu().numpy()).points_px)
    distance = float((points.cpu() - expected).norm(dim=-1).median())
    if not distance <= FURTHEST_PX:
        raise CheckpointError(
            f"{path}: its weights do not fit the net: with them half of the points lie more than {distance:.2f} px "
            "from the file's own"
        )
