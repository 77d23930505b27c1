"""FAN's net: the public one's size, parts and whole against slow double precision, and its way to ONNX Runtime."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional

from train.models.fan import FanNet, HierarchicalBlock, Preactivated
from train.models.heads import WithHead

Weights = dict[str, Tensor]
PUBLIC = {1: 6_249_668, 2: 12_106_504, 4: 23_820_176}  # counted in the public code's class, 68 landmarks


def trained_a_little(module: nn.Module) -> nn.Module:
    """In double precision, with BatchNorms that have seen something; evaluating."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)
            nn.init.normal_(norm.running_mean, 0, 0.3)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return module.double().eval()


@pytest.fixture(scope="module")
def net() -> FanNet:
    return trained_a_little(FanNet(landmarks=5, stacks=2))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def slow_step(w: Weights, key: str, x: Tensor) -> Tensor:
    """BatchNorm with its running statistics, ReLU, convolution."""
    scale, shift, mean, variance = (
        w[f"{key}.0.{name}"][:, None, None] for name in ("weight", "bias", "running_mean", "running_var")
    )
    kernel = w[f"{key}.2.weight"]
    active = ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp_min(0)
    return functional.conv2d(active, kernel, padding=(kernel.shape[-1] - 1) // 2)


def slow_block(w: Weights, key: str, x: Tensor) -> Tensor:
    a = slow_step(w, f"{key}.first", x)
    b = slow_step(w, f"{key}.second", a)
    c = slow_step(w, f"{key}.third", b)
    skip = slow_step(w, f"{key}.skip", x) if f"{key}.skip.2.weight" in w else x
    channels = [*a.unbind(1), *b.unbind(1), *c.unbind(1)]
    return torch.stack([channel + skip[:, i] for i, channel in enumerate(channels)], 1)


def slow_pool(x: Tensor) -> Tensor:
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def slow_hourglass(w: Weights, key: str, x: Tensor, levels: int) -> Tensor:
    if levels == 0:
        return slow_block(w, key, x)
    low = slow_block(w, f"{key}.down", slow_pool(x))
    low = slow_block(w, f"{key}.up", slow_hourglass(w, f"{key}.inner", low, levels - 1))
    return slow_block(w, f"{key}.skip", x) + low.repeat_interleave(2, 2).repeat_interleave(2, 3)


def slow_conv(w: Weights, key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return functional.conv2d(x, w[f"{key}.weight"], w[f"{key}.bias"], stride, padding)


def slow_norm(w: Weights, key: str, x: Tensor) -> Tensor:
    scale, shift, mean, variance = (w[f"{key}.{name}"] for name in ("weight", "bias", "running_mean", "running_var"))
    return functional.batch_norm(x, mean, variance, scale, shift).clamp_min(0)


def slow_net(w: Weights, x: Tensor) -> list[Tensor]:
    x = slow_norm(w, "stem.1", slow_conv(w, "stem.0", x, 2, 3))
    x = slow_block(w, "stem.6", slow_block(w, "stem.5", slow_pool(slow_block(w, "stem.3", x))))
    maps = []
    for i in range(2):
        y = slow_block(w, f"features.{i}.0", slow_hourglass(w, f"hourglasses.{i}", x, 4))
        y = slow_norm(w, f"features.{i}.2", slow_conv(w, f"features.{i}.1", y))
        maps.append(slow_conv(w, f"heads.{i}", y))
        if i == 0:
            x = x + slow_conv(w, "merge_features.0", y) + slow_conv(w, "merge_heads.0", maps[0])
    return maps


class TestBlock:
    @pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (8, 16), (12, 8)])
    def test_is_the_slow_one(self, inputs: int, outputs: int) -> None:
        block = trained_a_little(HierarchicalBlock(inputs, outputs))
        x = torch.randn(2, inputs, 5, 7, dtype=torch.float64)
        before = x.clone()
        with torch.no_grad():
            assert_allclose(
                block(x),
                slow_block({f"block.{name}": value for name, value in block.state_dict().items()}, "block", x),
                rtol=1e-9,
                atol=1e-12,
            )
        assert torch.equal(x, before)  # its ReLUs work in place, not on what it was given


def block_size(inputs: int, outputs: int) -> int:
    half, quarter = outputs // 2, outputs // 4
    skip = inputs * outputs + 2 * inputs if inputs != outputs else 0
    return 9 * (inputs * half + half * quarter + quarter * quarter) + 2 * (inputs + half + quarter) + skip


