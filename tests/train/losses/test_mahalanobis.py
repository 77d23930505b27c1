"""The Mahalanobis distance by a map's own covariance, against a version that inverts a matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.losses.mahalanobis import MahalanobisRestriction, mahalanobis_loss

seeds = st.integers(0, 10**6)


def drawn(seed: int, cells: int = 9) -> tuple[Tensor, Tensor]:
    """Distributions (2, 3, cells, cells) and labels (2, 3, 2) in double precision."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 3, cells, cells, generator=generator, dtype=torch.float64) * 2
    points = 2 * torch.rand(2, 3, 2, generator=generator, dtype=torch.float64) - 1
    return maps.flatten(2).softmax(-1).view_as(maps), points


def slow_parts(image: Tensor, point: Tensor) -> tuple[float, float, float]:
    """The distance, the trace of the covariance and the logarithm of its determinant, cell by cell."""
    cells = len(image)
    places = [(2 * column / (cells - 1) - 1, 2 * row / (cells - 1) - 1) for row, column in np.ndindex(cells, cells)]
    weights = image.flatten().tolist()
    mean = sum(w * np.array(place) for w, place in zip(weights, places, strict=True))
    total, squares = sum(weights) + 1e-5, sum(w * w for w in weights) + 1e-5
    covariance = sum(
        w * np.outer(np.array(place) - mean, np.array(place) - mean) for w, place in zip(weights, places, strict=True)
    )
    covariance = covariance / (total - squares / total) + 1e-5 * np.eye(2)
    error = point.numpy() - mean
    distance = float(error @ np.linalg.inv(covariance) @ error)
    return distance, float(np.trace(covariance)), math.log(np.linalg.det(covariance))


@pytest.mark.parametrize("restriction", ["value", "detach", "log_determinant"])
@given(seed=seeds)
@settings(max_examples=10)
def test_is_the_slow_one(restriction: MahalanobisRestriction, seed: int) -> None:
    maps, points = drawn(seed)
    found = mahalanobis_loss(maps, points, restriction, weight=0.7)
    for place in np.ndindex(2, 3):
        distance, trace, logarithm = slow_parts(maps[place], points[place])
        added = {"value": 0.7 * trace, "detach": 0.0, "log_determinant": 0.7 * logarithm}[restriction]
        assert found[place].item() == pytest.approx(distance + added, rel=1e-6)


def test_an_error_along_the_maps_longer_axis_weighs_less() -> None:
    axis = torch.linspace(-1, 1, 33, dtype=torch.float64)
    image = torch.exp(-(axis[:, None] / 0.1).square() / 2 - (axis / 0.4).square() / 2)
    image = image / image.sum()
    along, across = mahalanobis_loss(
        image.expand(2, 33, 33), torch.tensor([[0.2, 0.0], [0.0, 0.2]], dtype=torch.float64), weight=0.0
    ).tolist()
    assert across / along == pytest.approx(14.6, abs=0.3)  # (0.4 / 0.1)^2, less what the border cuts off


def test_detached_it_leaves_the_spread_alone() -> None:
    """Its gradient moves the mean only: maps with the same mean error have the same gradient along a spreading."""
    maps, points = drawn(1)
    maps.requires_grad_()
    axis = torch.linspace(-1, 1, 9, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(mahalanobis_loss(maps, points, "detach").sum(), maps)
    # a gradient that is linear in x and y asks for no change of the second moments
    design = torch.stack([torch.ones(9, 9, dtype=torch.float64), axis.expand(9, 9), axis[:, None].expand(9, 9)], -1)
    for one in gradient.flatten(0, 1):
        solution = torch.linalg.lstsq(design.reshape(-1, 3), one.reshape(-1, 1)).solution
        assert torch.allclose(design.reshape(-1, 3) @ solution, one.reshape(-1, 1), atol=1e-9)
