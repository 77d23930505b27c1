"""The temperature: found where it is known, and the best by brute force where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from export.calibration.temperature import LARGEST, fit_temperature
from train.codecs.gaussian import encode

CELLS, STRIDE, SIGMA = 12, 4, 0.9
SIZE = CELLS * STRIDE


def labels(count: int = 3, seed: int = 0) -> Tensor:
    """(count, 10, 2) points inside the crop."""
    return torch.rand(count, 10, 2, generator=torch.Generator().manual_seed(seed)) * (SIZE - 1)


def perfect(points_px: Tensor) -> Tensor:
    """Logits whose softmax is the labels' distribution."""
    return encode(points_px.double(), CELLS, STRIDE, SIGMA).log()


def noisy(points_px: Tensor) -> Tensor:
    """Logits of a net that errs by some pixels and is too sure of itself."""
    generator = torch.Generator().manual_seed(1)
    return 1.5 * perfect(points_px + 3 * torch.randn(points_px.shape, generator=generator)).float()


def slow_cross_entropy(logits: Tensor, points_px: Tensor, temperature: float) -> float:
    q = encode(points_px.double(), CELLS, STRIDE, SIGMA).numpy()
    weights = np.exp((logits.double() - logits.double().amax((-2, -1), keepdim=True)).numpy() / temperature)
    p = weights / weights.sum((-2, -1), keepdims=True)
    return float(-(q * np.log(np.maximum(p, 1e-300))).sum((-2, -1)).mean())


@given(st.floats(0.15, 8))
@settings(max_examples=15)
def test_recovers_a_known_temperature(temperature: float) -> None:
    points = labels()
    assert fit_temperature(temperature * perfect(points), points, STRIDE, SIGMA) == pytest.approx(temperature, rel=1e-3)


@given(st.floats(0.3, 1.5))
@settings(max_examples=10)
def test_follows_the_scale_of_the_logits(scale: float) -> None:
    """So the calibrated softmax does not depend on it."""
    points = labels()
    logits = noisy(points)
    assert fit_temperature(scale * logits, points, STRIDE, SIGMA) == pytest.approx(
        scale * fit_temperature(logits, points, STRIDE, SIGMA), rel=1e-3
    )


def test_no_other_temperature_has_a_lower_cross_entropy() -> None:
    points = labels()
    logits = noisy(points)
    temperature = fit_temperature(logits, points, STRIDE, SIGMA)
    lowest = slow_cross_entropy(logits, points, temperature)
    assert temperature > 2
    assert lowest < 0.9 * slow_cross_entropy(logits, points, 1)
    for other in temperature * np.geomspace(0.01, 100, 21):
        assert lowest <= slow_cross_entropy(logits, points, other) + 1e-9


@pytest.mark.parametrize("outside", [(-0.6, 20), (20, SIZE - 0.4), (-900, 20), (SIZE + 90, SIZE + 90)])
def test_landmarks_outside_do_not_count(outside: tuple[float, float]) -> None:
    points = labels()
    logits = noisy(points)
    expected = fit_temperature(logits[:, 1:], points[:, 1:], STRIDE, SIGMA)
    points[:, 0] = torch.tensor(outside)
    assert fit_temperature(logits, points, STRIDE, SIGMA) == pytest.approx(expected, rel=1e-6)


def test_landmarks_on_the_edge_count() -> None:
    points = torch.tensor([[[-0.5, SIZE - 0.5]]])
    assert fit_temperature(7 * perfect(points), points, STRIDE, SIGMA) == pytest.approx(7, rel=1e-3)


def test_a_net_without_skill_gets_the_largest_temperature() -> None:
    points = labels()
    assert fit_temperature(-perfect(points), points, STRIDE, SIGMA) == pytest.approx(LARGEST, rel=1e-2)


def test_without_a_landmark_inside_there_is_none() -> None:
    with pytest.raises(ValueError, match="none"):
        fit_temperature(torch.zeros(1, 2, CELLS, CELLS), torch.full((1, 2, 2), -50.0), STRIDE, SIGMA)
