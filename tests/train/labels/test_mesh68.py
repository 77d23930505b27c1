"""iBUG's points on the mesh: the table's geometry, the rules on London faces, and the table learned anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.fit_mesh68 import fit_mesh68, mirror_pairs, triangles_of
from tools.london import along, ibug68, read_template, spline
from tracker.datasets.sample import DatasetError
from tracker.face.geometry import similarity, transform_points
from tracker.face.schemes import IBUG68
from train.labels.mesh68 import JAW, TABLE, VERTICES, load_mesh68


class TestTable:
    def test_weights_add_up_to_1(self) -> None:
        table = load_mesh68()
        for rows in (table.weights, *table.stretches):
            assert np.abs(rows.sum(1) - 1).max() < 1e-12

    def test_mirror_is_an_involution(self) -> None:
        flip = load_mesh68().flip
        assert (flip[flip] == np.arange(VERTICES)).all()
        assert flip[33] == 263 and flip[4] == 4 and flip[468] == 473  # eye corners, nose, irises

    def test_stretches_start_at_the_point(self) -> None:
        table = load_mesh68()
        for index, stretch in enumerate(table.stretches):
            assert np.allclose(stretch[0], table.weights[index])

    def test_lips_do_not_mix(self) -> None:
        table = load_mesh68()
        upper, lower = {13, 80, 81, 82, 310, 311, 312}, {14, 87, 88, 178, 317, 318, 402}
        for points, own in (((61, 62, 63), upper), ((65, 66, 67), lower)):
            for point in points:
                assert set(np.flatnonzero(table.weights[point])) <= own

    @settings(max_examples=20)
    @given(seed=st.integers(0, 2**32 - 1), turn=st.floats(-3, 3), scale=st.floats(0.1, 10))
    def test_points_turn_with_the_picture(self, seed: int, turn: float, scale: float) -> None:
        table, mesh = load_mesh68(), np.random.default_rng(seed).normal(0, 50, (VERTICES, 3))
        moved = similarity(scale, turn, (3, 4), (50, 60))
        there = np.column_stack([transform_points(moved, mesh[:, :2]), scale * mesh[:, 2]])
        assert np.allclose(table.points(there), transform_points(moved, table.points(mesh)), atol=1e-6 * scale)

    @settings(max_examples=20)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_points_of_a_mirrored_mesh_are_mirrored(self, seed: int) -> None:
        table, mesh = load_mesh68(), np.random.default_rng(seed).normal(0, 50, (VERTICES, 3))
        mirrored = table.points(mesh[table.flip] * [-1, 1, 1])
        assert np.abs(mirrored - table.points(mesh)[IBUG68.flip] * [-1, 1]).max() < 1e-9

    def test_jaw_takes_the_outermost_place_of_its_stretch(self) -> None:
        """Slowly: in an upright mesh, no place of a stretch lies farther out than the point."""
        table, mesh = load_mesh68(), np.random.default_rng(2).normal(0, 50, (VERTICES, 3))
        points = table.points(mesh)
        down = points[8] - points[27]
        angle = np.arctan2(down[0], down[1])
        for index in set(range(JAW)) - {8}:  # 8 itself says where down is
            out = table.outward[index]
            cos, sin = np.cos(angle), np.sin(angle)
            direction = np.array([cos * out[0] + sin * out[1], -sin * out[0] + cos * out[1]])
            reach = max(float((weights @ mesh[:, :2]) @ direction) for weights in table.stretches[index])
            assert points[index] @ direction == pytest.approx(reach, abs=1e-6)


class TestLearning:
    def test_triangles_of_a_square_with_a_diagonal(self) -> None:
        assert triangles_of([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]).tolist() == [[0, 1, 2], [0, 2, 3]]

    def test_mirror_pairs_are_found_again(self) -> None:
        rng, flip = np.random.default_rng(3), load_mesh68().flip
        straight = rng.normal(0, 50, (4, VERTICES, 3))
        found = mirror_pairs(straight, straight[:, flip] + rng.normal(0, 1, straight.shape), [(0, 1)])
        assert (found == flip).all()


class TestCurves:
    def test_along_a_straight_line(self) -> None:
        line = spline(np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0]]))
        assert np.allclose(along(line, np.array([0, 0.25, 1])), [[0, 0], [2.5, 0], [10, 0]])

    def test_spline_goes_through_its_points(self) -> None:
        points = np.array([[0.0, 0.0], [3.0, 1.0], [4.0, 5.0], [0.0, 7.0]])
        curve = spline(points, 20001)
        assert max(float(np.linalg.norm(curve - point, axis=1).min()) for point in points) < 1e-3


class TestLondon:
    def test_rules(self, shared: Path) -> None:
        """What the names say, on every sixth face: order, sides, levels."""
        paths = sorted((shared / "data/london").glob("*.tem"))
        assert len(paths) == 102
        for path in paths[::6]:
            template = read_template(path)
            points = ibug68(template)
            eyes = np.linalg.norm(points[45] - points[36])
            assert (np.diff(points[:9, 1]) > -0.02 * eyes).all() and (np.diff(points[8:17, 1]) < 0.02 * eyes).all()
            steps = np.linalg.norm(np.diff(points[:17], axis=0), axis=1)
            assert np.ptp(steps[:8]) < 0.05 * eyes and np.ptp(steps[8:]) < 0.05 * eyes  # evenly, up to chord and arc
            assert np.allclose(points[[0, 16]], template[[109, 112]])  # where the ears' upper ends join the face
            assert points[19, 1] < points[0, 1] < points[33, 1]
            assert points[17:27, 1].max() < points[36:48, 1].min() + 0.1 * eyes
            assert (np.diff(points[27:31, 1]) > 0).all() and points[30, 1] < points[33, 1]
            assert (points[61:64, 1] <= points[[67, 66, 65], 1] + 0.01 * eyes).all()
            mirrored = points[IBUG68.flip] * [-1, 1]
            assert (mirrored[36:40, 0] < mirrored[39, 0] + 1e-9).all()

    def test_refuses_what_is_no_template(self, tmp_path: Path) -> None:
        (tmp_path / "a.tem").write_text("3\n1 2\n3 4\n")
        with pytest.raises(DatasetError, match=r"a\.tem: expected a template of 189 points"):
            read_template(tmp_path / "a.tem")
        with pytest.raises(DatasetError, match=r"none\.tem: cannot be read"):
            read_template(tmp_path / "none.tem")


def test_table_is_what_the_command_makes_of_london(shared: Path, tmp_path: Path) -> None:
    python = os.environ.get("MEDIAPIPE_PYTHON")
    if not python:
        pytest.skip("needs $MEDIAPIPE_PYTHON, the Python of an environment with mediapipe==0.10.21")
    data = shared / "data"
    fit_mesh68(data / "london", data / "ict_head", Path(python), tmp_path / "again.json", "yunet")
    ours, again = load_mesh68(), load_mesh68(tmp_path / "again.json")
    assert (again.flip == ours.flip).all() and np.abs(again.weights - ours.weights).max() < 0.02
    assert (
        json.loads((tmp_path / "again.json").read_text())["about"].keys()
        == json.loads(TABLE.read_text())["about"].keys()
    )
