"""HIH's nets: the published numbers of parameters, shapes, and the loss of their decimal maps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from train.codecs import hih
from train.codecs.reading import HeadName
from train.losses.classification import soft_classification_loss
from train.models.heads import DecimalHead, WithHead
from train.models.hih import HihNet, Residual

seeds = st.integers(0, 10**6)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("stacks", "published", "idle"), [(1, 10.366, 0.941), (2, 14.469, 1.866), (4, 22.677, 3.715)])
def test_has_the_published_number_of_parameters(stacks: int, published: float, idle: float) -> None:
    """Table I, in millions, for 98 landmarks; and those of them that never act."""
    with torch.device("meta"):
        net = HihNet(landmarks=98, stacks=stacks)
    assert round(parameters(net) / 1e6, 3) == published
    unused = [block.skip for block in net.modules() if isinstance(block, Residual) and not block.widens]
    assert round(sum(map(parameters, unused)) / 1e6, 3) == idle


def test_only_the_unused_skips_have_no_gradient() -> None:
    net = HihNet(landmarks=5, stacks=2, size=64, decimals=4)
    maps = net(torch.randn(2, 3, 64, 64))
    assert [tuple(one.shape) for one in maps.stacks] == [(2, 5, 16, 16)] * 2
    assert maps.head_output.shape == (2, 5, 4, 4)
    sum(one.sum() for one in (*maps.stacks, maps.head_output)).backward()  # type: ignore[union-attr]
    without = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert without == {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    blocks = [(name, block) for name, block in net.named_modules() if isinstance(block, Residual)]
    assert without == {f"{name}.skip.{p}" for name, b in blocks if not b.widens for p, _ in b.skip.named_parameters()}


@pytest.mark.parametrize(
    ("landmarks", "stacks", "head", "width", "published"),
    [
        (98, 1, "decimals", 256, 6.99),  # Table I, WFLW: HIH-T, S and B
        (98, 2, "decimals", 256, 10.38),
        (98, 4, "decimals", 256, 17.15),
        (68, 1, "decimals", 256, 6.93),  # Table VI, 300W: HIH, and what it is compared with
        (68, 1, None, 280, 6.67),  # the baseline
        (68, 1, "vector", 256, 6.91),  # WOV
        (68, 1, "map", 256, 6.85),  # WOM
    ],
)
def test_has_one_percent_fewer_multiplications_than_published(
    landmarks: int, stacks: int, head: HeadName | None, width: int, published: float
) -> None:
    """In 1e9. It is the same share for HIH, whose layers are known: so the widths 280 and 144 are the paper's."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter, torch.no_grad():
        HihNet(landmarks, stacks, width=width, cell_head=head).eval().fused()(torch.zeros(1, 3, 256, 256))
    assert counter.get_total_flops() / 2e9 / published == pytest.approx(0.99, abs=0.001)


@pytest.mark.parametrize("head", [None, "vector", "map"])
def test_every_parameter_of_the_other_solutions_learns(head: HeadName | None) -> None:
    net = HihNet(landmarks=5, stacks=2, size=64, width=32, cell_head=head)
    output = net(torch.randn(2, 3, 64, 64))
    maps = output.stacks if isinstance(output, WithHead) else output
    assert [tuple(one.shape) for one in maps] == [(2, 5, 16, 16)] * 2
    answers = [*maps, output.head_output] if isinstance(output, WithHead) else maps
    sum(one.square().sum() for one in answers).backward()  # type: ignore[union-attr]
    without = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert without == {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    last = net.eval().fused()(torch.zeros(1, 3, 64, 64))
    assert isinstance(last, WithHead) is bool(head)


class TestDecimalHead:
    @pytest.mark.parametrize(("cells", "decimals"), [(64, 4), (64, 8), (64, 16), (32, 8)])
    def test_halves_to_the_decimals(self, cells: int, decimals: int) -> None:
        head = DecimalHead(8, 3, cells, decimals).eval()
        assert head(torch.zeros(1, 8, cells, cells)).shape == (1, 3, decimals, decimals)

    @pytest.mark.parametrize(("cells", "decimals"), [(64, 64), (64, 128), (64, 10), (48, 8), (16, 8)])
    def test_refuses_what_it_cannot_halve_to(self, cells: int, decimals: int) -> None:
        with pytest.raises(ValueError, match=f"got {cells} cells and {decimals} decimals"):
            DecimalHead(8, 3, cells, decimals)


def slow_loss(maps: Tensor, target: Tensor) -> float:
    """One map, cell by cell, from Eq. 5."""
    p, q = ([math.exp(value) for value in one.flatten().tolist()] for one in (target, maps))
    p, q = [a / sum(p) for a in p], [a / sum(q) for a in q]
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(p)


class TestSoftClassification:
    @given(seeds)
    @settings(max_examples=20)
    def test_is_the_slow_one(self, seed: int) -> None:
        maps, target = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)).double()
        loss = soft_classification_loss(maps, target)
        assert loss.shape == (2, 3)
        for n in range(2):
            for k in range(3):
                assert loss[n, k].item() == pytest.approx(slow_loss(maps[n, k], target[n, k]))

    def test_is_torchs_divergence_by_the_mean_of_all_elements(self) -> None:
        """As HIH's code calls it."""
        maps, target = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        softmaxes = maps.flatten(2).log_softmax(-1), target.flatten(2).softmax(-1)
        expected = nn.functional.kl_div(softmaxes[0], softmaxes[1], reduction="none").mean()
        assert soft_classification_loss(maps, target).mean().item() == pytest.approx(expected.item(), rel=1e-4)

    def test_is_least_for_the_heatmap_itself_and_learns_it(self) -> None:
        points = torch.tensor([[20.3, 31.9], [40.7, 12.2]])
        _, target = hih.encode(points, 16, 4)
        assert soft_classification_loss(target + 3, target).tolist() == pytest.approx([0, 0], abs=1e-7)
        maps = torch.zeros_like(target, requires_grad=True)
        for _ in range(30):
            (gradient,) = torch.autograd.grad(soft_classification_loss(maps, target).sum(), maps)
            maps = (maps - 300 * gradient).detach().requires_grad_()
        assert torch.equal(maps.flatten(1).argmax(1), target.flatten(1).argmax(1))
