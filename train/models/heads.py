"""Heads that say where in its cell a landmark lies, behind a net's last features.

Those of HIH and of the offsets that it is compared with (Lan et al., HIH; the layers as their code has them). Each has
a kind: the decoder of train.codecs.reading that reads its answer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from train.codecs.reading import HeadName
from train.models.layers import conv_bn, conv_bn_relu

WIDTH = 384
OFFSET_WIDTH = 144  # of the offset heads on HIH's hourglass: 1 % fewer multiplications than in Table VI, as HIH-T has
DEVIATION = 0.001  # of a convolution's weights before training


class WithHead(NamedTuple):
    """The output of a net with a head.

    Attributes:
        stacks: maps (N, K, H, W) of every stack; of the last one alone if the net is fused.
        head_output: the head's answer.
    """

    stacks: list[Tensor]
    head_output: Tensor


class DownBlock(nn.Module):
    """ResNet's basic block of stride 2.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn_relu(channels, channels, 3, 2), conv_bn(channels, channels, 3))
        self.skip = conv_bn(channels, channels, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, C, ceil(H / 2), ceil(W / 2)) of features (N, C, H, W)."""
        return functional.relu(self.body(x) + self.skip(x))


class DecimalHead(nn.Sequential):
    """Maps features (N, features, cells, cells) to decimal maps (N, landmarks, decimals, decimals).

    1x1 to the width, pooled to about half, as many blocks as halve it to decimals (two from 64 cells to 8), 1x1, 1x1.

    Args:
        features: channels of the input.
        landmarks: how many.
        cells: side of the input.
        decimals: side of the decimal maps.
        width: channels inside.

    Raises:
        ValueError: if cells is not decimals times 4, 8, 16 ...: the pooling leaves one less than half.
    """

    kind: HeadName = "decimals"

    def __init__(self, features: int, landmarks: int, cells: int = 64, decimals: int = 8, width: int = WIDTH) -> None:
        halvings = math.log2(cells / decimals)
        if halvings < 2 or halvings % 1:
            raise ValueError(f"cells must be decimals times 4, 8, 16 ..., got {cells} cells and {decimals} decimals")
        super().__init__(
            conv_bn_relu(features, width),
            nn.MaxPool2d(3, 2),
            *(DownBlock(width) for _ in range(int(halvings) - 1)),
            conv_bn_relu(width, width),
            nn.Conv2d(width, landmarks, 1),
        )
        start_small(self)


class Trunk(nn.Module):
    """The beginning of both offset heads.

    Args:
        features: channels of the input.
        width: channels of the output.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn_relu(features, width), conv_bn_relu(width, width, 3), conv_bn_relu(width, width)
        )
        self.skip = conv_bn_relu(features, width) if features != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, width, H, W) of features (N, features, H, W)."""
        total: Tensor = self.body(x) + self.skip(x)
        return total


class OffsetVectorHead(nn.Sequential):
    """Maps features (N, features, H, W) to offsets (N, landmarks, 2) by a fully connected layer: WOV.

    Args:
        features: channels of the input.
        landmarks: how many.
        width: channels inside.
    """

    kind: HeadName = "vector"

    def __init__(self, features: int, landmarks: int, width: int = WIDTH) -> None:
        super().__init__(
            Trunk(features, width),
            conv_bn_relu(width, width),
            nn.MaxPool2d(3, 2),
            conv_bn_relu(width, width, 3, 2),
            conv_bn_relu(width, 2 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, 2 * landmarks),
            nn.Unflatten(1, (landmarks, 2)),
        )
        start_small(self)


class OffsetMapHead(nn.Sequential):
    """Maps features (N, features, H, W) to one offset map (N, 2, H, W) for all landmarks: WOM.

    Args:
        features: channels of the input.
        width: channels inside.
    """

    kind: HeadName = "map"

    def __init__(self, features: int, width: int = WIDTH) -> None:
        super().__init__(Trunk(features, width), conv_bn_relu(width, width), nn.Conv2d(width, 2, 1))
        start_small(self)


class PooledHead(nn.Sequential):
    """Maps features (N, features, H, W) to offsets (N, landmarks, 2): a global average and a fully connected layer.

    Bulat et al., BMVC 2021, section 4.1 ("coord-correction"), after DeepCut (Pishchulin et al., CVPR 2016).

    Args:
        features: channels of the input.
        landmarks: how many.
    """

    kind: HeadName = "vector"

    def __init__(self, features: int, landmarks: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(features, 2 * landmarks),
            nn.Unflatten(1, (landmarks, 2)),
        )


def make_head(kind: HeadName, features: int, landmarks: int, cells: int, decimals: int) -> nn.Module:
    """Make HIH's head of a kind.

    The width of the offset heads is not published; OFFSET_WIDTH is what their published multiplications leave.

    Args:
        kind: of the head.
        features: channels of the input.
        landmarks: how many.
        cells: side of the maps.
        decimals: side of the decimal maps.

    Raises:
        ValueError: as DecimalHead.
    """
    if kind == "decimals":
        return DecimalHead(features, landmarks, cells, decimals)
    if kind == "vector":
        return OffsetVectorHead(features, landmarks, OFFSET_WIDTH)
    return OffsetMapHead(features, OFFSET_WIDTH)


def start_small(net: nn.Module) -> None:
    """Set the weights of convolutions and linear layers to HIH's before training."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=DEVIATION)
