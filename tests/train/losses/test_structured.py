"""The structured loss, exact and sampled, against slow double precision, its gradient, and its limits."""

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

from train.losses.structured import Margin, margin_map, sampled_loss, structured_loss
from train.targets.drawn_cells import cell_middles, draw_cells

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


def slow_sample_anchored(scores: Array, distribution: Array, kind: Margin, epsilon: float) -> float:
    """Eq. 13 with the margin of every label cell y' at that cell."""
    cells = len(scores)
    total = 0.0
    for row, column in np.ndindex(scores.shape):
        margin = slow_margin(np.array([column, row]) * 2 / (cells - 1) - 1, cells, kind, 1.0, 0.01)
        one = np.zeros_like(scores)
        one[row, column] = 1
        total += float(distribution[row, column]) * slow_loss(scores, one, margin, epsilon)
    return total


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

    @given(seed=seeds, constant=st.floats(-50, 50))
    @settings(max_examples=20)
    def test_adding_a_constant_to_the_scores_changes_nothing(self, seed: int, constant: float) -> None:
        scores, distribution, points = drawn(seed)
        margin = margin_map(points, 7, "smooth_l1")
        before = structured_loss(scores, distribution, margin, 0.7)
        assert_allclose(structured_loss(scores + constant, distribution, margin, 0.7), before, atol=1e-9)

    @given(seed=seeds, kind=st.sampled_from(MARGINS))
    @settings(max_examples=20)
    def test_turning_everything_by_a_right_angle_changes_nothing(self, seed: int, kind: Margin) -> None:
        scores, distribution, points = drawn(seed)
        turned_points = torch.stack([points[:, 1], -points[:, 0]], 1)  # as torch.rot90 turns
        before = structured_loss(scores, distribution, margin_map(points, 7, kind))
        turned, label = (torch.rot90(image, dims=(-2, -1)) for image in (scores, distribution))
        assert_allclose(structured_loss(turned, label, margin_map(turned_points, 7, kind)), before, atol=1e-9)

    @pytest.mark.parametrize("epsilon", [0.0, 1e-3, 1.0])
    @pytest.mark.parametrize("point", [(0.1, -0.3), (5.0, -9.0)])
    @pytest.mark.parametrize("peak", [0.0, 3e4])
    def test_flat_and_one_hot_maps_and_points_outside_have_a_gradient(
        self, epsilon: float, point: tuple[float, float], peak: float
    ) -> None:
        scores = torch.zeros(1, 7, 7)
        scores[0, 2, 3] = peak
        scores.requires_grad_()
        uniform = torch.full((1, 7, 7), 1 / 49)
        loss = structured_loss(scores, uniform, margin_map(torch.tensor([point]), 7, "smooth_l1"), epsilon)
        (gradient,) = torch.autograd.grad(loss.sum(), scores)
        assert torch.isfinite(loss).all() and torch.isfinite(gradient).all()
        assert gradient.sum().abs() < 1e-4  # of a distribution less a distribution

    def test_half_precision_maps_are_summed_in_single(self) -> None:
        scores, distribution, points = (tensor.float() for tensor in drawn(8))
        half = scores.bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            margin = margin_map(points, 7, "smooth_l1").bfloat16()
            loss = structured_loss(half, distribution, margin)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, structured_loss(half.float(), distribution, margin))


