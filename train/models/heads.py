"""The decimal head of heatmap in heatmap (Lan et al., HIH; the layers as their code has them)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from train.models.edge import conv_bn

WIDTH = 384
DEVIATION = 0.001  # of a convolution's weights before training


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*conv_bn(inputs, outputs, kernel, stride), nn.ReLU(inplace=True))


class DownBlock(nn.Module):
    """ResNet's basic block of stride 2: (N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn_relu(channels, channels, 3, 2), conv_bn(channels, channels, 3))
        self.skip = conv_bn(channels, channels, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x))


class DecimalHead(nn.Sequential):
    """Features (N, features, cells, cells) to decimal maps (N, landmarks, decimals, decimals).

    1x1 to 384, pooled to about half, as many blocks as halve it to decimals (two from 64 cells to 8), 1x1, 1x1.
    Raises ValueError where cells is not decimals times 4, 8, 16 ...: the pooling leaves one less than half.
    """

    def __init__(self, features: int, landmarks: int, cells: int = 64, decimals: int = 8) -> None:
        halvings = math.log2(cells / decimals)
        if halvings < 2 or halvings % 1:
            raise ValueError(f"cells must be decimals times 4, 8, 16 ..., got {cells} cells and {decimals} decimals")
        super().__init__(
            conv_bn_relu(features, WIDTH),
            nn.MaxPool2d(3, 2),
            *(DownBlock(WIDTH) for _ in range(int(halvings) - 1)),
            conv_bn_relu(WIDTH, WIDTH),
            nn.Conv2d(WIDTH, landmarks, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=DEVIATION)
