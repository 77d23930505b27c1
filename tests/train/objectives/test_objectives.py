"""Objectives: what each asks of a map, and that the shared decoder reads back what it asks for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from tracker.face.schemes import IBUG68
from train.codecs import gaussian, hih, integer
from train.codecs.decoders import dark
from train.losses.classification import soft_classification_loss
from train.losses.structured import margin_map, structured_loss
from train.objectives import (
    AnisotropicDirection,
    HeatmapInHeatmap,
    HeatmapMse,
    IntegerHeatmap,
    Isotropic,
    Labels,
    Mahalanobis,
    Objective,
    OffsetMap,
    OffsetVector,
    SoftArgmax,
    Star,
    Structured,
    Subpixel,
    describe,
    label_distribution,
)
from train.targets.boundaries import edge_maps
from train.targets.label_smoothing import ImageAware, covariances, deviations

CELLS, STRIDE = 16, 4
OBJECTIVES: dict[str, Objective] = {
    "structured": Structured(),
    "structured, hard maximum": Structured(epsilon=0, margin="l1"),
    "structured, drawn": Structured(samples=10),
    "image-aware": Structured(smoothing=ImageAware(half_width=4, gamma=0.5, edges="all")),
    "star": Star(),
    "star, image-aware, drawn": Star(smoothing=ImageAware(half_width=4, gamma=0.5, edges="all")),
    "star, linear": Star(reading="linear", restriction="detach"),
    "soft-argmax": SoftArgmax(),
    "soft-argmax, linear": SoftArgmax(reading="linear"),
    "soft-argmax, regularised": SoftArgmax(regularisation=1.0),
    "star, regularised": Star(regularisation=1.0),
    "mahalanobis": Mahalanobis(),
    "mahalanobis, likelihood": Mahalanobis(restriction="log_determinant"),
    "anisotropic direction": AnisotropicDirection(),
    "anisotropic direction, of the maps": AnisotropicDirection("linear", anisotropy="maps"),
    "image-aware, own curves": Structured(smoothing=ImageAware(half_width=4, gamma=0.5, edges="own")),
    "heatmap": HeatmapMse(),
    "integer heatmap": IntegerHeatmap(decoder="argmax"),
    "subpixel": Subpixel(),
    "heatmap in heatmap": HeatmapInHeatmap(),
    "heatmap in heatmap, hard labels": HeatmapInHeatmap(sigma_decimals=0),
    "heatmap in heatmap, l2": HeatmapInHeatmap(decimal_loss="l2"),
    "offset vector": OffsetVector(),
    "offset vector, of the prediction": OffsetVector(target_of="prediction", distance="l2"),
    "offset map": OffsetMap(),
}
PLACES = {"decimals": (68, 8, 8), "vector": (68, 2), "map": (2, CELLS, CELLS)}  # what a head of that kind answers
every = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


@pytest.fixture(scope="module")
def labels(face68: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Labels:
    """A face of 68 points well inside maps of 16 x 16 cells."""
    faces = [face68 * 0.4 + 10]
    edges = [edge_maps(face, IBUG68, CELLS * STRIDE, STRIDE, "distance") for face in faces]
    return Labels(torch.from_numpy(np.stack(faces)).float(), torch.from_numpy(np.stack(edges)), CELLS, STRIDE, IBUG68)


def learned(objective: Objective, labels: Labels, steps: int = 150) -> tuple[Tensor, Tensor | None, list[float]]:
    """Maps and a head's answer found by descent on the loss itself, one free number each, and the losses on the way."""
    torch.manual_seed(0)
    maps = (0.5 + 0.1 * torch.randn(1, 68, CELLS, CELLS)).requires_grad_()
    head_output = 0.1 * torch.randn(1, *PLACES[objective.head]) if objective.head else None
    free = [maps] if head_output is None else [maps, head_output.requires_grad_()]
    optimizer, losses = torch.optim.Adam(free, 0.2), []
    for _ in range(steps):
        loss = objective.loss_for(labels)(maps).sum()
        if head_output is not None:
            loss = loss + objective.head_loss_for(labels, maps)(head_output).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return maps.detach(), None if head_output is None else head_output.detach(), losses


