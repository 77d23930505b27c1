"""The measured nets, as they are deployed: on the device, in half precision."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from unittest import mock

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._lib.gpu.device import Device, HostConstants
from benchmarks._lib.gpu.stages import Sizes
from export.graph import Calibration, LandmarkGraph
from export.uncertainty import narrowed
from tracker.weights.packaged import landmark_model
from train.command_line import TrainingCLI
from train.exported import read_exported
from train.loaders import FaceData
from train.models.hourglass import Affine, Residual
from train.task import LandmarkTask, normalise

CONFIGS = Path(__file__).parents[3] / "configs/train"
EDGE = CONFIGS / "edge68.yaml"
HOURGLASS = CONFIGS / "hourglass/300w_structured.yaml"
# The trainer is made but not used: the GPU is left to the stage.
_NO_TRAINER = ("accelerator=cpu", "devices=1", "precision=32-true", "logger=false", "callbacks=null")


def configured(config: Path, *options: str) -> tuple[LandmarkTask, FaceData]:
    """The task and the data of a training's configuration, as `train.run` makes them.

    Args:
        config: the YAML file.
        options: further ones of train.run, such as "--data.size=64".
    """
    arguments = [f"--config={config}", *(f"--trainer.{option}" for option in _NO_TRAINER), *options]
    with mock.patch.object(sys, "argv", sys.argv[:1]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no GPU is used, and what the trainer thinks of its options
        cli = TrainingCLI.run(run=False, args=arguments)
    task, data = cli.model, cli.datamodule
    assert isinstance(task, LandmarkTask) and isinstance(data, FaceData)
    return task.eval(), data


def edge_graph() -> LandmarkGraph:
    """The packaged edge68 with the weights of its .onnx file, float32, without its BatchNorms."""
    path = landmark_model(Path("edge68"))
    task, _ = configured(EDGE)
    model = read_exported(path)
    graph = LandmarkGraph(task, decoder=model.decoder, calibration=Calibration(model.spec.temperature)).eval()
    graph.net = fold_norms(graph.net)
    load_convolutions(graph.net, path)
    return graph


def hourglass_graph(sizes: Sizes) -> LandmarkGraph:
    """The four-stack hourglass, float32, without what can be folded away. Its weights are random."""
    torch.manual_seed(0)
    task, _ = configured(HOURGLASS, f"--model.net.init_args.width={sizes.width}", f"--data.size={sizes.hourglass_px}")
    graph = LandmarkGraph(task).eval()
    graph.net = fold_norms(graph.net)
    return graph


class Deployed:
    """A graph on a device: channels last, its net in half precision, pixels and decoding in float32.

    Args:
        graph: in float32, on the CPU; it is copied.
        device: where.
    """

    def __init__(self, graph: LandmarkGraph, device: Device) -> None:
        self._graph = copy.deepcopy(graph).to(device.torch)
        self.net: nn.Module = self._graph.net.to(memory_format=torch.channels_last, dtype=torch.float16)  # type: ignore[call-overload]
        self._constants = HostConstants()

    def modules(self) -> Iterator[nn.Module]:
        """Return all modules of the computation."""
        return self._graph.modules()

    def __call__(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As LandmarkGraph: crops (N, S, S, 3) uint8 to points, scores, covariances."""
        return self.decode(self.maps(crops))

    def maps(self, crops: Tensor) -> Tensor:
        """The net's own (N, K, H, W), float16."""
        maps: Tensor = self.net(normalise(crops).half())
        return maps

    def decode(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the graph answers, from its net's maps, on the device that they are on."""
        graph = self._graph
        with self._constants:
            logits = graph.objective.logits(maps.float()) * (1 / graph.calibration.temperature)
            points, scores, covariances = graph.objective.read(logits, None, graph.stride, graph.decoder)
            return points, scores, narrowed(covariances, graph.calibration.spread)


def operations(graph: LandmarkGraph, size: int) -> int:
    """Multiplications and additions of the net for one picture, counted apart; decoding is left out."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        graph.net(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops())


class _FusedAffine(nn.Module):
    """Affine as one operation instead of two."""

    factor: Tensor
    summand: Tensor

    def __init__(self, affine: Affine) -> None:
        super().__init__()
        self.register_buffer("factor", affine.factor)
        self.register_buffer("summand", affine.summand)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.summand, x, self.factor)


def fold_norms(net: nn.Module) -> nn.Module:
    """Make every BatchNorm behind a convolution a part of it, as in an exported graph. The net itself is changed."""
    net.eval()
    for module in net.modules():
        if isinstance(module, Residual):
            for convolution, norm in (("conv1", "bn2"), ("conv2", "bn3")):
                steps = getattr(module, convolution)
                steps.conv = _folded(steps.conv, getattr(module, norm))
                setattr(module, norm, nn.Identity())
            if isinstance(module.bn1, Affine):
                module.bn1 = _FusedAffine(module.bn1)
        elif isinstance(module, nn.Sequential):
            names = list(module._modules)
            for name, following in pairwise(names):
                here, behind = module._modules[name], module._modules[following]
                if isinstance(here, nn.Conv2d) and isinstance(behind, nn.BatchNorm2d):
                    module._modules[name] = _folded(here, behind)
                    module._modules[following] = nn.Identity()
    return net


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    return fuse_conv_bn_eval(convolution, norm)


def load_convolutions(net: nn.Module, path: Path) -> None:
    """Give every convolution of a net without BatchNorms the weights of its node in an exported .onnx file.

    A node's name holds the path of its module: /net/stem/stem.0/stem.0.0/Conv is stem.0.0 of the graph's net.
    """
    model = onnx.load(str(path))
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    state: dict[str, Tensor] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            name = _module_path(node.name)
            state |= {f"{name}.{kind}": torch.tensor(values[v]) for kind, v in zip(("weight", "bias"), node.input[1:])}
    net.load_state_dict(state)


def _module_path(node: str) -> str:
    """stem.0.0 of /net/stem/stem.0/stem.0.0/Conv: a part that continues the one before replaces it."""
    parts: list[str] = []
    for part in node.split("/")[2:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)
