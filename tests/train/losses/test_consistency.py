"""Consistency over views: against a slow reference, for an equivariant net, and for gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tracker.face.geometry import Array, invert, similarity, transform_points
from train.losses.consistency import consistency_loss

SIZE = 112


def views_of(face: Array, rng: np.random.Generator, count: int) -> tuple[Array, list[Array]]:
    """The labels (count, K, 2) of a face (K, 2) in random views, and view_from_face of each."""
    middle = face.mean(0)
    ways = [similarity(rng.uniform(0.5, 2), rng.uniform(-3, 3), middle, rng.uniform(20, 90, 2)) for _ in range(count)]
    return np.stack([transform_points(way, face) for way in ways]), ways


def slow_loss(points: Array, ways: list[Array]) -> Array:
    """Of one face: points (V, K, 2) carried into the first view, one by one."""
    count, landmarks, _ = points.shape
    losses = np.zeros(landmarks)
    for k in range(landmarks):
        back = [transform_points(ways[0], transform_points(invert(ways[v]), points[v, k])) for v in range(count)]
        mean = sum(back) / count
        losses[k] = sum(math.dist(each, mean) for each in back) / count
    return losses


@given(st.integers(0, 1000), st.integers(2, 4))
@settings(max_examples=25)
def test_is_the_slow_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    faces = [views_of(rng.uniform(20, 90, (7, 2)), rng, count) for _ in range(3)]
    truth = np.stack([labels for labels, _ in faces])
    points = truth + rng.normal(0, 4, truth.shape)
    expected = np.stack([slow_loss(answer, ways) for answer, (_, ways) in zip(points, faces, strict=True)])
    found = consistency_loss(torch.from_numpy(points), torch.from_numpy(truth))
    assert found.shape == (3, 7)
    assert found.numpy() == pytest.approx(expected, abs=0.01)  # the parabola at zero


@given(st.integers(0, 1000))
@settings(max_examples=25)
def test_what_errs_alike_in_every_view_costs_nothing(seed: int) -> None:
    """A net that is wrong but equivariant: the consistency has nothing to say about it."""
    rng = np.random.default_rng(seed)
    face = rng.uniform(20, 90, (7, 2))
    truth, ways = views_of(face, rng, 3)
    wrong = face + rng.normal(0, 5, face.shape)
    points = np.stack([transform_points(way, wrong) for way in ways])
    assert consistency_loss(torch.from_numpy(points)[None], torch.from_numpy(truth)[None]).max() < 1e-9


def test_follows_the_gradient_and_half_precision_is_lifted() -> None:
    rng = np.random.default_rng(0)
    truth, _ = views_of(rng.uniform(20, 90, (5, 2)), rng, 2)
    labels = torch.from_numpy(truth)[None]
    points = (labels + torch.from_numpy(rng.normal(0, 3, truth.shape))).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: consistency_loss(p, labels), (points,))
    half = consistency_loss(points.half(), labels.float())
    assert half.dtype == torch.float32


def test_descent_brings_the_views_together_and_leaves_their_mean() -> None:
    rng = np.random.default_rng(1)
    truth, _ = views_of(rng.uniform(20, 90, (5, 2)), rng, 2)
    labels = torch.from_numpy(truth)[None]
    points: Tensor = (labels + torch.from_numpy(rng.normal(0, 2, truth.shape))).requires_grad_()
    before = consistency_loss(points, labels).mean().item()
    optimizer = torch.optim.SGD([points], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        consistency_loss(points, labels).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert consistency_loss(points, labels).mean().item() < 0.1 * before
    assert (points - labels).abs().max() > 0.5  # it is not the labels that they were drawn to
