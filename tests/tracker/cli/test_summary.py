"""The summary counts what came and says what half and what nineteen in twenty of the frames cost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tracker.cli.summary import LAST, STAGES, Summary
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.result import FrameResult, TrackedFace
from tracker.weights.packaged import ModelIdentity

LANDMARKS = Landmarks.from_points(np.random.default_rng(0).uniform(0, 9, (68, 2)), IBUG68)


def result(index: int, ids: tuple[int, ...] = (), **stage_s: float) -> FrameResult:
    faces = tuple(TrackedFace(i, "tracking", 0.5, LANDMARKS, LANDMARKS) for i in ids)
    return FrameResult(index, index / 30, faces, stage_s)


MODEL = ModelIdentity("edge68_300w", "research only: trained on 300W", "0123abcd" * 8)


def rows(summary: Summary) -> dict[str, list[float]]:
    table = [line.split() for line in summary.lines()[2:] if not line.startswith(("the detector", "model "))]
    return {name: [float(number) for number in numbers] for name, *numbers in table}


def test_counts_frames_and_faces() -> None:
    summary = Summary(MODEL)
    for index, ids in enumerate([(1,), (1, 2), (), (2,), (3,), (3,)]):
        summary.add(result(index, ids))
    summary.seconds = 2.0
    assert summary.lines()[0] == "6 frames, 5 with a face, 3 faces in all, 3.0 frames/s"


def test_a_face_that_coasts_is_none_that_was_seen() -> None:
    summary = Summary(MODEL)
    summary.add(FrameResult(0, 0.0, (TrackedFace(1, "coasting", 0.5, LANDMARKS, LANDMARKS),)))
    assert (summary.measured, summary.ids) == (0, 1)


def test_percentiles_in_milliseconds_and_calls() -> None:
    summary = Summary(MODEL)
    for index in range(101):
        detection: Any = {"detect": 0.25} if index % 10 == 0 else {}
        summary.add(result(index, engine=index / 1000, **detection), latency=0.02)
    assert summary.lines()[1].split() == ["stage", "p50", "ms", "p95", "ms", "p99", "ms", "calls"]
    assert rows(summary) == {
        "detect": [250, 250, 250, 11],
        "engine": [50, 95, 99, 101],
        "latency": [20, 20, 20, 101],
    }


def test_the_detectors_share() -> None:
    summary = Summary(MODEL)
    for detect in (0.01, None, None):
        summary.add(result(0, step=0.02, **({"detect": detect} if detect else {})))
    assert summary.to_json()["detector_share_percent"] == pytest.approx(100 / 6, abs=0.01)
    assert summary.lines()[-2] == "the detector took 16.7 % of the steps' time"


def test_says_which_model_it_was_and_what_may_be_done_with_it() -> None:
    summary = Summary(MODEL)
    assert summary.lines()[-1] == "model edge68_300w, SHA-256 0123abcd, licence: research only: trained on 300W"
    assert summary.to_json()["model"] == {
        "name": "edge68_300w", "licence": "research only: trained on 300W", "sha256": "0123abcd" * 8
    }  # fmt: skip


def test_stages_in_the_order_of_the_work() -> None:
    summary = Summary(MODEL)
    summary.add(FrameResult(0, 0.0, (), dict.fromkeys(reversed(STAGES), 0.001)))
    assert tuple(rows(summary)) == STAGES


def test_memory_is_bounded_and_the_last_count() -> None:
    summary = Summary(MODEL)
    for index in range(LAST + 500):
        summary.add(result(index, step=1.0 if index < 500 else 0.001))
    assert rows(summary) == {"step": [1, 1, 1, LAST]}
    assert summary.lines()[0].startswith(f"{LAST + 500} frames, 0 with a face, 0 faces")


def test_nothing_and_no_time() -> None:
    assert Summary(MODEL).lines()[0] == "0 frames, 0 with a face, 0 faces in all, nan frames/s"
    assert rows(Summary(MODEL)) == {}
    assert json.dumps(Summary(MODEL).to_json())
