"""The threshold between faces and the rest, and the views that it is fitted on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from export.calibration.presence import face_scores, fit_presence, views_upside_down, views_without_face
from export.graph import LandmarkGraph
from export.run import load, presence_of
from tracker.datasets.sample import Sample
from tracker.datasets.w300 import read_folder
from tracker.face.crop import Roi, crop, roi_of_landmarks
from tracker.face.geometry import transform_points
from tracker.face.schemes import IBUG68

Array = np.ndarray[Any, np.dtype[np.float64]]

scores = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1))


class TestFit:
    @given(st.integers(0, 10**6), st.integers(500, 3000), st.integers(500, 3000), st.floats(0, 0.9))
    def test_where_both_overlap_three_faces_are_missed_for_each_other_that_is_taken(
        self, seed: int, faces: int, others: int, low: float
    ) -> None:
        rng = np.random.default_rng(seed)
        of_faces, of_others = rng.uniform(low, 1, faces), rng.uniform(0, 1, others)
        threshold = fit_presence(of_faces, of_others)
        missed, taken = (of_faces < threshold).mean(), (of_others >= threshold).mean()
        assert abs(missed - 3 * taken) <= 4 / min(faces, others)

    def test_of_several_kinds_the_worst_counts(self) -> None:
        faces, easy, hard = np.linspace(0.5, 1, 1001), np.linspace(0, 0.1, 1001), np.linspace(0.2, 0.8, 1001)
        assert fit_presence(faces, easy, hard) == fit_presence(faces, hard) > fit_presence(faces, easy)

    @given(scores, scores)
    def test_separable_scores_are_separated_in_the_middle(self, faces: Array, others: Array) -> None:
        faces, others = np.repeat(0.6 + 0.4 * faces, 4), np.repeat(0.4 * others, 4)  # no extreme stands alone
        threshold = fit_presence(faces, others)
        assert others.max() < threshold < faces.min()
        assert threshold == pytest.approx((faces.min() + others.max()) / 2)

    @given(scores, scores, st.randoms())
    def test_order_does_not_matter(self, faces: Array, others: Array, random: Any) -> None:
        shuffled = [np.array(random.sample(list(values), len(values))) for values in (faces, others)]
        assert fit_presence(*shuffled) == pytest.approx(fit_presence(faces, others))

    def test_better_faces_or_worse_others_raise_it(self) -> None:
        faces, others = np.linspace(0.7, 0.9, 99), np.linspace(0.1, 0.3, 99)
        assert fit_presence(faces, others) == pytest.approx(0.5, abs=0.001)
        assert fit_presence(faces + 0.1, others) == pytest.approx(0.55, abs=0.001)
        assert fit_presence(faces, others + 0.2) == pytest.approx(0.6, abs=0.001)

    def test_where_both_overlap_by_a_known_share(self) -> None:
        faces, others = np.linspace(0.3, 0.9, 1001), np.linspace(0.1, 0.8, 1001)
        # (t - 0.3) / 0.6 = 3 (0.8 - t) / 0.7
        assert fit_presence(faces, others) == pytest.approx((0.21 + 1.44) / (0.7 + 1.8), abs=0.001)


class TestViews:
    def test_show_next_to_none_of_the_face(self, tmp_path: Path, face68: Array) -> None:
        """A white face on black: what is white in a view is the face."""
        points = face68 + np.array((140, 150))
        (left, top), (right, bottom) = points.min(0).round().astype(int), points.max(0).round().astype(int)
        picture = np.zeros((400, 400, 3), np.uint8)
        picture[top : bottom + 1, left : right + 1] = 255
        cv2.imwrite(str(tmp_path / "face.png"), picture)
        views = views_without_face([Sample(tmp_path / "face.png", points, IBUG68)] * 2, 32)
        assert views.shape == (8, 32, 32, 3)
        assert views.dtype == torch.uint8
        assert ((views > 0).float().mean((1, 2, 3)) < 0.05).all()

    def test_upside_down_the_same_view_is_turned_by_half_a_circle(self, tmp_path: Path, face68: Array) -> None:
        points = face68 + np.array((140, 150))
        picture = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
        picture = cv2.GaussianBlur(picture, (0, 0), 8)
        cv2.imwrite(str(tmp_path / "face.png"), picture)
        (view,) = views_upside_down([Sample(tmp_path / "face.png", points, IBUG68)], 32).numpy()
        upright = crop(picture[..., ::-1], roi_of_landmarks(points), 32)
        assert np.abs(view.astype(int) - upright[::-1, ::-1].astype(int)).max() <= 2

    def test_hold_none_of_the_landmarks(self, shared: Path) -> None:
        """As views_without_face places them: at most four of 68, at a corner of the jaw, are seen."""
        for sample in read_folder(shared / "data/300w/lfpw/trainset")[:50]:
            roi = roi_of_landmarks(sample.points_px)
            for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
                away = 0.9 * roi.side_px * np.sqrt(0.5)
                view = Roi((roi.center_px[0] + x * away, roi.center_px[1] + y * away), 0.6 * roi.side_px)
                inside = transform_points(view.crop_from_image(1), sample.points_px)
                assert (np.abs(inside) <= 0.5).all(-1).sum() <= 4


def test_face_scores_are_the_means_of_the_points(checkpoint: Path) -> None:
    task, _, _ = load(checkpoint)
    graph = LandmarkGraph(task).eval()
    crops = torch.randint(0, 256, (19, 32, 32, 3), dtype=torch.uint8)  # more than are run at a time
    together = face_scores(graph, crops)
    with torch.no_grad():
        alone = [graph(crop[None])[1].mean().item() for crop in crops]
    assert together.shape == (19,)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_crops_without_a_face_and_hidden_faces_of_a_training_are_no_faces_here(checkpoint: Path) -> None:
    task, data, _ = load(checkpoint)
    graph = LandmarkGraph(task).eval()
    plain = presence_of(graph, data)[0]
    data.augmentation = replace(data.augmentation, absent=1.0, cover=1.0)
    assert presence_of(graph, data)[0] == plain
