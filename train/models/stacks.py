"""Hourglasses in a row, each refining the one before (Newell et al., ECCV 2016), and what inference needs of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.models.heads import DEVIATION, WithHead


class Stacks(nn.Module):
    """Hourglasses in a row, with maps (N, landmarks, H, W) of each.

    Args:
        stem: maps pictures to features (N, width, H, W).
        hourglasses: of each stack, features to features.
        features: of each stack, features to features.
        width: channels.
        landmarks: how many.
        cell_head: a head of train.models.heads, reading the last stack's features; then the output is WithHead.
    """

    def __init__(
        self,
        stem: nn.Module,
        hourglasses: Sequence[nn.Module],
        features: Sequence[nn.Module],
        width: int,
        landmarks: int,
        cell_head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        stacks = len(hourglasses)
        self.stem, self.hourglasses, self.features = stem, nn.ModuleList(hourglasses), nn.ModuleList(features)
        self.heads = nn.ModuleList(_head(width, landmarks) for _ in range(stacks))
        self.merge_features = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.merge_heads = nn.ModuleList(nn.Conv2d(landmarks, width, 1) for _ in range(stacks - 1))
        self.cell_head = cell_head

    def forward(self, x: Tensor) -> list[Tensor] | WithHead:
        """Return the maps of every stack, as WithHead if there is a head, of pictures (N, 3, S, S)."""
        x = self.stem(x)
        maps: list[Tensor] = []
        for i, hourglass in enumerate(self.hourglasses):
            features = self.features[i](hourglass(x))
            maps.append(self.heads[i](features))
            if i < len(self.merge_features):
                x = x + self.merge_features[i](features) + self.merge_heads[i](maps[i])
        return maps if self.cell_head is None else WithHead(maps, self.cell_head(features))

    def fused(self) -> FusedStacks:
        """Return the same net for inference: the last stack's maps only."""
        return FusedStacks(self)


class FusedStacks(nn.Module):
    """Stacks for inference: what only training needs is folded away.

    Between stacks the features go through two linear paths, one of them by way of the maps: as no map but the last is
    needed, they are one 1x1 convolution.

    Args:
        net: the trained net.
    """

    def __init__(self, net: Stacks) -> None:
        super().__init__()
        self.stem, self.hourglasses, self.features, self.head = net.stem, net.hourglasses, net.features, net.heads[-1]
        self.cell_head = net.cell_head
        self.merges = nn.ModuleList(
            _sum_of_paths(*convolutions)  # type: ignore[arg-type]
            for convolutions in zip(net.merge_features, net.heads, net.merge_heads, strict=False)
        )

    def forward(self, x: Tensor) -> Tensor | WithHead:
        """Return the last stack's maps, as WithHead if there is a head, of pictures (N, 3, S, S)."""
        x = self.stem(x)
        features = x
        for i, hourglass in enumerate(self.hourglasses):
            features = self.features[i](hourglass(x))
            if i < len(self.merges):
                x = x + self.merges[i](features)
        maps: Tensor = self.head(features)
        return maps if self.cell_head is None else WithHead([maps], self.cell_head(features))


def _head(width: int, landmarks: int) -> nn.Conv2d:
    """Return a convolution whose maps are almost zero before training.

    Heatmaps are empty but for a few cells, and a squared error takes long to unlearn others (with torch's initial
    weights 12 epochs of the edge net end at 88 %).
    """
    head = nn.Conv2d(width, landmarks, 1)
    nn.init.normal_(head.weight, std=DEVIATION)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head


def _sum_of_paths(direct: nn.Conv2d, head: nn.Conv2d, back: nn.Conv2d) -> nn.Conv2d:
    """The 1x1 convolution that equals direct(x) + back(head(x))."""
    merged = nn.Conv2d(direct.in_channels, direct.out_channels, 1)
    back_weight = back.weight[:, :, 0, 0]
    weight = direct.weight[:, :, 0, 0] + back_weight @ head.weight[:, :, 0, 0]
    with torch.no_grad():
        merged.weight.copy_(weight[:, :, None, None])
        merged.bias.copy_(direct.bias + back.bias + back_weight @ head.bias)  # type: ignore[union-attr, operator]
    return merged
