"""The structured loss against slow double precision, its gradient, and its limits."""

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

from train.losses.structured import Margin, margin_map, structured_loss

Array = np.ndarray[Any, np.dtype[np.float64]]
MARGINS: tuple[Margin, ...] = get_args(Margin)
seeds = st.integers(0, 10**6)


def slow_margin(point: Array, cells: int, kind: Margin, alpha: float, s: float) -> Array:
    """Eq. 12 cell by cell."""
    out = np.zeros((cells, cells))
    for row in range(cells):
        for column in range(cells):
            dx, dy = 2 * column / (cells - 1) - 1 - point[0], 2 * row / (cells - 1) - 1 - point[1]
            d = math.sqrt(dx * dx + dy * dy)
            smooth = d * d / (2 * s) if d < s else d - s / 2
            out[row, column] = alpha * {"none": 0.0, "l1": abs(dx) + abs(dy), "l2": d * d, "smooth_l1": smooth}[kind]
    return out


def slow_loss(scores: Array, distribution: Array, margin: Array, epsilon: float) -> float:
    """Eq. 11 for every label cell, weighed by its probability (Eq. 13)."""
    top = max((margin[i] + scores[i]) / epsilon for i in np.ndindex(scores.shape))
    total = sum(math.exp((margin[i] + scores[i]) / epsilon - top) for i in np.ndindex(scores.shape))
    soft_max = epsilon * (top + math.log(total))
    return float(sum(distribution[i] * (soft_max - scores[i]) for i in np.ndindex(scores.shape)))


