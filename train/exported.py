"""Weights of an exported model, to train on from: its convolutions, whose BatchNorms were folded into them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tracker.cli.suggestions import suggest
from tracker.engines.spec import ModelSpec
from tracker.system.files import kind_of
from tracker.weights.packaged import PACKAGED, RESEARCH, landmark_model
from train.checkpoints import CheckpointError, check_configuration, refuse_url
from train.codecs.decoders import DECODERS
from train.codecs.reading import HEAD_DECODERS, ReadingName

if TYPE_CHECKING:
    from train.task import LandmarkTask

FACES = 512
"""By which the statistics of the BatchNorms are estimated."""
NAMES = tuple(name for name in (*PACKAGED, *RESEARCH) if not name.endswith("_int8"))
"""The packaged models that a training can start from."""
_QUANTISED = ("DequantizeLinear", "QLinearConv", "ConvInteger")


class Layer(NamedTuple):
    """A convolution of a net, and the BatchNorm that reads it, if one does."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d | None


class Folded(NamedTuple):
    """A convolution of a file: weight, bias, and its sizes by ONNX's names."""

    weight: Tensor
    bias: Tensor
    sizes: dict[str, list[int]]


def is_exported(start: Path) -> bool:
    """Tell whether a training starts from an exported model: an .onnx file, or the name of a packaged one.

    A file of such a name goes before the packaged model.
    """
    return start.suffix.lower() == ".onnx" or (str(start) in (*PACKAGED, *RESEARCH) and not os.path.exists(start))


def find_start(start: Path) -> Path:
    """Return the file that a training starts from, or an export reads.

    Args:
        start: a checkpoint, an .onnx file, or the name of a packaged model.

    Raises:
        TrackerError: if the packaged model is missing or damaged.
    """
    return landmark_model(start) if is_exported(start) and not start.suffix else start


def expect_start(start: Path, option: str = "model.start") -> None:
    """Check that there is something to start from, before anything is read.

    Args:
        start: a checkpoint, an .onnx file, or the name of a packaged model.
        option: that names it, for messages.

    Raises:
        CheckpointError: if there is no such file, or for a URL.
        TrackerError: if the packaged model is missing or damaged.
    """
    refuse_url(start)
    if (found := kind_of(find_start(start))) != "a file":
        raise CheckpointError(
            f"{start}: {option}: expected a checkpoint, an .onnx file or one of {', '.join(NAMES)}, got {found}"
            f"{suggest(str(start), NAMES)}"
        )


class Exported(NamedTuple):
    """An exported model in the place of its checkpoint.

    Attributes:
        path: of the file.
        spec: its spec.
        convolutions: of the net, in the order in which they run.
        raw: what it says of its training, as a checkpoint does: hyper_parameters, datamodule_hyper_parameters, epoch;
            the state_dict holds as many weights as the net may have.
        decoder: by which it computes points; None if that is unknown to this version.
        deviation_scale: the factor on its deviations.
    """

    path: Path
    spec: ModelSpec
    convolutions: list[Folded]
    raw: dict[str, Any]
    decoder: ReadingName | None
    deviation_scale: float

    def load(self, task: LandmarkTask) -> None:
        """Put the weights into the net of a task that is not trained on: its BatchNorms do not normalise.

        Args:
            task: as load_exported.

        Raises:
            CheckpointError: as load_exported.
        """
        _put(task, self.path, self.spec, self.convolutions)


def read_exported(start: Path, trust: str = "") -> Exported:
    """Read what an exported model says of itself.

    Args:
        start: an .onnx file, or the name of a packaged model.
        trust: packages, separated by commas, whose classes it may name besides those of train.

    Raises:
        CheckpointError: if it is damaged, does not say, or names classes of other packages.
        TrackerError: if there is no such model, or it is no landmark model.
    """
    expect_start(start, "--checkpoint")
    path = find_start(start)
    spec, given = _read(path)
    config = spec.config
    if not all(isinstance(config.get(name), dict) for name in ("model", "data")):
        raise CheckpointError(f"{path}: expected a model that says how it was trained; give its checkpoint instead")
    if config["model"].get("size") != spec.size:
        raise CheckpointError(
            f"{path}: it takes crops of {spec.size} px, and says that its training had {config['model'].get('size')}"
        )
    weights = [each.clone() for layer in given for each in (layer.weight, layer.bias, layer.bias)]  # BatchNorm has two
    raw = {
        "state_dict": dict(enumerate(weights)),
        "hyper_parameters": config["model"],
        "datamodule_hyper_parameters": config["data"],
        "epoch": config.get("epoch", 0),
        **({"mixed": config["mixed"]} if "mixed" in config else {}),
    }
    check_configuration(path, raw, trust)
    factor = re.search(r"deviations times ([0-9.]+)", spec.decode)
    decoder = next((each for each in (*DECODERS, *HEAD_DECODERS) if each == spec.decoder), None)
    return Exported(path, spec, given, raw, decoder, float(factor[1]) if factor else 1.0)


