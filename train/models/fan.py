"""FAN, the face alignment network, of which Subpixel trains two stacks (Bulat et al., BMVC 2021, section 5.1).

Bulat & Tzimiropoulos, ICCV 2017, for stacked hourglasses of hierarchical blocks. Layers, their order and their biases
are those of FAN's public PyTorch code, which pools by averages throughout; only the names are this project's.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.models.heads import PooledHead
from train.models.hourglass import Affine
from train.models.stacks import FusedStacks, Stacks

WIDTH = 256
LEVELS = 4


class Preactivated(nn.Sequential):
    """BatchNorm, ReLU and a convolution that keeps the size: (N, inputs, H, W) to (N, outputs, H, W).

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the convolution, odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        super().__init__(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), convolution)


class HierarchicalBlock(nn.Module):
    """Three 3x3 convolutions in a row, whose outputs are concatenated and added to a skip.

    The outputs have a half, a quarter and a quarter of the channels; the skip is a 1x1 if the width changes.

    Args:
        inputs: channels.
        outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.first = Preactivated(inputs, half, 3)
        self.second = Preactivated(half, quarter, 3)
        self.third = Preactivated(quarter, quarter, 3)
        self.skip = nn.Identity() if inputs == outputs else Preactivated(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, outputs, H, W) of features (N, inputs, H, W)."""
        first = self.first(x)
        second = self.second(first)
        total: Tensor = torch.cat([first, second, self.third(second)], 1) + self.skip(x)
        return total


class Hourglass(nn.Module):
    """One level, and everything below it at half the size.

    Args:
        levels: from this one down.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.skip, self.down, self.up = (HierarchicalBlock(WIDTH, WIDTH) for _ in range(3))
        self.inner = Hourglass(levels - 1) if levels > 1 else HierarchicalBlock(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, 256, H, W) of features (N, 256, H, W), H and W even."""
        low = self.up(self.inner(self.down(functional.avg_pool2d(x, 2))))
        total: Tensor = self.skip(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")
        return total


class FanNet(Stacks):
    """Maps pictures (N, 3, S, S) in [-1, 1] to maps (N, landmarks, S / 4, S / 4) of each stack; S is a multiple of 64.

    The maps have no activation: Subpixel regresses heatmaps of peak 1 (train.codecs.subpixel).

    Args:
        landmarks: how many.
        stacks: hourglasses in a row, each refining the one before; FAN has 4, Subpixel 2.
        offsets: whether a PooledHead answers beside the maps; then the output is WithHead (Subpixel's Table 1,
            "coord-correction").

    Attributes:
        multiple_px: what S is a multiple of.
    """

    stride = 4
    multiple_px = stride * 2**LEVELS

    def __init__(self, landmarks: int = 68, stacks: int = 2, offsets: bool = False) -> None:
        super().__init__(
            nn.Sequential(
                *_normed(nn.Conv2d(3, WIDTH // 4, 7, stride=2, padding=3)),
                HierarchicalBlock(WIDTH // 4, WIDTH // 2),
                nn.AvgPool2d(2),
                HierarchicalBlock(WIDTH // 2, WIDTH // 2),
                HierarchicalBlock(WIDTH // 2, WIDTH),
            ),
            [Hourglass(LEVELS) for _ in range(stacks)],
            [
                nn.Sequential(HierarchicalBlock(WIDTH, WIDTH), *_normed(nn.Conv2d(WIDTH, WIDTH, 1)))
                for _ in range(stacks)
            ],
            WIDTH,
            landmarks,
            PooledHead(WIDTH, landmarks) if offsets else None,
        )

    def fused(self) -> FusedStacks:
        """Return the same net for inference: the last stack's maps only.

        A BatchNorm behind a convolution is folded into it when the graph is exported; those in front of one cannot be,
        and become Affine here.
        """
        net = copy.deepcopy(self)
        for module in net.modules():
            if isinstance(module, Preactivated):
                module[0] = Affine(module[0])  # type: ignore[arg-type]
        return FusedStacks(net)


def _normed(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
