"""Views of a face: there and back, mirrored ones included; the average of several, and their spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.face.crop import Roi
from tracker.face.geometry import transform_points
from tracker.face.schemes import IBUG68
from train.labels.views import Variation, average, generator, random_views

ROI = Roi((90.0, 110.0), 120.0, 0.3)
SEEDS = st.integers(0, 2**32 - 1)


class TestViews:
    @given(seed=SEEDS)
    def test_points_come_back(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        points = np.column_stack([rng.uniform(0, 200, (68, 2)), rng.normal(0, 20, 68)])
        for view in random_views(ROI, 256, 4, rng, Variation()):
            there = transform_points(view.view_from_picture, points[:, :2])
            depth = points[:, 2:] * np.sqrt(abs(np.linalg.det(view.view_from_picture[:, :2])))
            seen = np.hstack([there, depth])
            if view.mirrored:
                seen = seen[IBUG68.flip]  # a teacher takes the mirrored face for a face
            assert np.allclose(view.to_picture(seen, IBUG68.flip), points)

    @given(seed=SEEDS)
    def test_stay_within_their_limits(self, seed: int) -> None:
        by = Variation(rotation_rad=0.2, scale=1.1, shift=0.05, gamma=1.2)
        views = random_views(ROI, 256, 6, np.random.default_rng(seed), by)
        assert [view.mirrored for view in views] == [False, True] * 3
        for view in views:
            linear = view.view_from_picture[:, :2]
            assert (np.linalg.det(linear) < 0) == view.mirrored
            assert 1 / 1.1 <= np.sqrt(abs(np.linalg.det(linear))) * 120 / 256 <= 1.1 + 1e-9
            middle = transform_points(view.view_from_picture, ROI.center_px)
            assert np.linalg.norm(middle - 127.5) <= np.sqrt(2) * 0.05 * 256 * 1.1 + 1e-9
            assert 1 / 1.2 <= view.gamma <= 1.2

    def test_picture_and_points_agree(self) -> None:
        """A dot drawn in the picture is where the view's transform says, in every view."""
        picture = np.zeros((220, 200, 3), np.uint8)
        picture[99:102, 79:82] = 255
        for view in random_views(ROI, 128, 4, np.random.default_rng(0), Variation()):
            seen = view.see(picture, 128)[..., 0].astype(float)
            ys, xs = np.indices(seen.shape)
            found = np.array([(xs * seen).sum(), (ys * seen).sum()]) / seen.sum()
            assert np.abs(found - transform_points(view.view_from_picture, [80.0, 100.0])).max() < 0.15

    def test_numbers_of_a_picture_are_its_own(self) -> None:
        draws = [generator(seed, name).random() for seed in (0, 1) for name in ("a.jpg", "b.jpg")]
        assert len(set(draws)) == 4 and draws[0] == generator(0, "a.jpg").random()


class TestAverage:
    def test_of_equal_views_is_the_view(self) -> None:
        view = np.random.default_rng(0).normal(size=(68, 3))
        points, spread = average(np.stack([view] * 5))
        assert np.allclose(points, view) and np.allclose(spread, 0)

    def test_leaves_out_a_view_that_is_far_off_and_counts_it_in_the_spread(self) -> None:
        views = np.random.default_rng(0).normal(0, 0.1, (8, 68, 2))
        views[3] += 50
        points, spread = average(views)
        assert np.abs(points).max() < 0.5
        assert spread == pytest.approx(np.sqrt(2) * 50 / np.sqrt(7), rel=0.05)

    @given(seed=SEEDS)
    def test_spread_is_that_of_the_views(self, seed: int) -> None:
        """Without outliers, against the standard deviation of each coordinate."""
        views = np.random.default_rng(seed).uniform(-1, 1, (8, 5, 2))
        views = np.concatenate([views, -views])  # the median is 0, and so is the mean of all
        points, spread = average(views)
        full = np.sqrt((views**2).sum((0, 2)) / 15)
        assert (spread >= full - 1e-9).all() and np.allclose(
            spread[np.abs(points).max(1) < 1e-9], full[np.abs(points).max(1) < 1e-9]
        )

    def test_views_without_the_face_do_not_count(self) -> None:
        views = np.zeros((4, 68, 3))
        views[1] = np.nan
        assert np.isfinite(average(views)[0]).all()
        assert np.isnan(average(views[:2])[0]).all()