def load_exported(task: LandmarkTask, start: Path, crops: Iterable[Tensor]) -> ModelSpec:
    """Put the weights of an exported model into a task's net, so that its maps are those of the file.

    A file has a convolution where the net has a convolution and a BatchNorm. The BatchNorms get the mean and the
    variance of the crops as their statistics, and the scale and shift that take the normalisation back.

    Args:
        task: whose net has the convolutions of the file, in the same order, and no other layers with weights.
        start: an .onnx file in FP32 or FP16, or the name of a packaged model.
        crops: (N, S, S, 3) uint8 RGB, of the faces to train on; the first FACES are used.

    Returns:
        The spec of the file, which states its licence.

    Raises:
        CheckpointError: if the file is quantised or damaged, or its convolutions are not those of the net.
        TrackerError: if there is no such model, or it is no landmark model.
    """
    path = find_start(start)
    spec, given = _read(path)
    _put(task, path, spec, given, crops)
    return spec


def _put(
    task: LandmarkTask, path: Path, spec: ModelSpec, given: list[Folded], crops: Iterable[Tensor] | None = None
) -> None:
    """Put convolutions into a net; its BatchNorms normalise by the crops, or without crops only add the biases."""
    if spec.scheme != task.scheme.name:
        raise CheckpointError(f"{path}: expected a model of the scheme {task.scheme.name}, it has {spec.scheme}")
    if crops is None:
        batches = [torch.zeros(1, task.size, task.size, 3, dtype=torch.uint8, device=task.device)]
    else:
        batches = _first(crops, task.device)
    training = task.training
    task.eval()
    try:
        layers = _layers(task, batches[0][:1], path)
        _expect_alike(layers, given, path)
        _load(layers, given)
        if crops is not None:
            _normalise(task, [layer.norm for layer in layers if layer.norm is not None], batches)
    finally:
        task.train(training)


def _read(path: Path) -> tuple[ModelSpec, list[Folded]]:
    """Return the spec of a file and its convolutions in the order in which they run."""
    try:
        import onnx
    except ImportError:
        raise CheckpointError(
            f"{path}: reading an exported model needs the package onnx; pip install 'landmark-tracker[export]'"
        ) from None
    try:
        model = onnx.load(str(path))
    except Exception as error:  # of protobuf, of onnx, of the system
        raise CheckpointError(
            f"{path}: expected an exported model (.onnx), it cannot be read ({_reason(error)})"
        ) from None
    spec = ModelSpec.from_metadata({entry.key: entry.value for entry in model.metadata_props}, str(path))
    if any(node.op_type in _QUANTISED for node in model.graph.node):
        raise CheckpointError(
            f"{path}: expected a model in FP32 or FP16 to start from, one of {', '.join(NAMES)} or an .onnx file; "
            "this one is quantised"
        )
    try:
        values = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        convolutions = [_folded(node, values) for node in model.graph.node if node.op_type == "Conv"]
    except Exception as error:  # of onnx, NumPy and torch, which trust sizes and types of a file
        raise CheckpointError(f"{path}: its weights are damaged ({_reason(error)})") from None
    return spec, convolutions


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__


def _folded(node: Any, values: dict[str, Any]) -> Folded:
    """Return a convolution of a file; raise ValueError or whatever onnx raises if it is damaged."""
    import onnx

    weight, *biases = (torch.from_numpy(values[name].copy()) for name in node.input[1:])
    bias = biases[0] if biases else torch.zeros(len(weight))
    if not (weight.is_floating_point() and bias.is_floating_point() and weight.ndim == 4):
        raise ValueError(f"expected floating-point numbers in four dimensions, got {weight.dtype} in {weight.ndim}")
    if bias.shape != weight.shape[:1]:
        raise ValueError(f"expected a bias for each of {len(weight)} channels, got {tuple(bias.shape)}")
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise ValueError("some are not finite")
    sizes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    lists = {name: [*sizes[name]] for name in ("strides", "pads", "dilations") if name in sizes}
    if not all(isinstance(each, int) for sides in lists.values() for each in sides):
        raise ValueError("expected whole numbers of strides, pads and dilations")
    return Folded(weight.float(), bias.float(), lists)