@every
def test_one_loss_a_landmark(objective: Objective, labels: Labels) -> None:
    maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    loss = objective.loss_for(labels)(maps)
    assert loss.shape == (1, 68)
    assert torch.isfinite(loss).all()


# In pixels of the crop, on the mean. Only one of its cells is drawn for a label; the hard maximum knows whole cells
# only, and so does what is rounded to a cell; landmarks share cells of the offset map; the likelihood narrows a map
# towards a cell.
BOUNDS = {
    "structured, hard maximum": 1.5,
    "structured, drawn": 1.5,
    "star, image-aware, drawn": 1.5,
    "mahalanobis, likelihood": 0.8,
    "integer heatmap": 1.7,
    "subpixel": 0.6,
    "heatmap in heatmap": 0.3,
    "heatmap in heatmap, hard labels": 0.3,
    "heatmap in heatmap, l2": 0.3,
    "offset vector": 0.01,
    "offset vector, of the prediction": 0.01,
    "offset map": 1.0,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_it_asks_for_is_what_its_decoder_reads(name: str, labels: Labels) -> None:
    objective = OBJECTIVES[name]
    maps, head_output, losses = learned(objective, labels)
    assert losses[-1] < losses[0]
    points, _, _ = objective.read(objective.logits(maps), head_output, STRIDE)
    error = (points - labels.points_px).norm(dim=-1)
    assert error.mean() < BOUNDS.get(name, 0.5)


def test_structured_is_the_loss_of_that_name(labels: Labels) -> None:
    maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(1))
    target = gaussian.encode(labels.points_px, CELLS, STRIDE, 1.3)
    expected = structured_loss(maps, target, margin_map(labels.points, CELLS, "l2"), 0.5)
    objective = Structured(margin="l2", epsilon=0.5, smoothing=Isotropic(1.3))
    assert_allclose(objective.loss_for(labels)(maps), expected)


def test_alpha_scales_the_margin(labels: Labels) -> None:
    """Eq. 12: twice the margin, written out cell by cell for one landmark."""
    maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(1))
    found = Structured(alpha=2.0, smoothing=Isotropic(1.3)).loss_for(labels)(maps)[0, 30].item()
    target = gaussian.encode(labels.points_px, CELLS, STRIDE, 1.3)[0, 30]
    x, y = labels.points[0, 30].tolist()
    total, at_label = 0.0, 0.0
    for row, column in np.ndindex(CELLS, CELLS):
        distance = np.hypot(2 * column / (CELLS - 1) - 1 - x, 2 * row / (CELLS - 1) - 1 - y)
        margin = 2 * (distance**2 / 0.02 if distance < 0.01 else distance - 0.005)
        total += np.exp(margin + maps[0, 30, row, column].item())
        at_label += (target[row, column] * maps[0, 30, row, column]).item()
    assert found == pytest.approx(np.log(total) - at_label, rel=1e-5)


def test_drawn_labels_average_to_the_expectation(labels: Labels) -> None:
    """Without a margin, where the two are the same in the mean."""
    maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    drawn = Structured(margin="none", samples=2000).loss_for(labels)(maps)
    exact = Structured(margin="none").loss_for(labels)(maps)
    assert_allclose(drawn, exact, atol=0.15)


def test_image_aware_labels_lie_along_the_jaw(labels: Labels) -> None:
    """At the cheek the jaw runs down: labels are spread more in y than in x. On maps of 64 cells."""
    points_px = 4 * labels.points_px[:1]
    edges = torch.from_numpy(edge_maps(points_px[0].double().numpy(), IBUG68, 256, 4, "distance"))[None]
    image = label_distribution(
        Labels(points_px, edges, 64, 4, IBUG68), ImageAware(half_width=8, gamma=0.2, edges="all")
    )[0, 1]
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    spread_x, spread_y = (((axis - (image * axis).sum()) ** 2 * image).sum() for axis in (x, y))
    assert spread_y > 1.2 * spread_x


def test_own_curves_ask_for_the_landmarks_own_curve(labels: Labels) -> None:
    """The labels of the nose do not see the curves of the eyes and the mouth, those of all curves do."""
    nose, others = IBUG68.curves[3], [0, 1, 2, 4, 5, 6, 7, 8]
    bare = labels._replace(edges=labels.edges.clone())
    bare.edges[:, others] = 0
    for edges, seen in (("own", False), ("all", True)):
        smoothing = ImageAware(half_width=4, gamma=0.5, edges=edges)  # type: ignore[arg-type]
        whole, alone = (label_distribution(each, smoothing)[:, list(nose.indices)] for each in (labels, bare))
        assert torch.equal(whole, alone) is not seen


