"""Operations are those that can be counted by hand, and counting leaves no trace."""

from __future__ import annotations

import torch
from torch import nn

from train.callbacks.throughput import _flops


def test_a_convolution_costs_two_operations_a_weight_and_cell() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert _flops(net, 8, torch.device("cpu")) == 2 * (3 * 5 * 9) * 8 * 8
    assert net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
