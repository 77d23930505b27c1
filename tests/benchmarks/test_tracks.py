"""The benchmarks of tracking count what they say they count."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.multiface import FaceLog, counts, face_on, swaps, table
from benchmarks.talking_face import MESH, POINTS, FaceMesh, figures
from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.result import TrackedFace


def logs(*ids: str, detected: str = "1") -> list[FaceLog]:
    """A face for each string: the identity in each frame, 0 for none."""
    faces = []
    for row in ids:
        log = FaceLog()
        log.ids = [int(one) for one in row]
        log.detected = [one == "1" for one in (detected * len(row))[: len(row)]]
        faces.append(log)
    return faces


@pytest.mark.parametrize(
    ("ids", "switches", "swapped"),
    [
        (("1111", "2222"), 0, 0),
        (("1133", "2222"), 1, 0),  # lost and found anew
        (("1122", "2211"), 2, 2),  # they change places
        (("1100", "0011"), 0, 1),  # an identity goes over to another face
        (("1101", "2222"), 0, 0),  # a gap
    ],
)
def test_identities(ids: tuple[str, ...], switches: int, swapped: int) -> None:
    assert sum(log.switches() for log in logs(*ids)) == switches
    assert swaps(logs(*ids)) == swapped


def test_only_faces_the_detector_finds_are_expected_to_be_tracked() -> None:
    seen, unseen = logs("0111111111", "0011111111"), logs("0000000000", detected="01000")
    result = counts([*seen, *unseen], extra=0, start=1)
    assert (result.labelled, result.detected, result.tracked, result.untracked) == (3, 2, 1, [2])
    assert result.frames_percent == pytest.approx(100 * (1 + 8 / 9) / 2, abs=0.05)
    lines = table({"one": result, "two": result}).splitlines()
    assert lines[-1].split()[:4] == ["all", "6", "4", "2"]
    assert len({len(line) for line in lines[:1]}) == 1


def test_the_face_that_lies_on_a_label(face68: Any) -> None:
    near, far = (
        TrackedFace(i, "tracking", 1.0, *2 * [Landmarks.from_points(face68 + shift, IBUG68)])
        for i, shift in ((1, 5), (2, 60))
    )
    assert face_on([far, near], face68) is near
    assert face_on([far], face68) is None
    assert face_on([], face68) is None


def test_facemesh_has_a_vertex_for_every_shared_point() -> None:
    assert sorted(MESH) == POINTS
    assert len(set(MESH.values())) == 18


def test_facemesh_that_cannot_start_says_why() -> None:
    if find_spec("mediapipe"):
        pytest.skip("needs an environment without mediapipe")
    with pytest.raises(TrackerError, match=r"FaceMesh has ended: .*needs mediapipe, which is not installed"):
        FaceMesh(Path(sys.executable), "plain", (48, 64))


def test_figures_of_a_side() -> None:
    """Half a pixel to the lower right is the difference between counting from the edge and from the first centre."""
    truth = np.random.default_rng(0).uniform(0, 100, (30, 18, 2))
    truth[:, POINTS.index(36)], truth[:, POINTS.index(45)] = (20, 50), (120, 50)
    points = truth + 0.5
    points[7] = np.nan
    found = figures(points, truth, 25.0, from_edge=True)
    assert found["lost"] == 1
    assert found["nme_percent"] == pytest.approx(np.hypot(0.5, 0.5), abs=1e-4)
    assert found["half_pixel_nme_percent"] == 0
    assert found["acceleration_error_percent"] == 0
    assert figures(points, truth, 25.0, from_edge=False)["half_pixel_nme_percent"] is None
