"""The stacked hourglass with anisotropic attention of ADNet and STAR, which Yang & Yeh train without soft-argmax.

Newell et al., ECCV 2016, for the hourglass; Huang et al., ICCV 2021 (ADNet); Zhou et al., CVPR 2023 (STAR); Yang &
Yeh, ICCV 2025. It follows STAR's code, where the hourglass has 4 levels (STAR's paper says 3, which does not give its
parameters). Modules carry STAR's names, so that its published state_dict loads strictly.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from torch import Tensor, nn
from torch.nn import functional

from tracker.cli.suggestions import suggest
from tracker.face.schemes import scheme_named
from train.models.attention import AnisotropicAttention, Masking, fuse, linear_mean
from train.models.coord_conv import with_coordinates

Activation = Literal["instance_norm_relu", "none"]


class StackMaps(NamedTuple):
    """The output of one stack, for K landmarks and E curves on maps of H x W cells.

    Attributes:
        heatmaps: (N, K, H, W) after their activation, before the mask; they are given to the next stack.
        fusion: (N, K, H, W) the heatmaps under the mask; losses and decoders read them.
        points: (N, K, H, W) in [0, 1].
        edges: (N, E, H, W) in [0, 1], in the order of the scheme's curves.
        coordinates: (N, K, 2) (x, y) in [-1, 1], linear_mean of fusion; None for logits, which have no such mean.
    """

    heatmaps: Tensor
    fusion: Tensor
    points: Tensor
    edges: Tensor
    coordinates: Tensor | None


class Residual(nn.Module):
    """BatchNorm, ReLU and convolution, three times (1x1 to half the channels, 3x3, 1x1), and a skip.

    As in STAR, skip_layer is made even if the skip needs no convolution; it is frozen then, because training over
    several processes refuses parameters that never get a gradient.

    Args:
        inputs: channels.
        outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.bn1: nn.Module = nn.BatchNorm2d(inputs)
        self.conv1 = _named(conv=nn.Conv2d(inputs, middle, 1))
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv2 = _named(conv=nn.Conv2d(middle, middle, 3, padding=1))
        self.bn3 = nn.BatchNorm2d(middle)
        self.conv3 = _named(conv=nn.Conv2d(middle, outputs, 1))
        self.widens = inputs != outputs
        self.skip_layer = _named(conv=nn.Conv2d(inputs, outputs, 1)).requires_grad_(self.widens)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, outputs, H, W) of features (N, inputs, H, W)."""
        y = self.conv1(functional.relu(self.bn1(x), inplace=True))
        y = self.conv2(functional.relu(self.bn2(y), inplace=True))
        y = self.conv3(functional.relu(self.bn3(y), inplace=True))
        total: Tensor = y + (self.skip_layer(x) if self.widens else x)
        return total


class Affine(nn.Module):
    """What a trained BatchNorm does: a factor and a summand for each channel of (N, C, H, W).

    Args:
        norm: the BatchNorm.
    """

    factor: Tensor
    summand: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        factor = norm.weight.detach() / (variance + norm.eps).sqrt()
        self.register_buffer("factor", factor[:, None, None])
        self.register_buffer("summand", (norm.bias.detach() - mean * factor)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, C, H, W) of features (N, C, H, W)."""
        return x * self.factor + self.summand


class Hourglass(nn.Module):
    """A skip at this size, and everything below it at half the size.

    Args:
        levels: from this one down.
        width: channels.
    """

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.up1 = Residual(width, width)
        self.low1 = Residual(width, width)
        self.low2 = Hourglass(levels - 1, width) if levels > 1 else Residual(width, width)
        self.low3 = Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, width, H, W) of features (N, width, H, W); H and W are multiples of 2^levels."""
        low = self.low3(self.low2(self.low1(functional.max_pool2d(x, 2))))
        total: Tensor = self.up1(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")
        return total


class CoordHourglass(Hourglass):
    """An hourglass whose input is first mixed with its coordinates.

    Args:
        levels: as in Hourglass.
        width: as in Hourglass.
        planes: of coordinates: 3, or 5 with a gate.
    """

    def __init__(self, levels: int, width: int, planes: int) -> None:
        super().__init__(levels, width)
        self.coordconv = _named(conv=nn.Conv2d(width + planes, width, 1))

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Return features (N, width, H, W) of features (N, width, H, W) and a gate (N, 1, H, W), or None."""
        return super().forward(self.coordconv(with_coordinates(x, gate)))


