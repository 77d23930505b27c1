"""Objectives: what each asks of a map, and that the shared decoder reads back what it asks for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from tracker.face.schemes import IBUG68
from train.codecs import gaussian, hih, integer
from train.codecs.reading import read
from train.losses.classification import soft_classification_loss
from train.losses.structured import margin_map, structured_loss
from train.objectives import (
    HeatmapInHeatmap,
    HeatmapMse,
    IntegerHeatmap,
    Isotropic,
    Labels,
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
from train.targets.label_smoothing import ImageAware

CELLS, STRIDE = 16, 4
OBJECTIVES: dict[str, Objective] = {
    "structured": Structured(),
    "structured, hard maximum": Structured(epsilon=0, margin="l1"),
    "structured, drawn": Structured(samples=10),
    "image-aware": Structured(smoothing=ImageAware(half_width=4, gamma=0.5)),
    "star": Star(),
    "star, image-aware, drawn": Star(smoothing=ImageAware(half_width=4, gamma=0.5)),
    "star, linear": Star(reading="linear", restriction="detach"),
    "soft-argmax": SoftArgmax(),
    "soft-argmax, linear": SoftArgmax(reading="linear"),
    "soft-argmax, regularised": SoftArgmax(regularisation=1.0),
    "heatmap": HeatmapMse(),
    "integer heatmap": IntegerHeatmap(decoder="argmax"),
    "subpixel": Subpixel(),
    "heatmap in heatmap": HeatmapInHeatmap(),
    "offset vector": OffsetVector(),
    "offset map": OffsetMap(),
}
PLACES = {"decimals": (68, 8, 8), "vector": (68, 2), "map": (2, CELLS, CELLS)}  # what a head of that kind answers
every = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


@pytest.fixture(scope="module")
def labels(face68: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Labels:
    """A face of 68 points well inside maps of 16 x 16 cells."""
    faces = [face68 * 0.4 + 10]
    edges = [edge_maps(face, IBUG68, CELLS * STRIDE, STRIDE, "distance") for face in faces]
    return Labels(torch.from_numpy(np.stack(faces)).float(), torch.from_numpy(np.stack(edges)), CELLS, STRIDE)


def learned(objective: Objective, labels: Labels, steps: int = 150) -> tuple[Tensor, Tensor | None, list[float]]:
    """Maps and a head's answer found by descent on the loss itself, one free number each, and the losses on the way."""
    torch.manual_seed(0)
    maps = (0.5 + 0.1 * torch.randn(1, 68, CELLS, CELLS)).requires_grad_()
    places = 0.1 * torch.randn(1, *PLACES[objective.head]) if objective.head else None
    free = [maps] if places is None else [maps, places.requires_grad_()]
    optimizer, losses = torch.optim.Adam(free, 0.2), []
    for _ in range(steps):
        loss = objective.loss_for(labels)(maps).sum()
        if places is not None:
            loss = loss + objective.places_loss_for(labels)(places).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return maps.detach(), None if places is None else places.detach(), losses


@every
def test_one_loss_a_landmark(objective: Objective, labels: Labels) -> None:
    maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    loss = objective.loss_for(labels)(maps)
    assert loss.shape == (1, 68)
    assert torch.isfinite(loss).all()


