"""Distances against their definitions, where their pieces meet, and at zero."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.losses.distances import WING, Distance, distance, smooth_l1

KINDS: tuple[Distance, ...] = get_args(Distance)


def slow_distance(error: list[float], kind: Distance) -> float:
    norm = math.sqrt(sum(e * e for e in error))
    if kind == "l1":
        return sum(abs(e) for e in error)
    if kind == "l2":
        return norm**2
    if kind == "smooth_l1":
        return norm**2 / 0.02 if norm < 0.01 else norm - 0.005
    omega, epsilon = {"wing": (0.078125, 0.015625), "wing_star": (0.01, 2)}[kind]
    if norm < omega:
        return omega * math.log(1 + norm / epsilon)
    return norm - (omega - omega * math.log(1 + omega / epsilon))


def at(length: float, kind: Distance) -> tuple[float, float]:
    """Value and slope for an error of that length."""
    error = torch.tensor([0.6 * length, -0.8 * length], dtype=torch.float64, requires_grad=True)
    value = distance(error, kind)
    (gradient,) = torch.autograd.grad(value, error)
    return value.item(), 0.6 * gradient[0].item() - 0.8 * gradient[1].item()


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=3), st.sampled_from([1, 0.05, 0.005]))
@settings(max_examples=30)
def test_is_the_slow_one(kind: Distance, error: list[float], scale: float) -> None:
    error = [scale * e for e in error]
    value = distance(torch.tensor([error, error], dtype=torch.float64), kind)
    assert value.tolist() == pytest.approx([slow_distance(error, kind)] * 2, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_costs_nothing_and_has_no_gradient(kind: Distance) -> None:
    error = torch.zeros(4, 2, requires_grad=True)
    values = distance(error, kind)
    assert values.abs().max() < 1e-9
    (gradient,) = torch.autograd.grad(values.sum(), error)
    assert not gradient.any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_finite_differences(kind: Distance) -> None:
    errors = torch.tensor([[0.3, -0.2], [0.004, 0.001], [0.02, 0.03], [-0.006, 0.009]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda e: distance(e, kind), (errors.requires_grad_(),))


@pytest.mark.parametrize(("kind", "meeting"), [("smooth_l1", 0.01), *((k, v[0]) for k, v in WING.items())])
def test_pieces_meet(kind: Distance, meeting: float) -> None:
    (below, _), (above, _) = at(meeting - 1e-9, kind), at(meeting + 1e-9, kind)
    assert above == pytest.approx(below, abs=1e-8)


def test_smooth_l1_has_no_bend() -> None:
    assert at(0.01 - 1e-9, "smooth_l1")[1] == pytest.approx(at(0.01 + 1e-9, "smooth_l1")[1], abs=1e-5)


def test_wing_stresses_small_errors_and_stars_constants_do_not() -> None:
    assert at(0.002, "wing")[1] > 3
    assert at(0.2, "wing")[1] == pytest.approx(1)
    assert at(0.002, "wing_star")[1] < 0.01
    assert at(0.2, "wing_star")[1] == pytest.approx(1)


def test_smooth_l1_with_a_wide_parabola_is_half_the_square() -> None:
    squared: Tensor = torch.tensor([0.0, 0.04, 0.81], dtype=torch.float64)
    assert smooth_l1(squared, s=1.0).tolist() == pytest.approx([0, 0.02, 0.405])
