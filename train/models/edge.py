"""The small stacked hourglass: depthwise-separable residual blocks, for CPUs and small GPUs.

Newell et al., ECCV 2016, for the hourglass; Howard et al., 2017 (MobileNet), for the separable convolution. Blocks
end in addition and ReLU so that an engine fuses convolution, BatchNorm, addition and ReLU into one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.models.heads import Placed
from train.models.layers import conv_bn


class SeparableResidual(nn.Module):
    """Two depthwise-separable 3x3 convolutions and a skip: (N, C, H, W) to the same."""

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
        return functional.relu(x + self.body(x))


class BottleneckResidual(nn.Module):
    """1x1 to half the channels, dense 3x3, 1x1 back, and a skip: (N, C, H, W) to the same."""

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
        return functional.relu(x + self.body(x))


BLOCKS = {"separable": SeparableResidual, "bottleneck": BottleneckResidual}


class Hourglass(nn.Module):
    """One level: a skip at this size, and everything below it at half the size, rounded up. channels: from this level
    down."""

    def __init__(self, channels: Sequence[int], block: type[nn.Module]) -> None:
        super().__init__()
        here, below = channels[:2]
        self.skip = block(here)
        self.down = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), *_widen(here, below), block(below))
        self.inner = Hourglass(channels[1:], block) if len(channels) > 2 else nn.Sequential(block(below), block(below))
        self.up = nn.Sequential(block(below), *_widen(below, here))

    def forward(self, x: Tensor) -> Tensor:
        low = functional.interpolate(self.up(self.inner(self.down(x))), scale_factor=2.0, mode="nearest")
        height, width = (int(side) for side in x.shape[2:])  # constants of an exported graph
        if low.shape[2:] != x.shape[2:]:  # of an odd side the last cell below covers one cell, not two
            low = low[:, :, :height, :width]
        total: Tensor = self.skip(x) + low
        return total


def _widen(inputs: int, outputs: int) -> list[nn.Module]:
    return [] if inputs == outputs else [conv_bn(inputs, outputs)]


class EdgeHourglass(nn.Module):
    """Pictures (N, 3, S, S) in [-1, 1] to one list entry a stack: maps (N, landmarks, S / stride, S / stride).

    channels: by level of the hourglass, the map's own level first. stacks: hourglasses in a row, each refining the
    one before. block: "separable" or "bottleneck". stride: 4, or 2 for maps of half the picture's side. place: a head
    of train.models.heads for channels[0] features, reading the last stack's; then the answer is Placed.
    """

    def __init__(
        self,
        landmarks: int = 68,
        channels: Sequence[int] = (64, 64, 64, 64),
        stacks: int = 2,
        stem: int = 32,
        block: str = "separable",
        stride: int = 4,
        place: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(BLOCKS)}, got {block!r}")
        if stride not in (2, 4):
            raise ValueError(f"stride must be 2 or 4, got {stride}")
        self.stride = stride
        width, make = channels[0], BLOCKS[block]
        self.stem = nn.Sequential(
            conv_bn(3, stem, 3, stride=2),
            nn.ReLU(inplace=True),
            conv_bn(stem, stem, 3, stride=stride // 2, groups=stem),
            conv_bn(stem, width),
            nn.ReLU(inplace=True),
            make(width),
        )
        self.hourglasses = nn.ModuleList(Hourglass(channels, make) for _ in range(stacks))
        self.features = nn.ModuleList(
            nn.Sequential(conv_bn(width, width), nn.ReLU(inplace=True)) for _ in range(stacks)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, landmarks, 1) for _ in range(stacks))
        self.merge_features = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.merge_heads = nn.ModuleList(nn.Conv2d(landmarks, width, 1) for _ in range(stacks - 1))
        self.place = place

    def forward(self, x: Tensor) -> list[Tensor] | Placed:
        x = self.stem(x)
        maps: list[Tensor] = []
        for i, hourglass in enumerate(self.hourglasses):
            features = self.features[i](hourglass(x))
            maps.append(self.heads[i](features))
            if i < len(self.merge_features):
                x = x + self.merge_features[i](features) + self.merge_heads[i](maps[i])
        return maps if self.place is None else Placed(maps, self.place(features))

    def fused(self) -> FusedEdgeHourglass:
        """The same net for inference: the last stack's maps only."""
        return FusedEdgeHourglass(self)


class FusedEdgeHourglass(nn.Module):
    """Pictures (N, 3, S, S) to the last stack's maps, as Placed where there is a head; what only training needs is
    folded away.

    Between stacks the features go through two linear paths, one of them by way of the maps: as no map but the last
    is asked for, they are one 1x1 convolution.
    """

    def __init__(self, net: EdgeHourglass) -> None:
        super().__init__()
        self.stem, self.hourglasses, self.features, self.head = net.stem, net.hourglasses, net.features, net.heads[-1]
        self.place = net.place
        self.merges = nn.ModuleList(
            _sum_of_paths(*convolutions)  # type: ignore[arg-type]
            for convolutions in zip(net.merge_features, net.heads, net.merge_heads, strict=False)
        )

    def forward(self, x: Tensor) -> Tensor | Placed:
        x = self.stem(x)
        features = x
        for i, hourglass in enumerate(self.hourglasses):
            features = self.features[i](hourglass(x))
            if i < len(self.merges):
                x = x + self.merges[i](features)
        maps: Tensor = self.head(features)
        return maps if self.place is None else Placed([maps], self.place(features))


def _sum_of_paths(direct: nn.Conv2d, head: nn.Conv2d, back: nn.Conv2d) -> nn.Conv2d:
    """The 1x1 convolution that equals direct(x) + back(head(x))."""
    merged = nn.Conv2d(direct.in_channels, direct.out_channels, 1)
    back_weight = back.weight[:, :, 0, 0]
    weight = direct.weight[:, :, 0, 0] + back_weight @ head.weight[:, :, 0, 0]
    with torch.no_grad():
        merged.weight.copy_(weight[:, :, None, None])
        merged.bias.copy_(direct.bias + back.bias + back_weight @ head.bias)  # type: ignore[union-attr, operator]
    return merged