def net_size(landmarks: int, stacks: int) -> int:
    """By hand: stem, stacks of 13 blocks in the hourglass and one behind it, and what joins them."""
    stem = 7 * 7 * 3 * 64 + 64 + 2 * 64 + block_size(64, 128) + block_size(128, 128) + block_size(128, 256)
    head = 256 * landmarks + landmarks
    stack = 14 * block_size(256, 256) + 256 * 256 + 256 + 2 * 256 + head
    join = 256 * 256 + 256 + landmarks * 256 + 256
    return stem + stacks * stack + (stacks - 1) * join


class TestNet:
    def test_one_map_a_stack(self, net: FanNet, pictures: Tensor) -> None:
        with torch.device("meta"):
            large = FanNet(landmarks=7, stacks=3)(torch.zeros(2, 3, 256, 256))
        assert [one.shape for one in large] == [(2, 7, 64, 64)] * 3
        with torch.no_grad():
            assert [one.shape for one in net(pictures)] == [(2, 5, 16, 16)] * 2
        assert net.stride == 4

    @pytest.mark.parametrize("stacks", PUBLIC)
    def test_has_as_many_parameters_as_the_public_code(self, stacks: int) -> None:
        with torch.device("meta"):
            count = sum(p.numel() for p in FanNet(stacks=stacks).parameters())
        assert count == PUBLIC[stacks] == net_size(68, stacks)

    def test_is_the_slow_one(self, net: FanNet, pictures: Tensor) -> None:
        with torch.no_grad():
            maps, expected = net(pictures), slow_net(net.state_dict(), pictures)
        for one, slow in zip(maps, expected, strict=True):
            assert one.std() > 0.01  # heads begin small
            assert_allclose(one, slow, rtol=1e-8, atol=1e-11)

    def test_every_parameter_learns(self, pictures: Tensor) -> None:
        net = trained_a_little(FanNet(landmarks=5, stacks=2))
        torch.stack(net(pictures)).square().sum().backward()  # type: ignore[no-untyped-call]
        assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_offsets_are_read_from_the_pooled_last_features(self, pictures: Tensor) -> None:
        """Section 4.1: a global average and a fully connected layer, and the net is the same without them."""
        torch.manual_seed(0)
        net = FanNet(landmarks=5, stacks=2, offsets=True).double().eval()
        seen: list[Tensor] = []
        net.features[-1].register_forward_hook(lambda _, __, output: seen.append(output))
        with torch.no_grad():
            answer = net(pictures.double())
        assert isinstance(answer, WithHead)
        layer = net.cell_head[2]  # type: ignore[index]
        expected = seen[0].mean((2, 3)) @ layer.weight.T + layer.bias
        assert_allclose(answer.head_output.flatten(1), expected.detach())

    def test_the_last_stack_refines_the_first(self, net: FanNet, pictures: Tensor) -> None:
        bias = net.heads[0].bias
        assert isinstance(bias, Tensor)
        with torch.no_grad():
            before = net(pictures)
            bias += 1
            after = net(pictures)
            bias -= 1
        assert_allclose(after[0], before[0] + 1)
        assert (after[1] - before[1]).abs().max() > 1e-3


class TestFused:
    def test_answers_as_the_last_stack(self, net: FanNet, pictures: Tensor) -> None:
        parts = {name: type(module) for name, module in net.named_modules()}
        with torch.no_grad():
            expected = net(pictures)[-1]
            answer = net.fused().double()(pictures)
        assert_allclose(answer, expected, atol=1e-5 * float(expected.abs().max()))  # stacks are joined in float32
        assert {name: type(module) for name, module in net.named_modules()} == parts  # it can go on learning

    def test_leaves_out_the_first_stacks_maps(self, net: FanNet) -> None:
        norms = [step[0] for step in net.modules() if isinstance(step, Preactivated)]
        in_front = sum(p.numel() for norm in norms for p in norm.parameters())  # no parameters once they are Affine
        left = sum(p.numel() for p in net.fused().parameters())
        assert left == net_size(5, 2) - in_front - (256 * 5 + 5) - (5 * 256 + 256)

    def test_answers_alike_in_onnx_runtime(self, net: FanNet, pictures: Tensor, tmp_path: Path) -> None:
        path, fused = tmp_path / "fan.onnx", net.fused().float().eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the other exporter
            torch.onnx.export(
                fused,
                (pictures.float(),),
                str(path),
                input_names=["x"],
                dynamic_axes={"x": {0: "faces"}},
                opset_version=17,
                dynamo=False,
            )
        assert "BatchNormalization" not in {node.op_type for node in onnx.load(path).graph.node}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        with torch.no_grad():
            expected = net(pictures)[-1]
        for count in (1, 2):
            (answer,) = session.run(None, {"x": pictures[:count].float().numpy()})
            assert_allclose(answer, expected[:count], atol=1e-4 * float(expected.abs().max()))
