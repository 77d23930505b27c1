"""Results that go through a queue to another process, or are copied, stay what they are."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracker.face.landmarks import Landmarks
from tracker.face.schemes import AFLW19, COFW29, IBUG49, IBUG51, IBUG68, WFLW98, Scheme
from tracker.result import FrameResult, TrackedFace

COPIES = (lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy, copy.copy)


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy", "copy"])
@pytest.mark.parametrize("scheme", [IBUG68, WFLW98, COFW29, AFLW19, IBUG51, IBUG49], ids=lambda scheme: scheme.name)
def test_results(scheme: Scheme, copied: Callable[[Any], Any]) -> None:
    landmarks = Landmarks.from_points(np.random.default_rng(0).uniform(0, 99, (scheme.count, 2)), scheme)
    assert landmarks.extent_px is not None  # which is kept
    result = FrameResult(3, 0.5, (TrackedFace(1, "tracking", 0.9, landmarks, landmarks),), {"step": 0.1})
    again = copied(result)
    assert again.to_json() == result.to_json()
    assert again.faces[0].landmarks.scheme is again.faces[0].raw.scheme is scheme
    assert not again.faces[0].landmarks.points_px.flags.writeable
    assert copied(scheme) is scheme


def test_a_scheme_of_ones_own_that_has_a_known_name() -> None:
    own = Scheme("ibug68", 2, np.array([1, 0]), ((0,), (1,)), ((0,), (1,)), (), {})
    again = pickle.loads(pickle.dumps(own))
    assert (again.count, again.flip.tolist()) == (2, [1, 0])


def test_a_time_that_json_cannot_say() -> None:
    assert FrameResult(0, float("nan"), ()).to_json()["timestamp_s"] is None
