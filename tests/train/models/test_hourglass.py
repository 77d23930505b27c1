"""The four-stack hourglass: its state_dict and size, and its parts and the whole against slow double precision."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional

from tracker.face.schemes import COFW29, SCHEMES, Curve, scheme_named
from train.models.attention import AnisotropicAttention, Masking, fuse, linear_mean
from train.models.coord_conv import with_coordinates
from train.models.hourglass import Activation, StackedHourglass, StackMaps, rgb_from_bgr

Array = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Shapes = dict[str, tuple[int, ...]]
Weights = dict[str, Tensor]
MASKINGS: tuple[Masking, ...] = get_args(Masking)
READINGS: tuple[tuple[Activation, Masking], ...] = (
    ("instance_norm_relu", "multiply"),
    ("instance_norm_relu", "none"),
    ("none", "multiply"),
    ("none", "add_log"),
    ("none", "none"),
)
EDGES = {  # STAR's tables: open or closed, and the landmarks in drawing order
    "wflw98": "O0-32 C33-41 C42-50 O51-54 O55-59 C60-67 C68-75 C76-87 C88-95",
    "ibug68": "O0-16 O17-21 O22-26 O27-30 O31-35 C36-41 C42-47 C48-59 C60-67",
    "cofw29": "C0,4,2,5 C1,6,3,7 C8,12,10,13 O9,14,11,15 C18,20,19,21 C22,26,23,27 C22,24,23,25",
}
LONELY = {"wflw98": [96, 97], "ibug68": [], "cofw29": [16, 17, 28]}  # on no edge
seeds = st.integers(0, 10**6)


def edge_table(scheme: str) -> list[tuple[bool, tuple[int, ...]]]:
    """Closed or not, and the landmarks, of every edge."""
    table = []
    for entry in EDGES[scheme].split():
        first, *rest = map(int, entry[1:].replace("-", ",").split(","))
        indices = tuple(range(first, rest[0] + 1)) if "-" in entry else (first, *rest)
        table.append((entry[0] == "C", indices))
    return table


@cache
def full_net(scheme: str) -> StackedHourglass:
    """The published size, without memory or arithmetic."""
    with torch.device("meta"):
        return StackedHourglass(scheme).eval()


def tiny(activation: Activation = "none", masking: Masking = "none") -> StackedHourglass:
    """Three stacks of a few channels in double precision, with BatchNorms that have seen something; evaluating."""
    torch.manual_seed(0)
    net = StackedHourglass("cofw29", 3, 2, 8, activation, masking).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    with torch.no_grad():
        net(torch.randn(4, 3, 32, 32, dtype=torch.float64))
    return net.eval()


def pictures(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def convolution_shapes(key: str, inputs: int, outputs: int, kernel: int = 1) -> Shapes:
    return {f"{key}.conv.weight": (outputs, inputs, kernel, kernel), f"{key}.conv.bias": (outputs,)}


def norm_shapes(key: str, channels: int) -> Shapes:
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{key}.{name}": (channels,) for name in names} | {f"{key}.num_batches_tracked": ()}


def residual_shapes(key: str, inputs: int, outputs: int) -> Shapes:
    return (
        norm_shapes(f"{key}.bn1", inputs)
        | convolution_shapes(f"{key}.conv1", inputs, outputs // 2)
        | norm_shapes(f"{key}.bn2", outputs // 2)
        | convolution_shapes(f"{key}.conv2", outputs // 2, outputs // 2, 3)
        | norm_shapes(f"{key}.bn3", outputs // 2)
        | convolution_shapes(f"{key}.conv3", outputs // 2, outputs)
        | convolution_shapes(f"{key}.skip_layer", inputs, outputs)
    )


def star_shapes(points: int, edges: int) -> Shapes:
    """The published state_dict, entry by entry."""
    shapes: Shapes = {"e2h_transform.weight": (points, edges, 1, 1), "e2h_transform.bias": (points,)}
    shapes |= convolution_shapes("pre.0", 6, 64, 7) | norm_shapes("pre.0.bn", 64)
    for step, inputs, outputs in ((1, 64, 128), (3, 128, 128), (4, 128, 256)):
        shapes |= residual_shapes(f"pre.{step}", inputs, outputs)
    heads = (("heatmaps", points), ("pointmaps", points), ("edgemaps", edges))
    for i in range(4):
        shapes |= convolution_shapes(f"hgs.{i}.coordconv", 259 if i == 0 else 261, 256)
        for level in range(4):
            for block in ("up1", "low1", "low3"):
                shapes |= residual_shapes(f"hgs.{i}." + "low2." * level + block, 256, 256)
        shapes |= residual_shapes(f"hgs.{i}.low2.low2.low2.low2", 256, 256)
        shapes |= residual_shapes(f"features.{i}.0", 256, 256)
        shapes |= convolution_shapes(f"features.{i}.1", 256, 256) | norm_shapes(f"features.{i}.1.bn", 256)
        for name, maps in heads:
            shapes |= convolution_shapes(f"out_{name}.{i}", 256, maps)
        for name, maps in (*heads, ("features", 256)) if i < 3 else ():
            shapes |= convolution_shapes(f"merge_{name}.{i}", maps, 256)
    return shapes


@cache
def executed(scheme: str) -> tuple[list[nn.Module], int]:
    """The modules without children that a picture of 256 px visits, and the multiplications of its convolutions."""
    net = full_net(scheme)
    visited: list[nn.Module] = []
    multiplications = 0

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        nonlocal multiplications
        visited.append(module)
        if isinstance(module, nn.Conv2d):
            multiplications += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if not any(m.children())]
    net(torch.empty(1, 3, 256, 256, device="meta"))
    for hook in hooks:
        hook.remove()
    return visited, multiplications


@pytest.mark.parametrize("scheme", EDGES)
class TestFullSize:
    def test_state_dict_is_stars(self, scheme: str) -> None:
        shapes = {name: tuple(value.shape) for name, value in full_net(scheme).state_dict().items()}
        assert shapes == star_shapes(scheme_named(scheme).count, len(EDGES[scheme].split()))
        assert len(shapes) == 1450

    def test_parameters_and_multiplications(self, scheme: str) -> None:
        everything, millions, giga = {
            "wflw98": (17_177_332, 13.4765, 17.337),
            "ibug68": (17_069_572, 13.3687, 16.897),
            "cofw29": (16_925_892, 13.2250, 16.310),
        }[scheme]
        net = full_net(scheme)
        visited, multiplications = executed(scheme)
        assert sum(p.numel() for p in net.parameters()) == everything
        assert round(sum(p.numel() for module in visited for p in module.parameters()) / 1e6, 4) == millions
        assert round(multiplications / 1e9, 3) == giga

    def test_exactly_the_executed_parameters_are_trained(self, scheme: str) -> None:
        net = full_net(scheme)
        visited = {id(p) for module in executed(scheme)[0] for p in module.parameters()}
        assert {id(p) for p in net.parameters() if p.requires_grad} == visited

    def test_shapes_of_the_answer(self, scheme: str) -> None:
        face, net = scheme_named(scheme), full_net(scheme)
        maps = net(torch.empty(2, 3, 256, 256, device="meta"))
        assert len(maps) == 4
        for stack in maps:
            assert stack.heatmaps.shape == stack.fusion.shape == stack.points.shape == (2, face.count, 64, 64)
            assert stack.edges.shape == (2, len(face.curves), 64, 64)
            assert stack.coordinates is None
        assert net.stride * 64 == 256


def slow_coordinates(x: Array, gate: Mask | None) -> Array:
    """with_coordinates cell by cell; gate (N, H, W)."""
    count, channels, height, width = x.shape
    out = np.zeros((count, channels + (3 if gate is None else 5), height, width))
    out[:, :channels] = x
    furthest = max(math.hypot(2 * i / (height - 1) - 1, 1) for i in range(height))
    for n, i, j in np.ndindex(count, height, width):
        v, u = 2 * i / (height - 1) - 1, 2 * j / (width - 1) - 1
        out[n, channels : channels + 3, i, j] = v, u, math.hypot(v, u) / furthest
        if gate is not None and gate[n, i, j]:
            out[n, channels + 3 :, i, j] = v, u
    return out


class TestCoordinates:
    @given(seed=seeds, height=st.integers(2, 6), width=st.integers(2, 6), gated=st.booleans())
    @settings(max_examples=30)
    def test_are_the_slow_ones(self, seed: int, height: int, width: int, gated: bool) -> None:
        x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        gate = x[:, :1] > 0 if gated else None
        slow_gate = x[:, 0].numpy() > 0 if gated else None
        assert_allclose(with_coordinates(x, gate), slow_coordinates(x.numpy(), slow_gate), atol=1e-12)

    def test_the_vertical_one_comes_first(self) -> None:
        v, u, r = with_coordinates(torch.zeros(1, 0, 3, 3))[0]
        assert v.tolist() == [[-1, -1, -1], [0, 0, 0], [1, 1, 1]]
        assert u.tolist() == [[-1, 0, 1]] * 3
        assert_allclose(r[1], [math.sqrt(0.5), 0, math.sqrt(0.5)])
        assert_allclose(r[0], [1, math.sqrt(0.5), 1])

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
    def test_keep_the_type(self, dtype: torch.dtype) -> None:
        assert with_coordinates(torch.zeros(1, 1, 4, 4, dtype=dtype), torch.ones(1, 1, 4, 4) > 0).dtype == dtype


def slow_mask(edges: Array, points: Array, curves: list[tuple[int, ...]]) -> Array:
    """ADNet's attention, landmark by landmark: the sum of its edges, or 1 on none, times its point map."""
    mask = np.zeros_like(points)
    for k in range(points.shape[1]):
        through = [edge for edge, indices in enumerate(curves) if k in indices]
        along = sum((edges[:, edge] for edge in through), np.zeros_like(points[:, k])) if through else 1.0
        mask[:, k] = along * points[:, k]
    return mask