class TestDistributionRegularisation:
    @pytest.mark.parametrize("made", [SoftArgmax, Star, Mahalanobis, AnisotropicDirection])
    def test_is_added_to_any_regression(self, made: type, labels: Labels) -> None:
        """STAR, section 5.3: the Jensen-Shannon divergence from a Gaussian of one cell, written out."""
        maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(5))
        plain, regular = (made(regularisation=w).loss_for(labels)(maps)[0, 8].item() for w in (0.0, 3.0))
        p = np.exp(maps[0, 8].double().numpy())
        q = np.zeros((CELLS, CELLS))
        x, y = ((labels.points_px[0, 8].double() + 0.5) / STRIDE - 0.5).tolist()
        for row, column in np.ndindex(CELLS, CELLS):
            q[row, column] = np.exp(-((column - x) ** 2 + (row - y) ** 2) / 2)
        p, q = p / p.sum(), q / q.sum()
        middle = (p + q) / 2
        divergence = (p * np.log(p / middle)).sum() / 2 + (q * np.log(np.maximum(q, 1e-300) / middle)).sum() / 2
        assert regular - plain == pytest.approx(3 * divergence, rel=1e-4)


class TestAnisotropicDirection:
    @pytest.mark.parametrize("anisotropy", [1.0, 2.0, 9.0])
    def test_an_error_across_the_curve_weighs_lambda_times_more(self, anisotropy: float, labels: Labels) -> None:
        """Maps of one bright cell, a way along the jaw or across it from the label; errors far above 0.01."""
        tangent = labels.points[0, 9] - labels.points[0, 7]
        tangent = tangent / tangent.norm()
        losses = []
        for way in (tangent, torch.stack([-tangent[1], tangent[0]])):
            moved = labels._replace(points_px=labels.points_px.clone())
            maps = -1e4 * torch.ones(1, 68, CELLS, CELLS)
            maps[0, :, 8, 8] = 0
            middle = torch.full((2,), 8 * STRIDE + (STRIDE - 1) / 2)
            shift = middle + 30 * way - moved.points_px[0, 8]
            moved = moved._replace(points_px=labels.points_px + shift)
            losses.append(AnisotropicDirection(anisotropy=anisotropy).loss_for(moved)(maps)[0, 8].item() + 0.005)
        along, across = losses
        assert across / along == pytest.approx(np.sqrt(anisotropy), rel=0.02)


class TestReading:
    def test_subpixels_temperature_and_window_are_options(self, labels: Labels) -> None:
        """Eq. 4 and 5 written out around a peak."""
        maps = Subpixel().target(labels)
        for window, temperature in ((3, 10.0), (5, 4.0), (7, 20.0)):
            objective = Subpixel(window=window, temperature=temperature)
            points, _, _ = objective.read(objective.logits(maps), None, STRIDE)
            row, column = divmod(int(maps[0, 30].argmax()), CELLS)
            half, total, mean = window // 2, 0.0, np.zeros(2)
            for y in range(row - half, row + half + 1):
                for x in range(column - half, column + half + 1):
                    weight = np.exp(temperature * maps[0, 30, y, x].item())
                    total, mean = total + weight, mean + weight * np.array([x, y])
            assert_allclose(points[0, 30], (mean / total + 0.5) * STRIDE - 0.5, rtol=1e-5)

    @pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_temperature_that_is_none_is_refused(self, temperature: float) -> None:
        with pytest.raises(ValueError, match="temperature: expected a positive number"):
            Subpixel(temperature=temperature)

    def test_dark_blurs_as_widely_as_the_labels(self, labels: Labels) -> None:
        for objective, sigma in (
            (IntegerHeatmap(1.5, decoder="dark"), 1.5),
            (IntegerHeatmap(1.0, decoder="dark"), 1.0),
            (Structured(smoothing=Isotropic(0.7)), 0.7),
            (SoftArgmax(), 0.9),
        ):
            maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(6)).abs()
            logits = objective.logits(maps)
            points, _, _ = objective.read(logits, None, STRIDE, "dark")
            assert torch.equal(points, dark(logits, STRIDE, objective.window, sigma)[0])
            assert not torch.equal(points, dark(logits, STRIDE, objective.window, 1.2)[0])


