"""The small hourglass: shapes, its parts, and the size of the committed one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from train.models.edge import BLOCKS, EdgeHourglass, Hourglass


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("stacks", [1, 2, 3])
@pytest.mark.parametrize("channels", [(8, 8), (8, 12, 16), (16, 16, 24, 24)])
@pytest.mark.parametrize("stride", [2, 4])
def test_one_map_of_logits_a_stack(block: str, stacks: int, channels: tuple[int, ...], stride: int) -> None:
    net = EdgeHourglass(landmarks=5, channels=channels, stacks=stacks, stem=8, block=block, stride=stride).eval()
    maps = net(torch.zeros(2, 3, 64, 64))
    assert [m.shape for m in maps] == [(2, 5, 64 // stride, 64 // stride)] * stacks
    assert net.stride == stride


@pytest.mark.parametrize("side", [112, 52, 36])
def test_sides_that_do_not_halve_evenly(side: int) -> None:
    """28 cells are 14, 7 and 4 of the levels below: the last cell below covers one cell of an odd side."""
    torch.manual_seed(0)
    net = EdgeHourglass(landmarks=5, channels=(8, 8, 8, 8), stacks=1, stem=8).eval()
    picture = torch.randn(1, 3, side, side)
    maps = net(picture)[0]
    assert maps.shape == (1, 5, side // 4, side // 4)
    torch.testing.assert_close(net.fused()(picture), maps, rtol=1e-4, atol=1e-5)


def test_an_odd_side_is_an_even_one_of_which_the_rest_is_not_seen() -> None:
    """What lies beyond the border is never the greater: after a ReLU, the cells of an odd side pool as with zeros."""
    level = Hourglass((4, 4), BLOCKS["bottleneck"]).eval()
    for part in ("skip", "inner", "up"):
        setattr(level, part, nn.Identity())
    level.down = nn.Sequential(level.down[0])
    odd = torch.rand(1, 4, 7, 7)
    even = nn.functional.pad(odd, (0, 1, 0, 1))
    assert torch.equal(level(odd), level(even)[:, :, :7, :7])


def test_logits_are_not_squashed() -> None:
    torch.manual_seed(0)
    maps = EdgeHourglass(landmarks=9, channels=(8, 8), stem=8)(torch.randn(4, 3, 32, 32))
    assert all(m.min() < 0 < m.max() for m in maps)


def test_unknown_block_or_stride_names_the_known() -> None:
    with pytest.raises(ValueError, match="one of separable, bottleneck, got 'dense'"):
        EdgeHourglass(block="dense")
    with pytest.raises(ValueError, match="stride must be 2 or 4, got 3"):
        EdgeHourglass(stride=3)


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    net = EdgeHourglass(landmarks=3, channels=(8, 12, 8), stacks=2, stem=8, block="bottleneck")
    torch.stack(net(torch.randn(2, 3, 32, 32))).square().sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_last_stack_refines_the_first() -> None:
    """A change of the first stack's maps alone reaches the second's: the maps are fed back."""
    torch.manual_seed(0)
    net = EdgeHourglass(landmarks=3, channels=(8, 8), stacks=2, stem=8).eval()
    picture = torch.randn(1, 3, 32, 32)
    before = net(picture)
    bias = net.heads[0].bias
    assert isinstance(bias, Tensor)
    bias.data += 1
    after = net(picture)
    assert torch.allclose(after[0], before[0] + 1, atol=1e-5)
    assert (after[1] - before[1]).abs().max() > 0.01 * before[1].abs().max()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("stacks", [1, 2, 3])
def test_fused_answers_as_the_last_stack(block: str, stacks: int) -> None:
    torch.manual_seed(0)
    net = EdgeHourglass(landmarks=7, channels=(8, 12, 8), stacks=stacks, stem=8, block=block)
    net(torch.randn(4, 3, 32, 32))  # so that the BatchNorms have seen something
    pictures = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected = net.eval()(pictures)[-1]
        torch.testing.assert_close(net.fused()(pictures), expected, rtol=1e-4, atol=1e-5)
    assert stacks == 1 or sum(p.numel() for p in net.fused().parameters()) < sum(p.numel() for p in net.parameters())


def test_a_picture_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    net = EdgeHourglass(landmarks=3, channels=(8, 8), stem=8).eval()
    pictures = torch.randn(3, 3, 32, 32)
    assert torch.allclose(net(pictures)[-1][1], net(pictures[1:2])[-1][0], atol=1e-5)


@pytest.mark.parametrize(
    ("block", "parameters"),
    [  # weights of the convolutions, and two numbers a channel of each BatchNorm
        ("separable", 2 * (9 * 16 + 16 * 16) + 4 * 2 * 16),
        ("bottleneck", 16 * 8 * 2 + 9 * 8 * 8 + 2 * (8 + 8 + 16)),
    ],
)
def test_size_of_a_block(block: str, parameters: int) -> None:
    made: nn.Module = BLOCKS[block](16)
    assert sum(p.numel() for p in made.parameters()) == parameters
