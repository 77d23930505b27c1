"""The absence loss is the divergence from an even map."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import kl_div, log_softmax

from train.losses.absence import absence_loss


def test_is_torch_s_divergence_of_the_even_distribution_and_the_softmax() -> None:
    logits = 3 * torch.randn(2, 5, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    even = torch.full((24,), 1 / 24, dtype=torch.float64)
    expected = kl_div(log_softmax(logits.flatten(-2), -1), even, reduction="none").sum(-1)
    torch.testing.assert_close(absence_loss(logits), expected)


@pytest.mark.parametrize("level", [-50.0, 0.0, 50.0])
def test_is_zero_for_a_flat_map_at_any_level(level: float) -> None:
    torch.testing.assert_close(absence_loss(torch.full((3, 8, 8), level)), torch.zeros(3))


def test_grows_with_a_peak_and_stays_finite() -> None:
    maps = torch.zeros(4, 8, 8)
    maps[:, 3, 4] = torch.tensor([1.0, 5.0, 20.0, 1000.0])
    losses = absence_loss(maps)
    assert (losses.diff() > 0).all()
    assert losses[-1] == pytest.approx(1000 - 1000 / 64 - math.log(64), rel=1e-5)