class TestHardMaximum:
    """Eq. 9, which is epsilon 0."""

    @pytest.mark.parametrize("kind", MARGINS)
    def test_is_the_slow_one(self, kind: Margin) -> None:
        scores, distribution, points = drawn(11)
        margin = margin_map(points, 7, kind)
        for i, loss in enumerate(structured_loss(scores, distribution, margin, 0.0)):
            largest = max((margin[i] + scores[i]).flatten().tolist())
            label = sum(g * f for g, f in zip(distribution[i].flatten().tolist(), scores[i].flatten().tolist()))
            assert loss.item() == pytest.approx(largest - label)

    @given(seed=seeds, epsilon=st.floats(1e-4, 4))
    @settings(max_examples=30)
    def test_is_what_smaller_epsilons_lead_to(self, seed: int, epsilon: float) -> None:
        """Eq. 10: from above, and never farther than epsilon times the logarithm of the number of cells."""
        scores, distribution, points = drawn(seed)
        margin = margin_map(points, 7, "smooth_l1")
        gap = structured_loss(scores, distribution, margin, epsilon) - structured_loss(scores, distribution, margin, 0)
        assert (gap >= -1e-9).all()
        assert (gap <= epsilon * math.log(49) + 1e-9).all()

    def test_cells_that_tie_share_the_gradient(self) -> None:
        scores = torch.tensor([[[1.0, 3.0], [3.0, 0.0]]], requires_grad=True)
        label = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
        loss = structured_loss(scores, label, torch.zeros(1, 2, 2), 0)
        (gradient,) = torch.autograd.grad(loss.sum(), scores)
        assert gradient.tolist() == [[[-1.0, 0.5], [0.5, 0.0]]]

    def test_a_negative_epsilon_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"epsilon must be 0 .* or more, got -1"):
            structured_loss(torch.zeros(1, 2, 2), torch.ones(1, 2, 2) / 4, torch.zeros(1, 2, 2), -1)

    @pytest.mark.parametrize("epsilon", [0.2, 3.0])
    def test_without_margin_on_one_cell_it_is_cross_entropy_with_a_temperature(self, epsilon: float) -> None:
        scores, _, _ = drawn(4)
        cell = torch.tensor([10, 33])
        one_hot = torch.nn.functional.one_hot(cell, 49).double().view(2, 7, 7)
        expected = torch.nn.functional.cross_entropy(scores.flatten(1) / epsilon, cell, reduction="none")
        assert_allclose(structured_loss(scores, one_hot, torch.zeros_like(scores), epsilon), epsilon * expected)