def _first(crops: Iterable[Tensor], device: torch.device) -> list[Tensor]:
    batches: list[Tensor] = []
    for batch in crops:
        batches.append(batch.to(device))
        if sum(map(len, batches)) >= FACES:
            break
    return batches


def _layers(task: LandmarkTask, crops: Tensor, path: Path) -> list[Layer]:
    """Return the convolutions of the net in the order in which they run.

    Raises:
        CheckpointError: if it has other layers with weights, or normalises anything but the answer of a convolution.
    """
    ran: list[nn.Module] = []
    weighted = [module for module in task.net.modules() if [*module.parameters(recurse=False)]]
    hooks = [module.register_forward_pre_hook(lambda module, _: ran.append(module)) for module in weighted]
    with torch.no_grad():
        task(crops)
    for hook in hooks:
        hook.remove()
    layers: list[Layer] = []
    for module, after in zip(ran, [*ran[1:], None]):
        if isinstance(module, nn.Conv2d):
            layers.append(Layer(module, after if isinstance(after, nn.BatchNorm2d) else None))
    fits = len(ran) == len({*ran}) == len(weighted)
    fits = fits and len(ran) == len(layers) + sum(layer.norm is not None for layer in layers)
    fits = fits and all(_belongs(layer) for layer in layers)
    if not fits:
        raise CheckpointError(
            f"{path}: a {type(task.net).__name__} as configured cannot start from an exported model: not all of its "
            "weights belong to a convolution or to the normalisation of its answer; start from the checkpoint that it "
            "was exported from"
        )
    return layers


def _belongs(layer: Layer) -> bool:
    """Tell whether the BatchNorm may be the convolution's, and whether there is a place for the file's bias."""
    if layer.norm is None:
        return layer.convolution.bias is not None
    return layer.norm.num_features == layer.convolution.out_channels and layer.convolution.bias is None


def _expect_alike(layers: list[Layer], given: list[Folded], path: Path) -> None:
    """Raise CheckpointError if the convolutions of the net and of the file differ in number or sizes."""
    wrong = f"{path}: its weights do not fit the net: "
    if len(layers) != len(given):
        raise CheckpointError(
            f"{wrong}the net has {len(layers)} convolutions, the file has {len(given)}; take the net that was "
            "exported, or start from its checkpoint"
        )
    for number, ((own, _), (weight, _, sizes)) in enumerate(zip(layers, given), start=1):
        if own.weight.shape != weight.shape:
            raise CheckpointError(
                f"{wrong}convolution {number} has the shape {tuple(weight.shape)} instead of {tuple(own.weight.shape)}"
            )
        expected = {"strides": [*own.stride], "pads": [*own.padding] * 2, "dilations": [*own.dilation]}
        for name, size in expected.items():
            if [*sizes.get(name, size)] != size:
                raise CheckpointError(f"{wrong}convolution {number} has the {name} {[*sizes[name]]} instead of {size}")


@torch.no_grad()
def _load(layers: list[Layer], given: list[Folded]) -> None:
    """Copy the weights; the BatchNorms add the biases and change nothing else."""
    for (convolution, norm), (weight, bias, _) in zip(layers, given):
        convolution.weight.copy_(weight)
        if norm is None:
            assert convolution.bias is not None
            convolution.bias.copy_(bias)
        else:
            ones = torch.ones_like(bias)
            _set(norm, mean=0 * ones, variance=ones - norm.eps, weight=ones, bias=bias)


@torch.no_grad()
def _normalise(task: LandmarkTask, norms: list[nn.BatchNorm2d], batches: list[Tensor]) -> None:
    """Set the statistics of BatchNorms that only add to those of the crops; they still only add."""
    moments = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def count(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        values = inputs[0].cpu().double().transpose(0, 1).flatten(1)  # not every device has float64
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
        _set(norm, mean, variance, (variance + norm.eps).sqrt(), norm.bias.cpu().double() + mean)


def _set(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(weight)
    norm.bias.copy_(bias)