def drawn(seed: int, cells: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (2, cells, cells), a distribution and points (2, 2), in double precision."""
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(2, cells, cells, generator=generator, dtype=torch.float64)
    distribution = torch.rand(2, cells, cells, generator=generator, dtype=torch.float64)
    points = 2.4 * torch.rand(2, 2, generator=generator, dtype=torch.float64) - 1.2
    return scores, distribution / distribution.sum((-2, -1), keepdim=True), points


class TestMargin:
    @pytest.mark.parametrize("kind", MARGINS)
    @given(seed=seeds, alpha=st.floats(0.1, 5), s=st.sampled_from([0.01, 0.3]))
    @settings(max_examples=20)
    def test_is_the_slow_one(self, kind: Margin, seed: int, alpha: float, s: float) -> None:
        _, _, points = drawn(seed)
        maps = margin_map(points, 7, kind, alpha, s)
        assert maps.shape == (2, 7, 7)
        assert maps.dtype == torch.float64
        for image, point in zip(maps, points.numpy(), strict=True):
            assert_allclose(image, slow_margin(point, 7, kind, alpha, s), atol=1e-9)

    @pytest.mark.parametrize("kind", ["l1", "l2", "smooth_l1"])
    def test_is_zero_at_the_label_and_grows_away_from_it(self, kind: Margin) -> None:
        (image,) = margin_map(torch.tensor([[0.0, 0.5]], dtype=torch.float64), 9, kind)
        assert image[6, 4] == pytest.approx(0, abs=1e-9)
        assert (image[6, 4:].diff() > 0).all()
        assert (image[6:, 4].diff() > 0).all()

    def test_smooth_l1_is_smooth_at_s(self) -> None:
        s = 0.3
        (near, far) = (
            margin_map(torch.tensor([[d, 0.0]], dtype=torch.float64), 3, "smooth_l1", 1.0, s)[0, 1, 1]
            for d in (s - 1e-6, s + 1e-6)
        )
        assert far - near == pytest.approx(2e-6, rel=1e-3)  # value and slope 1 meet

    def test_is_weak_over_the_map(self) -> None:
        """References 2.8: at most about 3 logits over the map, about .03 from cell to cell of 64."""
        (image,) = margin_map(torch.tensor([[-1.0, -1.0]]), 64, "smooth_l1")
        assert image.max().item() == pytest.approx(2 * math.sqrt(2), abs=0.01)
        assert image[0, 5] - image[0, 4] == pytest.approx(2 / 63, abs=1e-5)


class TestLoss:
    @pytest.mark.parametrize("kind", MARGINS)
    @given(seed=seeds, epsilon=st.floats(0.05, 4))
    @settings(max_examples=20)
    def test_is_the_slow_one(self, kind: Margin, seed: int, epsilon: float) -> None:
        scores, distribution, points = drawn(seed)
        margin = margin_map(points, 7, kind)
        losses = structured_loss(scores, distribution, margin, epsilon)
        assert losses.shape == (2,)
        for i in range(2):
            expected = slow_loss(scores[i].numpy(), distribution[i].numpy(), margin[i].numpy(), epsilon)
            assert losses[i].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)

    @given(seed=seeds, epsilon=st.floats(0.2, 4))
    @settings(max_examples=20)
    def test_gradient_is_softmax_minus_distribution(self, seed: int, epsilon: float) -> None:
        scores, distribution, points = drawn(seed)
        margin = margin_map(points, 7, "smooth_l1")
        scores.requires_grad_()
        structured_loss(scores, distribution, margin, epsilon).sum().backward()  # type: ignore[no-untyped-call]
        expected = torch.softmax(((margin + scores) / epsilon).flatten(1), 1).view_as(scores) - distribution
        assert scores.grad is not None
        assert_allclose(scores.grad, expected.detach(), atol=1e-10)

    @pytest.mark.parametrize("epsilon", [0.3, 1.0])
    def test_gradient_is_that_of_finite_differences(self, epsilon: float) -> None:
        scores, distribution, points = drawn(5, cells=4)
        margin = margin_map(points, 4, "smooth_l1")
        assert torch.autograd.gradcheck(
            lambda s: structured_loss(s, distribution, margin, epsilon), (scores.requires_grad_(),)
        )

    def test_without_smoothing_it_is_the_hard_maximum(self) -> None:
        scores, distribution, points = drawn(3)
        margin = margin_map(points, 7, "l1")
        hard = (margin + scores).flatten(1).amax(1) - (distribution * scores).sum((-2, -1))
        soft = structured_loss(scores, distribution, margin, 1e-4)
        assert_allclose(soft, hard, atol=1e-3)
        assert (structured_loss(scores, distribution, margin, 1.0) >= hard).all()

    def test_without_margin_on_one_cell_it_is_cross_entropy(self) -> None:
        scores, _, _ = drawn(4)
        cell = torch.tensor([10, 33])
        one_hot = torch.nn.functional.one_hot(cell, 49).double().view(2, 7, 7)
        losses = structured_loss(scores, one_hot, torch.zeros_like(scores))
        assert_allclose(losses, torch.nn.functional.cross_entropy(scores.flatten(1), cell, reduction="none"))

    @given(seed=seeds)
    @settings(max_examples=20)
    def test_is_least_where_softmax_of_scores_and_margin_is_the_distribution(self, seed: int) -> None:
        scores, distribution, points = drawn(seed)
        margin = margin_map(points, 7, "smooth_l1")
        best = structured_loss(distribution.log() - margin, distribution, margin)
        assert (structured_loss(scores, distribution, margin) >= best - 1e-9).all()

    def test_large_scores_do_not_overflow(self) -> None:
        scores, distribution, points = drawn(6)
        margin = margin_map(points, 7, "smooth_l1").float()
        losses = structured_loss((scores * 1e4).float(), distribution.float(), margin, 0.5)
        assert torch.isfinite(losses).all()

    def test_shapes_of_a_batch(self) -> None:
        scores = torch.randn(3, 5, 8, 8)
        points = torch.zeros(3, 5, 2)
        uniform = torch.full((3, 5, 8, 8), 1 / 64)
        assert structured_loss(scores, uniform, margin_map(points, 8, "smooth_l1")).shape == (3, 5)
