"""No sink keeps the run in memory."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.face.landmarks import Landmarks
from tracker.face.schemes import Scheme
from tracker.result import FrameResult, TrackedFace
from tracker.sinks import (
    CocoKeypoints,
    Drawn,
    JsonLines,
    OpenFaceCsv,
    OscMessages,
    OverlayVideo,
    ParquetTable,
    PtsFiles,
    Sink,
)
from tracker.sources import ArraySource, Frame

FRAMES, WARM, TRACED = 20_000, 1_000, 2_000
TINY = Scheme("two points", 2, np.array([1, 0]), ((0,), (1,)), ((0,), (1,)), (), {})
POINTS = Landmarks.from_points(np.array([[1.25, 2.5], [5.0, 6.0]]), TINY)
PICTURE = np.zeros((16, 16, 3), np.uint8)

MAKE: dict[str, Callable[[Path], Sink]] = {
    "jsonl": lambda folder: JsonLines(folder / "out.jsonl"),
    "csv": lambda folder: OpenFaceCsv(folder / "out.csv", TINY),
    "coco": lambda folder: CocoKeypoints(folder / "out.json", TINY),
    "pts": PtsFiles,
    "video": lambda folder: Drawn(lambda image, result: image, [OverlayVideo(folder / "out.mp4", 30)]),
    "parquet": lambda folder: ParquetTable(folder / "out.parquet", ArraySource([PICTURE]), TINY, rows_per_group=100),
    "osc": lambda folder: OscMessages("127.0.0.1:9"),
}


def write(sink: Sink, index: int) -> None:
    """Every tenth frame has a face, a newcomer each time."""
    faces = (TrackedFace(index, "tracking", 0.5, POINTS, POINTS),) if index % 10 == 0 else ()
    sink.write(Frame(PICTURE, index / 30, index), FrameResult(index, index / 30, faces))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "parquet")) for name in MAKE])
def test_twenty_thousand_frames(name: str, tmp_path: Path) -> None:
    """One object kept of each frame would be 20,000 blocks more; one buffer that grows is seen by tracemalloc."""
    if name == "osc":
        pytest.importorskip("pythonosc", reason="needs python-osc, of the extra osc")
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra parquet")
    sink: Any = MAKE[name](tmp_path)
    with sink:
        for index in range(WARM):
            write(sink, index)
        gc.collect()
        before = sys.getallocatedblocks()
        for index in range(WARM, FRAMES - TRACED):
            write(sink, index)
        gc.collect()
        after = sys.getallocatedblocks()
        kept_bytes = traced(sink)
    assert after - before < 500
    assert kept_bytes < 10 * TRACED


def traced(sink: Sink) -> int:
    """Bytes kept of the last frames. Not counted: Python's table of known names, which grows in steps."""
    tracemalloc.start()
    try:
        for index in range(FRAMES - TRACED, FRAMES):
            write(sink, index)
        gc.collect()
        snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, "*pathlib*")])
    finally:
        tracemalloc.stop()
    return sum(trace.size for trace in snapshot.traces)
