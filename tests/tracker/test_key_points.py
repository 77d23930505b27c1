"""FrameResult.to_supervision gives what supervision's own annotators draw."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.tracker.sinks.sinks_shared import result
from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68
from tracker.result import FrameResult

NONE = FrameResult(0, 0.0, ())


class TestRealPackage:
    @pytest.fixture(autouse=True)
    def _package(self) -> None:
        pytest.importorskip("supervision", reason="needs supervision: tests/requirements-slow.txt")

    def test_key_points_of_two_faces(self) -> None:
        two = result(3, faces=2)
        points = two.to_supervision()
        assert points.xy.shape == (2, 68, 2) and points.keypoint_confidence.shape == (2, 68)
        for i, face in enumerate(two.faces):
            assert np.array_equal(points.xy[i], face.landmarks.points_px.astype(np.float32))
            assert np.array_equal(points.keypoint_confidence[i], face.landmarks.scores.astype(np.float32))
        assert points.class_id.tolist() == [0, 0] and points.detection_confidence.tolist() == [0.5, 0.5]
        assert points.data["tracker_id"].tolist() == [0, 1]
        assert len(points[0:1]) == 1  # its own filters keep every part

    def test_no_face_is_empty(self) -> None:
        points = NONE.to_supervision()
        assert len(points) == 0 and points.is_empty()

    def test_its_annotators_draw_them(self) -> None:
        import supervision

        one = result(1)
        picture = np.zeros((640, 640, 3), np.uint8)
        edges = [(a + 1, b + 1) for curve in IBUG68.curves for a, b in zip(curve.indices, curve.indices[1:])]
        drawn = supervision.VertexAnnotator(radius=2).annotate(picture.copy(), one.to_supervision())
        x, y = one.faces[0].landmarks.points_px[0].astype(int)
        assert drawn[y, x].any()
        assert supervision.EdgeAnnotator(edges=edges).annotate(picture.copy(), one.to_supervision()).any()


def test_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(TrackerError, match="needs supervision, which is not installed; pip install supervision"):
        NONE.to_supervision()


def test_an_old_one_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def key_points(xy: object, class_id: object = None, confidence: object = None, data: object = None) -> None:
        """As supervision 0.28 has it."""

    old = SimpleNamespace(KeyPoints=key_points, __version__="0.28.0")
    monkeypatch.setitem(sys.modules, "supervision", old)
    with pytest.raises(TrackerError, match=r"need supervision 0\.29 or newer, got 0\.28\.0"):
        result(1).to_supervision()
