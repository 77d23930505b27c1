"""Covariances without the labels' width: slow and fast alike, found where it is known, and right on real faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from export.uncertainty import Spread, fit_spread, narrowed, squared_sigmas
from tests.conftest import ROOT
from tracker.datasets.w300 import read_folder
from tracker.engines.onnx import OnnxEngine
from tracker.face.crop import crop, roi_of_landmarks
from tracker.face.geometry import transform_points

Array = NDArray[np.float64]
spreads = st.builds(Spread, st.floats(0, 20), st.floats(0.01, 5), st.floats(0.5, 2))
deviations, angles = st.floats(0.1, 8), st.floats(0, np.pi)


def covariance(long: float, short: float, angle: float) -> Array:
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(axes @ np.diag([long**2, short**2]) @ axes.T)


def entries(matrices: Array) -> torch.Tensor:
    return torch.from_numpy(matrices[..., [0, 0, 1], [0, 1, 1]])


def slow(matrix: Array, spread: Spread) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    kept = spread.scale**2 * np.maximum(values - spread.label_px2, spread.floor_px2)
    return np.asarray((vectors * kept) @ vectors.T)


@given(deviations, deviations, angles, spreads)
def test_takes_the_same_off_both_eigenvalues(long: float, short: float, angle: float, spread: Spread) -> None:
    matrix = covariance(long, short, angle)
    assert_allclose(narrowed(entries(matrix), spread), entries(slow(matrix, spread)), atol=1e-6)


def test_a_round_one_stays_round() -> None:
    found = narrowed(torch.tensor([[9.0, 0.0, 9.0], [1.0, 0.0, 1.0]]), Spread(4.0, 2.0))
    assert found.tolist() == [[5.0, 0.0, 5.0], [2.0, 0.0, 2.0]]


@given(deviations, deviations, angles)
def test_sigmas_are_mahalanobis_distances(long: float, short: float, angle: float) -> None:
    matrix, error = covariance(long, short, angle), np.array([1.5, -0.7])
    expected = error @ np.linalg.solve(matrix, error)
    assert squared_sigmas(torch.from_numpy(error), entries(matrix)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("label", "floor"), [(13.0, 0.5), (4.0, 2.0), (0.0, 1.0)])
def test_is_found_where_it_is_known(label: float, floor: float) -> None:
    """Errors drawn from covariances of many kinds, to each of which the label's width was added."""
    rng = np.random.default_rng(0)
    kinds = [covariance(*np.maximum(rng.uniform(0.2, 4, 2), floor**0.5), rng.uniform(0, 3)) for _ in range(500)]
    true = np.repeat(kinds, 40, 0)
    errors = torch.from_numpy(np.einsum("nij,nj->ni", np.linalg.cholesky(true), rng.normal(size=(len(true), 2))))
    wide = entries(true + label * np.eye(2))
    found = fit_spread(errors, wide)
    assert found.label_px2 == pytest.approx(label, abs=0.15)
    assert squared_sigmas(errors, narrowed(wide, found)).mean().item() == pytest.approx(2, abs=0.05)


def test_a_model_says_how_far_it_errs_from_labels_of_its_own_kind(shared: Path) -> None:
    """On test faces, which it was not fitted on: 39 and 86 in a hundred would be Gaussian; and the unsure err more."""
    engine = OnnxEngine(ROOT / "tracker/weights/research/edge68_300w.onnx")
    samples = read_folder(shared / "data/300w/lfpw/testset")[::2]
    errors, covariances = [], []
    for sample in samples:
        roi = roi_of_landmarks(sample.points_px)
        output = engine.run(crop(sample.read_image(), roi, engine.spec.size)[None])
        truth = transform_points(roi.crop_from_image(engine.spec.size), sample.points_px)
        errors.append(output.points_px[0] - truth)
        covariances.append(output.covariances_px2[0].astype(np.float64))
    error, said = (torch.from_numpy(np.concatenate(each)) for each in (errors, covariances))
    squares = squared_sigmas(error, said)
    assert 0.30 < (squares < 1).double().mean() < 0.60
    assert 0.80 < (squares < 4).double().mean() < 0.95
    variance = (said[:, 0] + said[:, 2]) / 2
    sure, unsure = variance.quantile(0.25), variance.quantile(0.75)
    actual = error.square().mean(-1)
    assert actual[variance > unsure].mean() > 3 * actual[variance <= sure].mean()
