"""The nets of heatmap in heatmap: stacked hourglasses with a decimal head (Lan et al., HIH; layers as in their code).

1, 2 and 4 stacks are HIH-T, HIH-S and HIH-B: 10.366, 14.469 and 22.677 M parameters for the 98 landmarks of WFLW. Of
these 0.94, 1.87 and 3.72 M never act: each block owns a skip convolution, used only where the width changes. They
are kept, as the published counts and checkpoints have them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from train.models.heads import DecimalHead, Placed, start_small
from train.models.layers import conv_bn, conv_bn_relu

WIDTH = 256
LEVELS = 4


class Residual(nn.Module):
    """A bottleneck whose ReLU comes last: (N, inputs, H, W) to (N, outputs, H, W).

    A skip that is not needed is frozen: training over several processes refuses parameters that never get a gradient.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.body = nn.Sequential(conv_bn_relu(inputs, half), conv_bn_relu(half, half, 3), conv_bn(half, outputs))
        self.widens = inputs != outputs
        self.skip = conv_bn(inputs, outputs).requires_grad_(self.widens)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + (self.skip(x) if self.widens else x))


class Hourglass(nn.Module):
    """One level, and everything below it at half the size: (N, 256, H, W) to the same."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.skip, self.down, self.up = (Residual(WIDTH, WIDTH) for _ in range(3))
        self.inner = Hourglass(levels - 1) if levels > 1 else Residual(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        total: Tensor = self.skip(x) + functional.interpolate(
            low, scale_factor=2.0, mode="bilinear", align_corners=True
        )
        return total


class Stack(nn.Module):
    """Features (N, 256, H, W) to this stack's maps (N, K, H, W), and to the features of what follows it."""

    def __init__(self, landmarks: int) -> None:
        super().__init__()
        self.features = nn.Sequential(Hourglass(LEVELS), Residual(WIDTH, WIDTH), conv_bn_relu(WIDTH, WIDTH))
        self.maps = nn.Conv2d(WIDTH, landmarks, 1)
        self.merge_features, self.merge_maps = conv_bn_relu(WIDTH, WIDTH), conv_bn_relu(landmarks, WIDTH)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        maps: Tensor = self.maps(features)
        return maps, x + self.merge_features(features) + self.merge_maps(maps)


class HihNet(nn.Module):
    """Pictures (N, 3, S, S) to Placed; S is a multiple of 64, and S / 4 is decimals times a power of two.

    size: S, which sets how often the decimal head halves. Raises ValueError as train.models.heads.DecimalHead.
    """

    stride = 4

    def __init__(self, landmarks: int = 68, stacks: int = 4, size: int = 256, decimals: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn_relu(3, WIDTH // 4, 7, 2),
            Residual(WIDTH // 4, WIDTH // 2),
            nn.MaxPool2d(2),
            Residual(WIDTH // 2, WIDTH // 2),
            Residual(WIDTH // 2, WIDTH),
        )
        self.stacks = nn.ModuleList(Stack(landmarks) for _ in range(stacks))
        start_small(self)
        self.place = DecimalHead(WIDTH, landmarks, size // self.stride, decimals)

    def forward(self, x: Tensor) -> Placed:
        x, stacks = self.stem(x), []
        for stack in self.stacks:
            maps, x = stack(x)
            stacks.append(maps)
        return Placed(stacks, self.place(x))

    def fused(self) -> FusedHih:
        """The same net for inference: the last stack's maps and the decimal maps."""
        return FusedHih(self)


class FusedHih(nn.Module):
    """Pictures (N, 3, S, S) to Placed of the last stack alone."""

    def __init__(self, net: HihNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Placed:
        stacks, places = self.net(x)
        return Placed(stacks[-1:], places)
