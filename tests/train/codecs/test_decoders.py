"""The decoders: each against a slow twin, what all must hold, how exact each is, and that each exports."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor, nn

from train.codecs.decoders import DECODERS, WINDOW, Decoder, dark, softmax_mean
from train.codecs.gaussian import cells_from_pixels, decode, encode, pixels_from_cells

Array = np.ndarray[Any, np.dtype[np.float64]]
Point = tuple[float, float]
CELLS, STRIDE, SIGMA = 32, 4, 0.9

every = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
seeds = st.integers(0, 10**6)


def slow_peak(logits: Array) -> tuple[int, int]:
    """Column and row of the highest cell, the first by rows."""
    best = (0, 0)
    for y, x in np.ndindex(*logits.shape):
        if logits[y, x] > logits[best[1], best[0]]:
            best = (x, y)
    return best


def slow_softmax(logits: Array) -> Array:
    weights: Array = np.array([[math.exp(value - logits.max()) for value in row] for row in logits])
    return np.asarray(weights / sum(weights.flat))


def slow_mean(mass: Array, columns: range, rows: range) -> Point:
    total = sum(mass[y, x] for y in rows for x in columns)
    x_mean = sum(x * mass[y, x] for y in rows for x in columns) / total
    return x_mean, sum(y * mass[y, x] for y in rows for x in columns) / total


def slow_argmax(logits: Array) -> Point:
    return slow_peak(logits)


def slow_quarter(logits: Array) -> Point:
    (x, y), (height, width) = slow_peak(logits), logits.shape
    if x in (0, width - 1) or y in (0, height - 1):
        return x, y
    right, left, below, above = logits[y, x + 1], logits[y, x - 1], logits[y + 1, x], logits[y - 1, x]
    return x + 0.25 * (int(right > left) - int(right < left)), y + 0.25 * (int(below > above) - int(below < above))


def slow_softmax_mean(logits: Array) -> Point:
    return slow_mean(slow_softmax(logits), range(logits.shape[1]), range(logits.shape[0]))


def slow_local_softmax(logits: Array) -> Point:
    columns, rows = (
        range(max(0, min(peak - WINDOW // 2, side - WINDOW)), min(side, max(peak - WINDOW // 2, 0) + WINDOW))
        for peak, side in zip(slow_peak(logits), logits.shape[::-1], strict=True)
    )
    return slow_mean(slow_softmax(logits), columns, rows)


def slow_log_blurred(mass: Array, x: int, y: int) -> float:
    """The logarithm at one cell of the map under a Gaussian that is cut after 2.5 deviations, rounded up."""
    height, width = mass.shape
    reach, total, weights = math.ceil(2.5 * SIGMA), 0.0, 0.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            weight = math.exp(-(dx * dx + dy * dy) / (2 * SIGMA**2))
            weights += weight
            if 0 <= y + dy < height and 0 <= x + dx < width:
                total += weight * mass[y + dy, x + dx]
    return math.log(max(total / weights, 1e-10))


def slow_hessian(logits: Array) -> tuple[Array, Array]:
    """Gradient (2,) and Hessian (2, 2) of the blurred map's logarithm at the peak: differences of differences."""
    mass, (px, py) = slow_softmax(logits), slow_peak(logits)

    def log(x: int, y: int) -> float:
        return slow_log_blurred(mass, x, y)

    def along_x(x: int, y: int) -> float:
        return (log(x + 1, y) - log(x - 1, y)) / 2

    def along_y(x: int, y: int) -> float:
        return (log(x, y + 1) - log(x, y - 1)) / 2

    xx = (along_x(px + 1, py) - along_x(px - 1, py)) / 2
    xy = (along_x(px, py + 1) - along_x(px, py - 1)) / 2
    yy = (along_y(px, py + 1) - along_y(px, py - 1)) / 2
    return np.array([along_x(px, py), along_y(px, py)]), np.array([[xx, xy], [xy, yy]])


def slow_dark(logits: Array) -> Point:
    (x, y), (height, width) = slow_peak(logits), logits.shape
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return x, y
    gradient, hessian = slow_hessian(logits)
    shift = -np.linalg.solve(hessian, gradient)
    return x + shift[0], y + shift[1]


TWINS = {
    "argmax": slow_argmax,
    "quarter": slow_quarter,
    "softmax_mean": slow_softmax_mean,
    "dark": slow_dark,
    "local_softmax": slow_local_softmax,
}


def noise(seed: int, scale: float, *shape: int) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_twins(maps: Tensor, names: tuple[str, ...] = tuple(DECODERS), atol: float = 4e-4) -> None:
    """One landmark in each of some pictures: maps (N, 1, H, W)."""
    for name in names:
        points, _, _ = DECODERS[name](maps, STRIDE)
        expected = np.array([TWINS[name](one[0].double().numpy()) for one in maps])
        assert_allclose(points[:, 0], (expected + 0.5) * STRIDE - 0.5, atol=atol, err_msg=name)


