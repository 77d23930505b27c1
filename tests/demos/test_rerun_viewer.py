"""The example for Rerun, with the real package: it writes a recording that its own reader reads back."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

chunk = pytest.importorskip("rerun.chunk", reason="needs rerun-sdk: tests/requirements-slow.txt")
pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")

from demos.rerun_viewer import show  # noqa: E402
from tracker import Tracker  # noqa: E402
from tracker.sources.demo import DemoClip  # noqa: E402

FRAMES = 4
VALUES = ("Points2D:positions", "Boxes2D:centers", "Scalars:scalars", "EncodedImage:blob")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
    with DemoClip((320, 240), seconds=1) as source:
        for frame in islice(source, FRAMES):
            writer.write(cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    return tmp_path / "clip.mp4"


def test_records_pictures_points_and_time_lines(clip: Path, tmp_path: Path) -> None:
    show(str(clip), tmp_path / "clip.rrd")
    expected = [each.faces[0].landmarks.points_px for each in Tracker(max_faces=4).run(str(clip))]
    found: dict[str, dict[int, Any]] = {}
    for part in chunk.RrdReader(str(tmp_path / "clip.rrd")).stream():
        batch = part.to_record_batch()
        if "frame" in batch.schema.names:
            assert "time" in batch.schema.names
            (value, *_) = (name for name in batch.schema.names if name in VALUES)
            rows = zip(batch.column("frame").to_pylist(), batch.column(value).to_pylist())
            found.setdefault(str(part.entity_path), {}).update(rows)
    pose = {f"/pose/1/{name}" for name in ("pitch", "yaw", "roll")}
    assert set(found) == {"/camera/image", "/camera/faces/1/points", "/camera/faces/1/box", "/scores/1", *pose}
    assert all(sorted(rows) == list(range(FRAMES)) for rows in found.values())
    for index, points in enumerate(expected):
        assert np.allclose(found["/camera/faces/1/points"][index], points + 0.5, atol=1e-3)
