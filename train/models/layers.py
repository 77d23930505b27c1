"""Layers that several nets share."""

from __future__ import annotations

from torch import nn


def conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size (over stride) and its BatchNorm.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the convolution, odd.
        stride: of the convolution.
        groups: of channels.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Return conv_bn, and a ReLU.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the convolution, odd.
        stride: of the convolution.
    """
    return nn.Sequential(*conv_bn(inputs, outputs, kernel, stride), nn.ReLU(inplace=True))