def bump(cells: Tensor, side: int = CELLS, sigma: float = SIGMA) -> Tensor:
    """Logits (..., side, side) whose softmax is a Gaussian at points (..., 2) in cells."""
    return encode(pixels_from_cells(cells, STRIDE), side, STRIDE, sigma).clamp_min(1e-30).log()


class TestTwins:
    @given(seeds, st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.1, 1, 5]))
    @settings(max_examples=25)
    def test_on_noise(self, seed: int, height: int, width: int, scale: float) -> None:
        assert_twins(noise(seed, scale, 2, 1, height, width), ("argmax", "quarter", "softmax_mean", "local_softmax"))

    @given(seeds, st.integers(1, 12), st.integers(1, 12))
    @settings(max_examples=25)
    def test_on_maps_full_of_ties(self, seed: int, height: int, width: int) -> None:
        maps = noise(seed, 1, 2, 1, height, width).round().clamp(-1, 1)
        assert_twins(maps, ("argmax", "quarter", "softmax_mean", "local_softmax"))

    @given(seeds, st.integers(0, 9), st.integers(0, 11))
    @settings(max_examples=25)
    def test_with_a_peak_anywhere(self, seed: int, row: int, column: int) -> None:
        """Noisy, but a peak: the blurred map's Hessian is well conditioned, so DARK is compared too."""
        maps = bump(torch.tensor([[[float(column), float(row)]]]), 12)[:, :, :10].clamp_min(-9)
        assert_twins(maps + noise(seed, 0.3, 1, 1, 10, 12))

    @pytest.mark.parametrize("place", [(0, 0), (0, 11), (9, 0), (9, 11), (0, 5), (4, 11), (1, 1), (8, 10), (2, 2)])
    def test_with_a_peak_near_the_border(self, place: tuple[int, int]) -> None:
        maps = noise(0, 1, 1, 1, 10, 12)
        maps[0, 0][place] = 9.0
        assert_twins(maps)

    @given(seeds)
    @settings(max_examples=15)
    def test_dark_on_noise(self, seed: int) -> None:
        """Where no Hessian next to a singular one magnifies float32's rounding."""
        maps = noise(seed, 2, 1, 1, 9, 9)
        _, hessian = slow_hessian(maps[0, 0].double().numpy())
        assume(abs(np.linalg.det(hessian)) > 0.01)
        assert_twins(maps, ("dark",))


class TestAll:
    @every
    def test_shapes_and_types(self, decoder: Decoder) -> None:
        points, scores, covariances = decoder(torch.randn(2, 5, 8, 10, dtype=torch.float64), STRIDE)
        assert (points.shape, scores.shape, covariances.shape) == ((2, 5, 2), (2, 5), (2, 5, 3))
        assert {points.dtype, scores.dtype, covariances.dtype} == {torch.float32}

    @every
    @pytest.mark.parametrize("window", [5, 7])
    def test_scores_and_covariances_are_the_windows(self, decoder: Decoder, window: int) -> None:
        """But softmax_mean's covariances, which are the whole map's as its points are."""
        maps = noise(0, 3, 2, 5, 12, 12)
        _, scores, covariances = decoder(maps, STRIDE, window)
        assert torch.equal(scores, decode(maps, STRIDE, window)[1])
        if decoder is softmax_mean:
            assert_allclose(covariances, decode(maps, STRIDE, 12)[2], atol=1e-3)
        else:
            assert torch.equal(covariances, decode(maps, STRIDE, window)[2])

    @every
    @given(seeds, st.integers(0, 17), st.integers(0, 17))
    @settings(max_examples=10)
    def test_a_shift_of_the_map_shifts_the_point(self, decoder: Decoder, seed: int, down: int, right: int) -> None:
        maps = torch.full((2, 1, 32, 32), -60.0)
        patch = noise(seed, 1, 7, 7)
        patch[3, 3] += 6
        maps[0, 0, 4:11, 4:11] = patch
        maps[1, 0, 4 + down : 11 + down, 4 + right : 11 + right] = patch
        (before,), (after,) = decoder(maps, STRIDE)[0]
        assert_allclose(after - before, (STRIDE * right, STRIDE * down), atol=1e-3)

    @every
    @given(seeds)
    @settings(max_examples=10)
    def test_mirroring_the_map_mirrors_the_point(self, decoder: Decoder, seed: int) -> None:
        """Noisy peaks anywhere, at the border too."""
        maps = bump(noise(seed, 6, 20, 2) + 7, 16).clamp_min(-9) + noise(seed, 0.3, 20, 16, 16)
        points = decoder(maps[None], STRIDE)[0][0]
        for axis, mirrored in enumerate((maps.flip(-1), maps.flip(-2))):
            expected = points.clone()
            expected[:, axis] = 16 * STRIDE - 1 - points[:, axis]
            assert_allclose(decoder(mirrored[None], STRIDE)[0][0], expected, atol=2e-3)

    @every
    def test_a_flat_map_has_a_finite_point(self, decoder: Decoder) -> None:
        points, scores, _ = decoder(torch.zeros(1, 1, 32, 32), STRIDE)
        assert torch.isfinite(points).all()
        assert scores.item() == pytest.approx(49 / 1024)