def slow_fusion(heatmaps: Array, mask: Array, masking: Masking) -> Array:
    return {"multiply": heatmaps * mask, "add_log": heatmaps + np.log(mask + 1e-6), "none": heatmaps}[masking]


class TestAttention:
    def test_of_points_on_no_one_and_two_edges(self) -> None:
        module = AnisotropicAttention(4, [Curve("line", (1, 2)), Curve("ring", (2, 0), closed=True)])
        assert module.weight[..., 0, 0].tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]
        assert module.bias.tolist() == [0, 0, 0, 1]
        edges, points = torch.tensor([0.25, 0.5]).view(1, 2, 1, 1), torch.ones(1, 4, 1, 1)
        assert module(edges, points).flatten().tolist() == [0.5, 0.25, 0.75, 1]
        assert module(torch.ones(1, 2, 1, 1), points).flatten().tolist() == [1, 1, 2, 1]
        assert not any(module(edges, 0 * points).flatten().tolist())

    @given(seeds)
    @settings(max_examples=20)
    def test_is_the_slow_one(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        edges, points = (torch.rand(2, maps, 3, 4, generator=generator, dtype=torch.float64) for maps in (7, 29))
        mask = AnisotropicAttention(29, COFW29.curves).double()(edges, points)
        assert_allclose(mask, slow_mask(edges.numpy(), points.numpy(), [c for _, c in edge_table("cofw29")]))

    @pytest.mark.parametrize("masking", MASKINGS)
    @given(seed=seeds)
    @settings(max_examples=10)
    def test_enters_as_asked(self, masking: Masking, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        heatmaps = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
        mask = 2 * torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64)
        mask[0, 0] = 0
        fusion = fuse(heatmaps, mask, masking)
        assert_allclose(fusion, slow_fusion(heatmaps.numpy(), mask.numpy(), masking))
        assert torch.isfinite(fusion).all()

    def test_added_as_a_logarithm_it_is_a_factor_of_the_softmax(self) -> None:
        generator = torch.Generator().manual_seed(0)
        heatmaps, mask = torch.randn(9, generator=generator), torch.rand(9, generator=generator) + 0.1
        product = heatmaps.exp() * mask
        assert_allclose(fuse(heatmaps, mask, "add_log").softmax(0), product / product.sum(), atol=1e-5)

    @pytest.mark.parametrize("scheme", EDGES)
    def test_edges_are_those_of_the_table_in_its_order(self, scheme: str) -> None:
        face, table = SCHEMES[scheme], edge_table(scheme)
        assert [(curve.closed, curve.indices) for curve in face.curves] == table
        module = AnisotropicAttention(face.count, face.curves)
        columns = [sorted(indices) for _, indices in table]
        assert [module.weight[:, edge, 0, 0].nonzero().flatten().tolist() for edge in range(len(table))] == columns
        assert module.bias.nonzero().flatten().tolist() == LONELY[scheme]
        assert set(module.weight.flatten().tolist()) == {0, 1}


def slow_mean(maps: Array) -> Array:
    """The linear mean of every map (N, K, H, W), cell by cell."""
    out = np.zeros((*maps.shape[:2], 2))
    height, width = maps.shape[2:]
    for n, k, i, j in np.ndindex(*maps.shape):
        out[n, k] += maps[n, k, i, j] * np.array([2 * j / (width - 1) - 1, 2 * i / (height - 1) - 1])
    return np.asarray(out / np.maximum(maps.sum((2, 3)), 1e-6)[..., None])


class TestLinearMean:
    @given(seed=seeds, height=st.integers(2, 6), width=st.integers(2, 6))
    @settings(max_examples=20)
    def test_is_the_slow_one_and_inside_the_map(self, seed: int, height: int, width: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        maps = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64).relu()
        places = linear_mean(maps)
        assert_allclose(places, slow_mean(maps.numpy()), atol=1e-12)
        assert_allclose(linear_mean(7 * maps), places, atol=1e-12)
        assert_allclose(linear_mean(maps.flip(3)), places * torch.tensor([-1, 1]), atol=1e-12)
        assert places.abs().max() <= 1 + 1e-12

    @pytest.mark.parametrize(("cell", "place"), [((0, 0), (-1, -1)), ((0, 63), (1, -1)), ((21, 42), (1 / 3, -1 / 3))])
    def test_of_one_cell_is_its_middle(self, cell: tuple[int, int], place: tuple[float, float]) -> None:
        maps = torch.zeros(1, 1, 64, 64)
        maps[0, 0][cell] = 0.3
        assert_allclose(linear_mean(maps)[0, 0], place, atol=1e-6)

    def test_of_an_empty_or_almost_empty_map_is_finite(self) -> None:
        maps = torch.zeros(1, 2, 4, 4)
        maps[0, 1, 0, 3] = 2.5e-7
        assert_allclose(linear_mean(maps)[0], np.array([[0, 0], [0.25, -0.25]]), atol=1e-6)

    def test_of_half_precision_keeps_its_digits(self) -> None:
        maps = torch.rand(1, 5, 64, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
        places = linear_mean(maps)
        assert places.dtype == torch.float32
        assert_allclose(places, linear_mean(maps.double()), atol=1e-5)

    def test_gradient_is_that_of_finite_differences(self) -> None:
        maps = torch.rand(1, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        assert torch.autograd.gradcheck(linear_mean, (maps.requires_grad_(),))


def slow_convolution(w: Weights, key: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = w[f"{key}.conv.weight"]
    return functional.conv2d(x, kernel, w[f"{key}.conv.bias"], stride, (kernel.shape[-1] - 1) // 2)


def slow_norm(w: Weights, key: str, x: Tensor) -> Tensor:
    """BatchNorm with its running statistics, and ReLU."""
    scale, shift, mean, variance = (
        w[f"{key}.{name}"][:, None, None] for name in ("weight", "bias", "running_mean", "running_var")
    )
    return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp_min(0)


def slow_residual(w: Weights, key: str, x: Tensor) -> Tensor:
    y = x
    for i in (1, 2, 3):
        y = slow_convolution(w, f"{key}.conv{i}", slow_norm(w, f"{key}.bn{i}", y))
    return y + (x if x.shape == y.shape else slow_convolution(w, f"{key}.skip_layer", x))


def slow_hourglass(w: Weights, key: str, x: Tensor, levels: int) -> Tensor:
    if levels == 0:
        return slow_residual(w, key, x)
    low = slow_residual(w, f"{key}.low1", functional.max_pool2d(x, 2))
    low = slow_hourglass(w, f"{key}.low2", low, levels - 1)
    low = slow_residual(w, f"{key}.low3", low)
    return slow_residual(w, f"{key}.up1", x) + low.repeat_interleave(2, 2).repeat_interleave(2, 3)


def slow_activation(heatmaps: Tensor, activation: Activation) -> Tensor:
    if activation == "none":
        return heatmaps
    mean, variance = heatmaps.mean((2, 3), True), heatmaps.var((2, 3), correction=0, keepdim=True)
    return ((heatmaps - mean) / (variance + 1e-5).sqrt()).clamp_min(0)


def slow_net(w: Weights, x: Tensor, activation: Activation, masking: Masking) -> list[StackMaps]:
    """The tiny net from its state_dict, step by step as the papers' code is described."""
    x = slow_convolution(w, "pre.0", torch.from_numpy(slow_coordinates(x.numpy(), None)), stride=2)
    x = functional.max_pool2d(slow_residual(w, "pre.1", slow_norm(w, "pre.0.bn", x)), 2)
    x = slow_residual(w, "pre.4", slow_residual(w, "pre.3", x))
    gate, stacks = None, []
    for i in range(3):
        guided = slow_convolution(w, f"hgs.{i}.coordconv", torch.from_numpy(slow_coordinates(x.numpy(), gate)))
        features = slow_residual(w, f"features.{i}.0", slow_hourglass(w, f"hgs.{i}", guided, 2))
        features = slow_norm(w, f"features.{i}.1.bn", slow_convolution(w, f"features.{i}.1", features))
        heatmaps = slow_activation(slow_convolution(w, f"out_heatmaps.{i}", features), activation)
        points, edges = (
            slow_convolution(w, f"out_{name}.{i}", features).sigmoid() for name in ("pointmaps", "edgemaps")
        )
        mask = slow_mask(edges.numpy(), points.numpy(), [indices for _, indices in edge_table("cofw29")])
        fusion = slow_fusion(heatmaps.numpy(), mask, masking)
        coordinates = torch.from_numpy(slow_mean(fusion))
        stacks.append(StackMaps(heatmaps, torch.from_numpy(fusion), points, edges, coordinates))
        gate = heatmaps[:, -1].clamp(0, 1).numpy() > 0.05
        if i < 2:
            merged = {"features": features, "heatmaps": heatmaps, "pointmaps": points, "edgemaps": edges}
            x = x + sum(slow_convolution(w, f"merge_{name}.{i}", value) for name, value in merged.items())
    return stacks


class TestNet:
    @pytest.mark.parametrize(("activation", "masking"), READINGS)
    def test_is_the_slow_one(self, activation: Activation, masking: Masking) -> None:
        net = tiny(activation, masking)
        with torch.no_grad():
            maps = net(pictures())
            expected = slow_net(net.state_dict(), pictures(), activation, masking)
        assert len(maps) == 3
        for got, slow in zip(maps, expected, strict=True):
            for name in ("heatmaps", "fusion", "points", "edges"):
                assert_allclose(getattr(got, name), getattr(slow, name), rtol=1e-6, atol=1e-8)
            assert (got.coordinates is None) == (activation == "none")
            if got.coordinates is not None:
                torch.testing.assert_close(got.coordinates, slow.coordinates, rtol=0, atol=1e-8)
            assert 0.1 < (got.heatmaps[:, -1] > 0.05).double().mean() < 0.9  # so that the gate has been tried

    @pytest.mark.parametrize(("activation", "masking"), READINGS)
    def test_every_trained_parameter_gets_a_gradient(self, activation: Activation, masking: Masking) -> None:
        net = tiny(activation, masking)
        generator = torch.Generator().manual_seed(2)
        answers = [t for stack in net(pictures()) for t in stack if t is not None]
        weights = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in answers]
        torch.stack([(t * w).sum() for t, w in zip(answers, weights)]).sum().backward()  # type: ignore[no-untyped-call]
        silent = [n for n, p in net.named_parameters() if p.requires_grad and not _moves(p)]
        # a constant that is added to a map is taken away by the instance norm
        assert silent == ([f"out_heatmaps.{i}.conv.bias" for i in range(3)] if activation != "none" else [])

    def test_only_the_idle_skip_layers_are_frozen(self) -> None:
        frozen = {name for name, p in tiny().named_parameters() if not p.requires_grad}
        idle = {name for name in tiny().state_dict() if ".skip_layer." in name} - {
            f"pre.{step}.skip_layer.conv.{kind}" for step in (1, 4) for kind in ("weight", "bias")
        }
        assert frozen == idle != set()

    @pytest.mark.parametrize("activation", get_args(Activation))
    def test_a_picture_does_not_depend_on_its_batch(self, activation: Activation) -> None:
        net = tiny(activation, "multiply")
        with torch.no_grad():
            together, alone = net(pictures())[-1], net(pictures()[1:2])[-1]
        assert_allclose(together.fusion[1], alone.fusion[0], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize(("activation", "masking"), READINGS)
    def test_fused_answers_as_the_last_stack(self, activation: Activation, masking: Masking) -> None:
        net = tiny(activation, masking)
        with torch.no_grad():
            assert_allclose(net.fused()(pictures()), net(pictures())[-1].fusion, rtol=1e-9, atol=1e-12)

    def test_weights_for_bgr_answer_rgb_alike(self) -> None:
        net = tiny()
        published = {name: value.clone() for name, value in net.state_dict().items()}
        with torch.no_grad():
            expected = net(pictures().flip(1))[-1].fusion
            net.load_state_dict(rgb_from_bgr(published), strict=True)
            assert_allclose(net(pictures())[-1].fusion, expected, rtol=1e-9, atol=1e-12)
        twice = rgb_from_bgr(rgb_from_bgr(published))
        assert all(torch.equal(twice[name], value) for name, value in published.items())

    def test_sizes_other_than_square_powers_of_two(self) -> None:
        with torch.no_grad():
            maps = tiny()(torch.zeros(1, 3, 48, 80, dtype=torch.float64))
        assert maps[0].heatmaps.shape == (1, 29, 12, 20)

    def test_what_is_unknown_or_contradicts_is_refused(self) -> None:
        with pytest.raises(ValueError, match="one of instance_norm_relu, none, got 'relu'"):
            StackedHourglass("cofw29", 1, 1, 8, activation="relu")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="one of multiply, add_log, none, got 'add'"):
            StackedHourglass("cofw29", 1, 1, 8, masking="add")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="'add_log' is for logits"):
            StackedHourglass("cofw29", 1, 1, 8, "instance_norm_relu", "add_log")
        with pytest.raises(ValueError, match="unknown landmark scheme 'wflw'"):
            StackedHourglass("wflw")


def _moves(parameter: Tensor) -> bool:
    return parameter.grad is not None and parameter.grad.abs().max().item() > 1e-10
