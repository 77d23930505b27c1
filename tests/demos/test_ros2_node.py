"""What the example of a ROS 2 node computes without ROS 2. The node itself is not run here, and says so."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from demos import ros2_node
from demos.ros2_node import FrameClock, main, make_node, name_of, points_of
from tests.conftest import ROOT
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68


def test_says_that_it_was_not_run() -> None:
    assert "NOT RUN SO FAR" in (ros2_node.__doc__ or "")
    assert "`demos/ros2_node.py`" in (ROOT / "docs/not_proven.md").read_text(encoding="utf-8")
    assert "not run" in (ROOT / "docs/guides/neighbours.md").read_text(encoding="utf-8").split("## ROS 2")[1].lower()


def test_points_are_normalised_and_the_pupils_follow() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (68, 2))
    scores = np.linspace(0, 1, 68)
    found = points_of(Landmarks(points, scores, np.zeros((68, 3)), IBUG68), 200, 100)
    assert found.shape == (70, 3)
    assert_allclose(found[8], [(points[8, 0] + 0.5) / 200, (points[8, 1] + 0.5) / 100, scores[8]])
    assert_allclose(found[68], found[36:42].mean(0))  # the subject's right
    assert_allclose(found[69], found[42:48].mean(0))


def test_names_are_parts_of_topics() -> None:
    assert [name_of(3), name_of(123456)] == ["f00003", "f123456"]


def test_time_never_runs_back() -> None:
    """As when a recording is played again, whose stamps begin anew."""
    clock = FrameClock()
    stamps = [(100, 0), (100, 500_000_000), (7, 0), (7, 250_000_000)]
    assert [clock.step(*stamp) for stamp in stamps] == [(0, 0.0), (1, 0.5), (2, 0.5), (3, 0.75)]


def test_imports_without_ros_and_starts_only_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("rclpy", "cv_bridge"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", ["ros2_node.py"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("ros2_node: needs ROS 2 (")
    with pytest.raises(ImportError):
        make_node()