def test_dark_leaves_a_singular_peak_where_it_is() -> None:
    """A ridge along x: its logarithm has no curvature there."""
    ridge = -((torch.arange(15.0) - 7.3) ** 2)[:, None].expand(15, 31).clone()
    ridge[:, 15] += 1e-6  # the peak, far from the ends
    points, _, _ = dark(ridge[None, None], STRIDE)
    assert cells_from_pixels(points, STRIDE).flatten().tolist() == [15, 7]


class TestAccuracy:
    """The mean distance, in cells, on Gaussians at random places between the cells' middles, away from the border."""

    def error(self, decoder: Decoder, sigma: float) -> float:
        cells = torch.rand(1, 500, 2, generator=torch.Generator().manual_seed(0)) * 20 + 5.5
        points, _, _ = decoder(bump(cells, sigma=sigma), STRIDE)
        return float((cells_from_pixels(points, STRIDE) - cells).norm(dim=-1).mean())

    @pytest.mark.parametrize(
        ("name", "low", "high"),
        [
            ("argmax", 0.36, 0.41),
            ("quarter", 0.17, 0.21),
            ("softmax_mean", 0, 1e-4),
            ("dark", 0, 1e-4),
            ("local_softmax", 0, 1e-3),
        ],
    )
    def test_at_the_labels_width(self, name: str, low: float, high: float) -> None:
        assert low <= self.error(DECODERS[name], SIGMA) < high

    @pytest.mark.parametrize(("name", "low", "high"), [("dark", 0, 1e-4), ("local_softmax", 0.02, 0.06)])
    def test_on_a_wider_gaussian(self, name: str, low: float, high: float) -> None:
        """7 cells cut a Gaussian of 1.5 cells off; a parabola fits its logarithm as before."""
        assert low <= self.error(DECODERS[name], 1.5) < high

    def test_the_mean_of_the_map_is_drawn_to_its_middle_by_what_lies_around(self) -> None:
        """A hundredth of the mass, evenly spread, moves a point 8 cells beside the middle by 0.08."""
        mixed = 0.99 * bump(torch.tensor([[[23.5, 15.5]]])).exp() + 0.01 / CELLS**2
        errors = {
            name: float((cells_from_pixels(decoder(mixed.log(), STRIDE)[0], STRIDE)[0, 0, 0] - 23.5).abs())
            for name, decoder in DECODERS.items()
        }
        assert errors["softmax_mean"] == pytest.approx(0.08, abs=1e-3)
        assert max(errors["dark"], errors["local_softmax"]) < 0.005


class Graph(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.decoder(logits, STRIDE)


def export(decoder: Decoder, path: Path) -> None:
    names = ["logits", "points", "scores", "covariances"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the other exporter
        torch.onnx.export(
            Graph(decoder),
            (torch.zeros(2, 6, 16, 12),),
            path,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "faces"} for name in names},
            opset_version=17,
            dynamo=False,
        )


@every
def test_the_exported_graph_answers_as_torch_does(decoder: Decoder, tmp_path: Path) -> None:
    """Traced with two faces, run with one and five; and its operations are those that TensorRT takes."""
    path = tmp_path / "decoder.onnx"
    export(decoder, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for faces in (1, 5):
        maps = bump(noise(faces, 3, faces, 6, 2) + 7, 16)[..., :12].clamp_min(-9) + noise(faces, 0.3, faces, 6, 16, 12)
        maps[0, 0] = maps[0, 0].round()  # ties
        for got, expected in zip(session.run(None, {"logits": maps.numpy()}), decoder(maps, STRIDE), strict=True):
            assert got.dtype == np.float32
            assert_allclose(got, expected, atol=1e-4)
    operations = [node.op_type for node in onnx.load(path).graph.node]
    assert operations.count("ArgMax") == 2  # the row, then the column in it
    assert not {"NonZero", "ScatterND", "GatherND", "If", "Loop"} & set(operations)
    assert "MatMul" not in operations or decoder is dark  # Turing has none in float32