class StackedHourglass(nn.Module):
    """Maps pictures (N, 3, S, S) RGB in [-1, 1] to StackMaps of every stack, with maps of S / 4 cells.

    STAR's weights: activation "instance_norm_relu", masking "multiply" and load_state_dict(rgb_from_bgr(weights)),
    where weights = torch.load(path)["net"].

    Args:
        scheme: name of the landmark scheme; each of its curves is an edge map.
        stacks: hourglasses in a row, each refining the one before.
        levels: halvings in an hourglass; S is a multiple of 4 * 2^levels.
        width: channels.
        activation: of the heatmaps. "instance_norm_relu" is ADNet's and STAR's, "none" Yang & Yeh's raw logits.
        masking: how the attention mask enters, see attention.fuse: "multiply" in ADNet and STAR, open in Yang & Yeh.

    Attributes:
        multiple_px: what S is a multiple of.

    Raises:
        ValueError: for an unknown scheme, activation or masking, and for add_log on maps that are no logits.
    """

    def __init__(
        self,
        scheme: str = "wflw98",
        stacks: int = 4,
        levels: int = 4,
        width: int = 256,
        activation: Activation = "none",
        masking: Masking = "none",
    ) -> None:
        super().__init__()
        _refuse_unknown(activation, masking)
        self.stride = 4
        self.multiple_px = self.stride * 2**levels
        self.activation: Activation = activation
        self.masking: Masking = masking
        face = scheme_named(scheme)
        points, edges = face.count, len(face.curves)
        self.e2h_transform = AnisotropicAttention(points, face.curves)
        self.pre = nn.Sequential(
            _normed(nn.Conv2d(3 + 3, width // 4, 7, stride=2, padding=3)),
            Residual(width // 4, width // 2),
            nn.MaxPool2d(2),
            Residual(width // 2, width // 2),
            Residual(width // 2, width),
        )
        self.hgs = nn.ModuleList(CoordHourglass(levels, width, 5 if i else 3) for i in range(stacks))
        self.features = nn.ModuleList(
            nn.Sequential(Residual(width, width), _normed(nn.Conv2d(width, width, 1))) for _ in range(stacks)
        )
        self.out_heatmaps = _pointwise(width, points, stacks)
        self.out_pointmaps = _pointwise(width, points, stacks)
        self.out_edgemaps = _pointwise(width, edges, stacks)
        self.merge_features = _pointwise(width, width, stacks - 1)
        self.merge_heatmaps = _pointwise(points, width, stacks - 1)
        self.merge_pointmaps = _pointwise(points, width, stacks - 1)
        self.merge_edgemaps = _pointwise(edges, width, stacks - 1)

    def forward(self, pictures: Tensor) -> list[StackMaps]:
        """Return the maps of every stack, the last one the best, of pictures (N, 3, S, S)."""
        x = self.pre(with_coordinates(pictures))
        maps: list[StackMaps] = []
        for i, hourglass in enumerate(self.hgs):
            # STAR's code calls the gate a boundary, but reads the last landmark's heatmap.
            gate = maps[-1].heatmaps[:, -1:] > 0.05 if maps else None
            features = self.features[i](hourglass(x, gate))
            maps.append(self._heads(i, features))
            if i < len(self.merge_features):
                x = x + self.merge_features[i](features) + self._merged_maps(i, maps[-1])
        return maps

    def _heads(self, i: int, features: Tensor) -> StackMaps:
        heatmaps = self.out_heatmaps[i](features)
        if self.activation == "instance_norm_relu":
            heatmaps = functional.relu(functional.instance_norm(heatmaps))
        points, edges = self.out_pointmaps[i](features).sigmoid(), self.out_edgemaps[i](features).sigmoid()
        fusion = fuse(heatmaps, self.e2h_transform(edges, points), self.masking)
        return StackMaps(heatmaps, fusion, points, edges, None if self.activation == "none" else linear_mean(fusion))

    def _merged_maps(self, i: int, maps: StackMaps) -> Tensor:
        total: Tensor = (
            self.merge_heatmaps[i](maps.heatmaps)
            + self.merge_pointmaps[i](maps.points)
            + self.merge_edgemaps[i](maps.edges)
        )
        return total

    def fused(self) -> LastStack:
        """Return the same net for inference: the last stack's fusion only."""
        return LastStack(self)


class LastStack(nn.Module):
    """StackedHourglass for inference.

    Its maps are logits, unless the net's activation is "instance_norm_relu": those maps are read by linear_mean, not by
    a softmax. A BatchNorm behind a convolution is folded into it when the graph is exported; those in front of one
    cannot be, and become Affine here.

    Args:
        net: the trained net.
    """

    def __init__(self, net: StackedHourglass) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        for module in self.net.modules():
            if isinstance(module, Residual):
                module.bn1 = Affine(module.bn1)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the last stack's fusion (N, K, S / 4, S / 4) of pictures (N, 3, S, S)."""
        last: StackMaps = self.net(pictures)[-1]
        return last.fusion


def rgb_from_bgr(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state_dict for RGB pictures from STAR's, which is for BGR; the rest of the input convention is the same.

    Only the first convolution sees colours; the coordinates behind them stay where they are.

    Args:
        weights: STAR's state_dict.
    """
    first = "pre.0.conv.weight"
    return {**weights, first: weights[first][:, [2, 1, 0, 3, 4, 5]]}


def _named(**steps: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(steps))


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    return _named(conv=convolution, bn=nn.BatchNorm2d(convolution.out_channels), relu=nn.ReLU(inplace=True))


def _pointwise(inputs: int, outputs: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(_named(conv=nn.Conv2d(inputs, outputs, 1)) for _ in range(count))


def _refuse_unknown(activation: str, masking: str) -> None:
    for name, value, known in (
        ("activation", activation, get_args(Activation)),
        ("masking", masking, get_args(Masking)),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}{suggest(value, known)}")
    if (activation, masking) == ("instance_norm_relu", "add_log"):
        raise ValueError("masking 'add_log' is for logits; with activation 'instance_norm_relu' use 'multiply'")