def test_only_image_aware_smoothing_needs_edges() -> None:
    needing = [name for name, objective in OBJECTIVES.items() if objective.needs_edges]
    assert needing == ["image-aware", "star, image-aware, drawn", "image-aware, own curves"]


def test_says_how_wide_labels_are(labels: Labels) -> None:
    """Of these faces and their edges, not of a synthetic edge."""
    for smoothing in (
        ImageAware(half_width=4, gamma=0.2, edges="all"),
        ImageAware(half_width=4, gamma=0.2, edges="own"),
    ):
        widths = deviations(covariances(labels.edges, labels.points_px, STRIDE, smoothing, labels.scheme.curves))
        shorter, longer = np.median(widths.reshape(-1, 2).numpy().astype(float), 0)
        expected = (
            f"{shorter:.2f} cells of the heatmap along their shorter axis and {longer:.2f} along their longer one"
        )
        assert f"{expected}, medians" in describe(smoothing, labels)
    assert describe(Isotropic(0.9), labels).endswith("a standard deviation of 0.90 cells of the heatmap")
    assert describe(None, labels) == "labels: points, not smoothed"


def test_points_are_in_the_maps_own_coordinates() -> None:
    corners = torch.tensor([[[1.5, 1.5], [61.5, 61.5], [31.5, 1.5]]])
    points = Labels(corners, torch.zeros(1, 0, CELLS, CELLS), CELLS, STRIDE, IBUG68).points
    assert points.tolist() == [[[-1, -1], [1, 1], [0, -1]]]


