"""The small stacked hourglass: depthwise-separable residual blocks, for CPUs and small GPUs.

Newell et al., ECCV 2016, for the hourglass; Howard et al., 2017 (MobileNet), for the separable convolution. Blocks
end in addition and ReLU so that an engine fuses convolution, BatchNorm, addition and ReLU into one step.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from tracker.cli.suggestions import suggest
from train.models.layers import conv_bn
from train.models.stacks import Stacks


class SeparableResidual(nn.Module):
    """Two depthwise-separable 3x3 convolutions and a skip.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(channels, channels, 3, groups=channels),
            conv_bn(channels, channels),
            nn.ReLU(inplace=True),
            conv_bn(channels, channels, 3, groups=channels),
            conv_bn(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, C, H, W) of features (N, C, H, W)."""
        return functional.relu(x + self.body(x))


class BottleneckResidual(nn.Module):
    """1x1 to half the channels, dense 3x3, 1x1 back, and a skip.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(channels, channels // 2),
            nn.ReLU(inplace=True),
            conv_bn(channels // 2, channels // 2, 3),
            nn.ReLU(inplace=True),
            conv_bn(channels // 2, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, C, H, W) of features (N, C, H, W)."""
        return functional.relu(x + self.body(x))


BLOCKS = {"separable": SeparableResidual, "bottleneck": BottleneckResidual}


class Hourglass(nn.Module):
    """One level: a skip at this size, and everything below it at half the size, rounded up.

    Args:
        channels: by level, from this level down.
        block: makes a residual block of so many channels.
    """

    def __init__(self, channels: Sequence[int], block: type[nn.Module]) -> None:
        super().__init__()
        here, below = channels[:2]
        self.skip = block(here)
        self.down = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), *_widen(here, below), block(below))
        self.inner = Hourglass(channels[1:], block) if len(channels) > 2 else nn.Sequential(block(below), block(below))
        self.up = nn.Sequential(block(below), *_widen(below, here))

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, C, H, W) of features (N, C, H, W)."""
        low = functional.interpolate(self.up(self.inner(self.down(x))), scale_factor=2.0, mode="nearest")
        height, width = (int(side) for side in x.shape[2:])  # constants of an exported graph
        if low.shape[2:] != x.shape[2:]:  # of an odd side the last cell below covers one cell, not two
            low = low[:, :, :height, :width]
        total: Tensor = self.skip(x) + low
        return total


def _widen(inputs: int, outputs: int) -> list[nn.Module]:
    return [] if inputs == outputs else [conv_bn(inputs, outputs)]


class EdgeHourglass(Stacks):
    """Maps pictures (N, 3, S, S) in [-1, 1] to maps (N, landmarks, S / stride, S / stride) of each stack.

    Args:
        landmarks: how many.
        channels: by level of the hourglass, the map's own level first.
        stacks: hourglasses in a row, each refining the one before.
        stem: channels of the first convolution.
        block: "separable" or "bottleneck".
        stride: 4, or 2 for maps of half the picture's side.
        cell_head: a head of train.models.heads for channels[0] features, reading the last stack's; then the output is
            WithHead.

    Raises:
        ValueError: for another block or stride.
    """

    def __init__(
        self,
        landmarks: int = 68,
        channels: Sequence[int] = (64, 64, 64, 64),
        stacks: int = 2,
        stem: int = 32,
        block: str = "separable",
        stride: int = 4,
        cell_head: nn.Module | None = None,
    ) -> None:
        if block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(BLOCKS)}, got {block!r}{suggest(block, BLOCKS)}")
        if stride not in (2, 4):
            raise ValueError(f"stride must be 2 or 4, got {stride}")
        width, make = channels[0], BLOCKS[block]
        super().__init__(
            nn.Sequential(
                conv_bn(3, stem, 3, stride=2),
                nn.ReLU(inplace=True),
                conv_bn(stem, stem, 3, stride=stride // 2, groups=stem),
                conv_bn(stem, width),
                nn.ReLU(inplace=True),
                make(width),
            ),
            [Hourglass(channels, make) for _ in range(stacks)],
            [nn.Sequential(conv_bn(width, width), nn.ReLU(inplace=True)) for _ in range(stacks)],
            width,
            landmarks,
            cell_head,
        )
        self.stride = stride
