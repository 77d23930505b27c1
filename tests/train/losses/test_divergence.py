"""Jensen-Shannon divergence against a slow double-precision version, and its limits."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor

from train.losses.divergence import jensen_shannon
from train.losses.soft_argmax import Reading, as_distribution

Array = np.ndarray[Any, np.dtype[np.float64]]
seeds = st.integers(0, 10**6)


def slow_divergence(p: Array, q: Array) -> float:
    total = 0.0
    for i in np.ndindex(p.shape):
        middle = (p[i] + q[i]) / 2
        total += float(sum(share * math.log(share / middle) / 2 for share in (p[i], q[i]) if share > 0))
    return total


def drawn(seed: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    """Two batches (2, 3, 5, 4) of distributions, the second with empty cells."""
    maps = scale * torch.randn(2, 2, 3, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return as_distribution(maps[0], "softmax"), as_distribution(maps[1] + 0.1, "linear")


@given(seed=seeds, scale=st.floats(0.1, 20))
@settings(max_examples=20)
def test_is_the_slow_one(seed: int, scale: float) -> None:
    p, q = drawn(seed, scale)
    divergences = jensen_shannon(p, q)
    assert divergences.shape == (2, 3)
    for i in np.ndindex(2, 3):
        assert divergences[i].item() == pytest.approx(slow_divergence(p[i].numpy(), q[i].numpy()), abs=1e-12)


def test_gradient_is_that_of_finite_differences() -> None:
    _, target = drawn(1)
    logits = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda m: jensen_shannon(as_distribution(m, "softmax"), target), (logits.requires_grad_(),)
    )


@given(seed=seeds, scale=st.floats(0.1, 50))
@settings(max_examples=30)
def test_lies_between_zero_and_ln_2_and_is_symmetric(seed: int, scale: float) -> None:
    p, q = drawn(seed, scale)
    divergences = jensen_shannon(p, q)
    assert (divergences > 0).all()
    assert (divergences <= math.log(2) + 1e-12).all()
    assert_allclose(jensen_shannon(q, p), divergences, atol=1e-12)


def test_is_zero_if_and_only_if_equal() -> None:
    p, q = drawn(3)
    assert not jensen_shannon(p, p).any()
    assert not jensen_shannon(q, q).any()
    moved = p.clone()
    moved[..., 0, 0] += 1e-4
    moved[..., 1, 1] -= 1e-4
    assert (jensen_shannon(moved.clamp_min(0), p) > 0).all()


def test_is_ln_2_without_a_common_cell() -> None:
    p, q = torch.zeros(2, 4, 4)
    p[0, 0], q[3, 1:3] = 1, 0.5
    assert jensen_shannon(p, q).item() == pytest.approx(math.log(2))


@given(seed=seeds, constant=st.floats(-50, 50))
@settings(max_examples=10)
def test_turning_everything_or_adding_to_the_logits_changes_nothing(seed: int, constant: float) -> None:
    p, q = drawn(seed)
    turned = [torch.rot90(image, dims=(-2, -1)) for image in (p, q)]
    assert_allclose(jensen_shannon(*turned), jensen_shannon(p, q), atol=1e-12)
    assert_allclose(jensen_shannon(as_distribution(p.log() + constant, "softmax"), q), jensen_shannon(p, q), atol=1e-12)


@pytest.mark.parametrize("reading", get_args(Reading))
@pytest.mark.parametrize("others", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("peak", [0.0, 1e4])
def test_flat_and_one_hot_maps_have_a_gradient(reading: Reading, others: float, peak: float) -> None:
    maps = torch.full((1, 7, 7), others)
    maps[0, 2, 3] += peak
    target = torch.zeros(1, 7, 7)
    target[0, 5, 5] = 1
    maps.requires_grad_()
    loss = jensen_shannon(as_distribution(maps, reading), target)
    (gradient,) = torch.autograd.grad(loss.sum(), maps)
    assert torch.isfinite(loss).all() and torch.isfinite(gradient).all()


def test_half_precision_maps_are_summed_in_single() -> None:
    p, q = (tensor.float() for tensor in drawn(4))
    half = p.half()
    with torch.autocast("cpu", torch.bfloat16):
        loss = jensen_shannon(half, q)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, jensen_shannon(half.float(), q))