class TestHeads:
    def test_only_those_that_read_one_need_it(self) -> None:
        needing = {name: objective.head for name, objective in OBJECTIVES.items() if objective.head}
        assert needing == {
            "heatmap in heatmap": "decimals",
            "heatmap in heatmap, hard labels": "decimals",
            "heatmap in heatmap, l2": "decimals",
            "offset vector": "vector",
            "offset vector, of the prediction": "vector",
            "offset map": "map",
        }

    def test_others_have_no_loss_for_it(self, labels: Labels) -> None:
        with pytest.raises(NotImplementedError, match="Star learns from maps alone"):
            Star().head_loss_for(labels, torch.zeros(0))

    @pytest.mark.parametrize("decimals", [4, 8, 16])
    def test_decimals_are_classes(self, decimals: int, labels: Labels) -> None:
        """However many there are."""
        maps = torch.randn(1, 68, decimals, decimals, generator=torch.Generator().manual_seed(3))
        _, target = hih.encode(labels.points_px, CELLS, STRIDE, 1.5, decimals, 0.8)
        loss = HeatmapInHeatmap(sigma_decimals=0.8).head_loss_for(labels, torch.zeros(0))(maps)
        assert_allclose(loss, soft_classification_loss(maps, target))

    def test_decimals_may_be_learned_by_their_squared_error(self, labels: Labels) -> None:
        """HIH's Table VIII, written out for one landmark."""
        maps = torch.randn(1, 68, 8, 8, generator=torch.Generator().manual_seed(3))
        _, target = hih.encode(labels.points_px, CELLS, STRIDE)
        loss = HeatmapInHeatmap(decimal_loss="l2").head_loss_for(labels, torch.zeros(0))(maps)
        expected = sum((maps[0, 5, i, j] - target[0, 5, i, j]).item() ** 2 for i, j in np.ndindex(8, 8)) / 64
        assert loss[0, 5].item() == pytest.approx(expected, rel=1e-5)

    def test_hard_labels_are_one_decimal_cell(self, labels: Labels) -> None:
        _, hard = hih.encode(labels.points_px, CELLS, STRIDE, sigma_decimals=0)
        _, soft = hih.encode(labels.points_px, CELLS, STRIDE)
        assert torch.equal(hard.flatten(2).sum(-1), torch.ones(1, 68))
        assert torch.equal(hard.flatten(2).argmax(-1), soft.flatten(2).argmax(-1))

    def test_dynamic_offsets_are_counted_from_the_answered_cell(self, labels: Labels) -> None:
        """Bulat et al., section 4.1: with them the decoder is right wherever the map's peak is."""
        maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(7)).requires_grad_()
        objective = OffsetVector(target_of="prediction", distance="l2")
        peaks = maps.flatten(2).argmax(-1)
        cells = torch.stack([peaks % CELLS, peaks // CELLS], -1)
        offsets = ((labels.points_px + 0.5) / STRIDE - cells).requires_grad_()
        loss = objective.head_loss_for(labels, maps)(offsets)
        assert_allclose(loss.detach(), np.zeros((1, 68)), atol=1e-10)
        assert_allclose(objective.head_loss_for(labels, maps)(offsets.detach() + 0.5), np.full((1, 68), 0.25), 1e-5)
        points, _, _ = objective.read(objective.logits(maps), offsets, STRIDE)
        assert_allclose(points.detach(), labels.points_px, atol=1e-4)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        assert maps.grad is None

    def test_an_offset_map_is_learned_where_landmarks_are(self, labels: Labels) -> None:
        maps = torch.randn(1, 2, CELLS, CELLS, generator=torch.Generator().manual_seed(4)).requires_grad_()
        OffsetMap().head_loss_for(labels, torch.zeros(0))(maps).sum().backward()
        cell, _ = integer.split(labels.points_px, CELLS, STRIDE)
        inhabited = torch.zeros(CELLS, CELLS, dtype=torch.bool)
        inhabited[cell[0, :, 1].long(), cell[0, :, 0].long()] = True
        assert maps.grad is not None
        assert torch.equal(maps.grad[0].abs().sum(0) > 0, inhabited)

    def test_an_offset_map_may_be_learned_everywhere(self, labels: Labels) -> None:
        """HIH, appendix B: the map is the offset where a landmark is and zero elsewhere; smooth L1, a mean over it."""
        cell, fractions = integer.split(labels.points_px, CELLS, STRIDE)
        target = np.zeros((2, CELLS, CELLS))
        for (x, y), fraction in zip(cell[0].long().tolist(), fractions[0], strict=True):
            target[:, y, x] = fraction  # the last one stays where several share a cell
        generator = torch.Generator().manual_seed(4)
        maps = 3 * torch.randn(1, 2, CELLS, CELLS, generator=generator)
        off = np.abs(maps[0].numpy() - target)
        expected = np.where(off < 1, off**2 / 2, off - 0.5).mean()
        loss = OffsetMap(everywhere=True).head_loss_for(labels, torch.zeros(0))(maps)
        assert_allclose(loss, np.full((1, 68), expected), rtol=1e-5)

    def test_landmarks_that_do_not_count_are_not_in_the_map(self, labels: Labels) -> None:
        """One beyond the crop, which would be drawn into the nearest cell, and one without a weight."""
        points_px = labels.points_px.clone()
        points_px[0, 5, 0] = CELLS * STRIDE + 9
        weights = torch.ones(1, 68)
        weights[0, 7] = 0
        inside = torch.ones(1, 68, dtype=torch.bool)
        inside[0, 5] = False
        objective = OffsetMap(everywhere=True)
        changed = labels._replace(points_px=points_px, weights=weights, inside=inside)
        others = [k for k in range(68) if k not in (5, 7)]
        kept = labels._replace(points_px=points_px[:, others])
        generator = torch.Generator().manual_seed(4)
        maps = torch.randn(1, 2, CELLS, CELLS, generator=generator)
        expected = objective.head_loss_for(kept, torch.zeros(0))(maps)[0, 0]
        assert_allclose(objective.head_loss_for(changed, torch.zeros(0))(maps)[0, 0], expected, rtol=1e-6)

    def test_offsets_are_learned_by_a_smooth_distance(self, labels: Labels) -> None:
        """Half the square below 1, the distance less a half above: by hand for three answers."""
        _, fraction = integer.split(labels.points_px, CELLS, STRIDE)
        for off, expected in ((0.0, 0.0), (0.5, 0.125), (3.0, 2.5)):
            loss = OffsetVector().head_loss_for(labels, torch.zeros(0))(fraction + off)
            assert_allclose(loss, np.full((1, 68), expected), atol=1e-5)
