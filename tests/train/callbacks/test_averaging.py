"""The average of the weights: its decay, its values against a slow reference, and what a short training keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn
from torch.optim.swa_utils import AveragedModel

from train.callbacks.averaging import WeightAverage


def average_of(decay: float, values: list[float]) -> list[float]:
    """What the callback makes of a weight that takes these values after the steps of a training."""
    net = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(net.weight, 1e6)  # the initial weights must never show
    averaged, seen = AveragedModel(net, **WeightAverage(decay)._kwargs), []
    for value in values:
        nn.init.constant_(net.weight, value)
        averaged.update_parameters(net)
        seen.append(averaged.module.weight.item())
    return seen


@given(decay=st.floats(0, 0.9999), values=st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_is_the_slow_one_and_never_leaves_the_range_of_the_weights(decay: float, values: list[float]) -> None:
    expected = [values[0]]
    for n, value in enumerate(values[1:], start=1):
        keep = min(decay, (1 + n) / (10 + n))
        expected.append(keep * expected[-1] + (1 - keep) * value)
    assert_allclose(average_of(decay, values), expected, rtol=1e-9, atol=1e-9)


def test_decay_warms_up_to_its_final_value() -> None:
    decays = [WeightAverage(0.998).decay_at(n) for n in (0, 8, 90, 4480, 4490, 100_000)]
    assert_allclose(decays, [0.1, 0.5, 0.91, 0.997996, 0.998, 0.998], atol=1e-6)


def test_counters_are_copied() -> None:
    net = nn.BatchNorm1d(2)
    averaged = AveragedModel(net, use_buffers=True, **WeightAverage()._kwargs)
    for count in (1, 2, 7):
        assert net.num_batches_tracked is not None
        net.num_batches_tracked.fill_(count)
        averaged.update_parameters(net)
    assert int(averaged.module.num_batches_tracked) == 7


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"average.decay: expected a number from 0"):
        WeightAverage(decay)


def test_a_training_of_one_step_keeps_what_it_learned(fit_tiny: Callable[..., None], tmp_path: Path) -> None:
    """With the decay of the packaged models: validation, checkpoints and export must not see the initial weights."""
    fit_tiny(tmp_path, "--trainer.max_epochs=1", "--data.batch=9", "--average.decay=0.998")
    raw = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for name, current in raw["current_model_state"].items():
        assert torch.equal(raw["state_dict"][name], current), name


def test_a_short_training_stays_near_its_weights(fit_tiny: Callable[..., None], tmp_path: Path) -> None:
    fit_tiny(tmp_path, "--trainer.max_epochs=6", "--average.decay=0.998", "--model.warmup=0")
    raw = torch.load(tmp_path / "last.ckpt", weights_only=True)
    first = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert raw["global_step"] == 18
    assert first["global_step"] <= 18
    name = "net.heads.0.weight"
    moved = (raw["state_dict"][name] - raw["current_model_state"][name]).abs().mean()
    assert moved < 3e-3  # weights of this size change by about 2e-3 a step
