"""The nets of heatmap in heatmap: stacked hourglasses with a head (Lan et al., HIH; layers as in their code).

1, 2 and 4 stacks with a decimal head are HIH-T, HIH-S and HIH-B: 10.366, 14.469 and 22.677 M parameters for the 98
landmarks of WFLW. Of these 0.94, 1.87 and 3.72 M never act: each block owns a skip convolution, used only where the
width changes. They are kept, as the published counts and checkpoints have them. The solutions that HIH compares itself
with (Tables V and VI) are the same hourglass with another head, or, of 280 channels, without one.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from train.codecs.reading import HeadName
from train.models.heads import WithHead, make_head, start_small
from train.models.layers import conv_bn, conv_bn_relu

WIDTH = 256
LEVELS = 4


class Residual(nn.Module):
    """A bottleneck whose ReLU comes last: (N, inputs, H, W) to (N, outputs, H, W).

    A skip that is not needed is frozen: training over several processes refuses parameters that never get a gradient.

    Args:
        inputs: channels.
        outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.body = nn.Sequential(conv_bn_relu(inputs, half), conv_bn_relu(half, half, 3), conv_bn(half, outputs))
        self.widens = inputs != outputs
        self.skip = conv_bn(inputs, outputs).requires_grad_(self.widens)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, outputs, H, W) of features (N, inputs, H, W)."""
        return functional.relu(self.body(x) + (self.skip(x) if self.widens else x))


class Hourglass(nn.Module):
    """One level, and everything below it at half the size.

    Args:
        levels: from this one down.
        width: channels.
    """

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.skip, self.down, self.up = (Residual(width, width) for _ in range(3))
        self.inner = Hourglass(levels - 1, width) if levels > 1 else Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, width, H, W) of features (N, width, H, W)."""
        low = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        total: Tensor = self.skip(x) + functional.interpolate(
            low, scale_factor=2.0, mode="bilinear", align_corners=True
        )
        return total


class Stack(nn.Module):
    """One hourglass with its maps, and what it passes on to the next.

    Args:
        landmarks: how many.
        width: channels.
    """

    def __init__(self, landmarks: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(Hourglass(LEVELS, width), Residual(width, width), conv_bn_relu(width, width))
        self.maps = nn.Conv2d(width, landmarks, 1)
        self.merge_features, self.merge_maps = conv_bn_relu(width, width), conv_bn_relu(landmarks, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return this stack's maps (N, K, H, W), and the features (N, width, H, W) of what follows it."""
        features = self.features(x)
        maps: Tensor = self.maps(features)
        return maps, x + self.merge_features(features) + self.merge_maps(maps)


class HihNet(nn.Module):
    """Pictures (N, 3, S, S) to WithHead, or to the maps of every stack where there is no head.

    Args:
        landmarks: K.
        stacks: Hourglasses in a row: 1, 2 and 4 are HIH-T, S and B.
        size: S, a multiple of 64; it sets how often the decimal head halves.
        decimals: Cells along a side of a decimal map. S / 4 is this times a power of two.
        width: Channels. 256; the baseline without a head has 280 in the paper (section IV-D).
        cell_head: "decimals" is HIH's own, "vector" WOV's, "map" WOM's, None that of the baseline, WSM and DARK.

    Attributes:
        multiple_px: what S is a multiple of.

    Raises:
        ValueError: The decimal head does not fit, as train.models.heads.DecimalHead says.
    """

    stride = 4
    multiple_px = stride * 2**LEVELS

    def __init__(
        self,
        landmarks: int = 68,
        stacks: int = 4,
        size: int = 256,
        decimals: int = 8,
        width: int = WIDTH,
        cell_head: HeadName | None = "decimals",
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn_relu(3, width // 4, 7, 2),
            Residual(width // 4, width // 2),
            nn.MaxPool2d(2),
            Residual(width // 2, width // 2),
            Residual(width // 2, width),
        )
        self.stacks = nn.ModuleList(Stack(landmarks, width) for _ in range(stacks))
        start_small(self)
        self.cell_head = make_head(cell_head, width, landmarks, size // self.stride, decimals) if cell_head else None
        if cell_head is None:  # nothing reads what the last stack would merge
            last = self.stacks[-1]
            last.merge_features.requires_grad_(False)
            last.merge_maps.requires_grad_(False)

    def forward(self, x: Tensor) -> WithHead | list[Tensor]:
        """Return WithHead, or the maps of every stack without a head, of pictures (N, 3, S, S)."""
        x, stacks = self.stem(x), []
        for stack in self.stacks:
            maps, x = stack(x)
            stacks.append(maps)
        return stacks if self.cell_head is None else WithHead(stacks, self.cell_head(x))

    def fused(self) -> FusedHih:
        """Return the same net for inference: the last stack's maps and the head's answer."""
        return FusedHih(self)


class FusedHih(nn.Module):
    """HihNet for inference.

    Args:
        net: the trained net.
    """

    def __init__(self, net: HihNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> WithHead | Tensor:
        """Return the last stack's maps, as WithHead if there is a head, of pictures (N, 3, S, S)."""
        output = self.net(x)
        if isinstance(output, WithHead):
            return WithHead(output.stacks[-1:], output.head_output)
        maps: Tensor = output[-1]
        return maps