class TestSampled:
    """Eq. 13 by Monte Carlo."""

    def test_cells_are_drawn_as_often_as_the_distribution_says(self) -> None:
        _, distribution, _ = drawn(1, cells=4)
        cells = draw_cells(distribution, 20_000, torch.Generator().manual_seed(0))
        assert cells.shape == (2, 20_000)
        for row, probabilities in zip(cells, distribution.flatten(1), strict=True):
            shares = torch.bincount(row, minlength=16) / 20_000
            deviations = (probabilities * (1 - probabilities) / 20_000).sqrt()
            assert ((shares - probabilities).abs() < 5 * deviations).all()

    def test_draws_come_from_the_generator(self) -> None:
        uniform = torch.full((3, 2, 8, 8), 1 / 64)
        first, again, other = (draw_cells(uniform, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4))
        assert first.shape == (3, 2, 10)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_a_sure_label_is_always_drawn_and_has_its_point(self) -> None:
        sure = torch.zeros(1, 5, 5)
        sure[0, 3, 1] = 1
        cells = draw_cells(sure, 4)
        assert cells.tolist() == [[16] * 4]
        assert cell_middles(cells, 5).tolist() == [[[-0.5, 0.5]] * 4]

    @pytest.mark.parametrize("epsilon", [0.5, 1.0])
    @pytest.mark.parametrize("kind", MARGINS)
    def test_over_every_cell_as_often_as_it_is_likely_it_is_the_expectation(self, kind: Margin, epsilon: float) -> None:
        """With the margin at the cells drawn, the slow sum over all labels; with that at the label, the exact loss."""
        scores, _, points = drawn(2, cells=4)
        counts = torch.randint(0, 4, (2, 16), generator=torch.Generator().manual_seed(1))
        counts[:, 0] += 40 - counts.sum(1)
        distribution = (counts / 40).double().view(2, 4, 4)
        cells = torch.stack([torch.arange(16).repeat_interleave(row) for row in counts])
        anchored = sampled_loss(scores, cells, margin_map(cell_middles(cells, 4).double(), 4, kind), epsilon)
        for i in range(2):
            expected = slow_sample_anchored(scores[i].numpy(), distribution[i].numpy(), kind, epsilon)
            assert anchored[i].item() == pytest.approx(expected, rel=1e-6)
        margin = margin_map(points, 4, kind)
        exact = structured_loss(scores, distribution, margin, epsilon)
        assert_allclose(sampled_loss(scores, cells, margin[:, None], epsilon), exact, rtol=1e-6)

    @pytest.mark.parametrize("kind", ["none", "smooth_l1"])
    def test_many_draws_converge_to_the_expectation_with_the_same_anchor(self, kind: Margin) -> None:
        scores, distribution, _ = drawn(3, cells=4)
        draws = draw_cells(distribution, 4000, torch.Generator().manual_seed(2))
        margin = margin_map(cell_middles(draws, 4).double(), 4, kind)
        each = torch.stack([sampled_loss(scores, draws[:, i, None], margin[:, i, None]) for i in range(0, 4000, 200)])
        losses = sampled_loss(scores, draws, margin)
        spread = scores.flatten(1).std(1) + 0.1  # of one draw: F(y') dominates
        for i in range(2):
            expected = slow_sample_anchored(scores[i].numpy(), distribution[i].numpy(), kind, 1.0)
            assert abs(losses[i].item() - expected) < 4 * spread[i] / math.sqrt(4000)
            assert (each[:, i] - expected).abs().max() > 4 * spread[i] / math.sqrt(4000)  # one draw is not enough

    @given(seed=seeds, kind=st.sampled_from(["l1", "smooth_l1"]), epsilon=st.floats(0.1, 3))
    @settings(max_examples=15)
    def test_the_two_anchors_differ_by_less_than_the_labels_spread(
        self, seed: int, kind: Margin, epsilon: float
    ) -> None:
        scores, distribution, points = drawn(seed, cells=4)
        all_cells = torch.arange(16)
        middles = cell_middles(all_cells, 4).double()
        margins = margin_map(middles, 4, kind)
        for f, g, point in zip(scores, distribution, points, strict=True):
            at_label = structured_loss(f, g, margin_map(point, 4, kind), epsilon)
            each = torch.stack([sampled_loss(f, all_cells[k : k + 1], margins[k : k + 1], epsilon) for k in all_cells])
            at_samples = (g.flatten() * each).sum()
            spread = (g.flatten() * (middles - point).norm(p=1 if kind == "l1" else 2, dim=1)).sum()
            assert (at_samples - at_label).abs() <= spread + 1e-6

    def test_gradient_is_that_of_finite_differences(self) -> None:
        scores, distribution, _ = drawn(5, cells=4)
        draws = draw_cells(distribution, 3, torch.Generator().manual_seed(0))
        margin = margin_map(cell_middles(draws, 4).double(), 4, "smooth_l1")
        assert torch.autograd.gradcheck(lambda s: sampled_loss(s, draws, margin, 0.6), (scores.requires_grad_(),))

    @given(seed=seeds, constant=st.floats(-50, 50))
    @settings(max_examples=10)
    def test_adding_a_constant_to_the_scores_changes_nothing(self, seed: int, constant: float) -> None:
        scores, distribution, _ = drawn(seed, cells=4)
        draws = draw_cells(distribution, 5, torch.Generator().manual_seed(seed))
        margin = margin_map(cell_middles(draws, 4).double(), 4, "l2")
        assert_allclose(sampled_loss(scores + constant, draws, margin), sampled_loss(scores, draws, margin), atol=1e-9)

    def test_shapes_of_a_batch_and_half_precision(self) -> None:
        scores = torch.randn(3, 5, 8, 8).bfloat16()
        draws = draw_cells(torch.full((3, 5, 8, 8), 1 / 64))
        with torch.autocast("cpu", torch.bfloat16):
            margin = margin_map(cell_middles(draws, 8), 8, "smooth_l1")
            losses = sampled_loss(scores, draws, margin)
        assert (losses.shape, losses.dtype) == ((3, 5), torch.float32)
        assert torch.equal(losses, sampled_loss(scores.float(), draws, margin))