# In pixels of the crop, on the mean. Only one of its cells is drawn for a label; the hard maximum knows whole cells
# only, and so does what is rounded to a cell; landmarks share cells of the offset map.
BOUNDS = {
    "structured, hard maximum": 1.5,
    "structured, drawn": 1.5,
    "star, image-aware, drawn": 1.5,
    "integer heatmap": 1.7,
    "subpixel": 0.6,
    "heatmap in heatmap": 0.3,
    "offset vector": 0.01,
    "offset map": 1.0,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_it_asks_for_is_what_its_decoder_reads(name: str, labels: Labels) -> None:
    objective = OBJECTIVES[name]
    maps, places, losses = learned(objective, labels)
    assert losses[-1] < losses[0]
    points, _, _ = read(objective.decoder, objective.logits(maps), places, STRIDE, objective.window)
    error = (points - labels.points_px).norm(dim=-1)
    assert error.mean() < BOUNDS.get(name, 0.5)


def test_structured_is_the_loss_of_that_name(labels: Labels) -> None:
    maps = torch.randn(1, 68, CELLS, CELLS, generator=torch.Generator().manual_seed(1))
    target = gaussian.encode(labels.points_px, CELLS, STRIDE, 1.3)
    expected = structured_loss(maps, target, margin_map(labels.points, CELLS, "l2"), 0.5)
    objective = Structured(margin="l2", epsilon=0.5, smoothing=Isotropic(1.3))
    assert_allclose(objective.loss_for(labels)(maps), expected)


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
    image = label_distribution(Labels(points_px, edges, 64, 4), ImageAware(half_width=8, gamma=0.2))[0, 1]
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    spread_x, spread_y = (((axis - (image * axis).sum()) ** 2 * image).sum() for axis in (x, y))
    assert spread_y > 1.2 * spread_x


def test_only_image_aware_smoothing_needs_edges() -> None:
    needing = [name for name, objective in OBJECTIVES.items() if objective.needs_edges]
    assert needing == ["image-aware", "star, image-aware, drawn"]


def test_says_how_wide_labels_are() -> None:
    """Half width 8 and gamma 0.2 are 0.5 cells across and 0.8 along: references of the paper's readings."""
    assert describe(ImageAware(half_width=8, gamma=0.2), 64).startswith("labels spread by 0.48 cells across and 0.78")
    assert describe(Isotropic(0.9), 64) == "labels spread by 0.90 cells"
    assert describe(None, 64) == "labels are points"


def test_points_are_in_the_maps_own_coordinates() -> None:
    corners = torch.tensor([[[1.5, 1.5], [61.5, 61.5], [31.5, 1.5]]])
    points = Labels(corners, torch.zeros(1, 0, CELLS, CELLS), CELLS, STRIDE).points
    assert points.tolist() == [[[-1, -1], [1, 1], [0, -1]]]


class TestHeads:
    def test_only_those_that_read_one_need_it(self) -> None:
        needing = {name: objective.head for name, objective in OBJECTIVES.items() if objective.head}
        assert needing == {"heatmap in heatmap": "decimals", "offset vector": "vector", "offset map": "map"}

    def test_others_have_no_loss_for_it(self, labels: Labels) -> None:
        with pytest.raises(NotImplementedError, match="Star learns from maps alone"):
            Star().places_loss_for(labels)

    @pytest.mark.parametrize("decimals", [4, 8, 16])
    def test_decimals_are_classes(self, decimals: int, labels: Labels) -> None:
        """However many there are."""
        maps = torch.randn(1, 68, decimals, decimals, generator=torch.Generator().manual_seed(3))
        _, target = hih.encode(labels.points_px, CELLS, STRIDE, 1.5, decimals, 0.8)
        loss = HeatmapInHeatmap(sigma_decimals=0.8).places_loss_for(labels)(maps)
        assert_allclose(loss, soft_classification_loss(maps, target))

    def test_an_offset_map_is_learned_where_landmarks_are(self, labels: Labels) -> None:
        maps = torch.randn(1, 2, CELLS, CELLS, generator=torch.Generator().manual_seed(4)).requires_grad_()
        OffsetMap().places_loss_for(labels)(maps).sum().backward()
        cell, _ = integer.split(labels.points_px, CELLS, STRIDE)
        inhabited = torch.zeros(CELLS, CELLS, dtype=torch.bool)
        inhabited[cell[0, :, 1].long(), cell[0, :, 0].long()] = True
        assert maps.grad is not None
        assert torch.equal(maps.grad[0].abs().sum(0) > 0, inhabited)

    def test_offsets_are_learned_by_a_smooth_distance(self, labels: Labels) -> None:
        """Half the square below 1, the distance less a half above: by hand for three answers."""
        _, fraction = integer.split(labels.points_px, CELLS, STRIDE)
        for off, expected in ((0.0, 0.0), (0.5, 0.125), (3.0, 2.5)):
            loss = OffsetVector().places_loss_for(labels)(fraction + off)
            assert_allclose(loss, np.full((1, 68), expected), atol=1e-5)
