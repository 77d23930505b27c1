"""A scheme is its data file and its name: 106 points through the tracker, every sink, evaluation and training.

Nothing here knows more of the scheme than its name, and no file of the code but tracker/face/schemes.py names it.
"""

from __future__ import annotations

import csv
import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tracker import Frame, Tracker, draw_faces
from tracker.datasets.pts_files import read_pts, write_pts
from tracker.evaluate import evaluate
from tracker.face.convert import convert
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68, WFLW98, Scheme, scheme_named
from tracker.run import run
from tracker.sources.demo import DemoClip

NAME = "lapa106"
SCHEME = scheme_named(NAME)
SIDE = 64  # pixels of the crop


def layout(scheme: Scheme, side: float) -> Array:
    """(K, 2) drawn by the groups and the mirror alone: every point has its place, and the eyes are level."""
    spots = {"jaw": (0.5, 0.75), "brows": (0.5, 0.2), "nose": (0.5, 0.5), "mouth": (0.5, 0.7)}
    spots |= {"right_eye": (0.3, 0.35), "left_eye": (0.7, 0.35)}
    rng = np.random.default_rng(0)
    points = np.zeros((scheme.count, 2))
    for part, indices in scheme.groups.items():
        points[list(indices)] = spots[part] + rng.uniform(-0.05, 0.05, (len(indices), 2))
    jaw = np.linspace(0, np.pi, len(scheme.groups["jaw"]))
    points[list(scheme.groups["jaw"])] = np.stack([0.5 - 0.4 * np.cos(jaw), 0.35 + 0.55 * np.sin(jaw)], 1)
    mirrored = points[scheme.flip] * (-1, 1) + (1, 0)
    return np.asarray((points + mirrored) / 2 * side)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made model that answers the layout in the middle of every crop."""
    pytest.importorskip("onnx", reason="needs the extra export")
    import onnx
    from onnx import numpy_helper

    from benchmarks._lib.fuzzing.read_models import SPEC, tiny_model

    made = tiny_model(replace(SPEC, size=SIDE, scheme=NAME))
    places = [layout(SCHEME, SIDE), np.full(SCHEME.count, 0.9), np.tile([1.0, 0.1, 2.0], (SCHEME.count, 1))]
    changed = {
        "places": np.concatenate([part.ravel() for part in places]).astype(np.float32),
        "slopes": np.zeros((1, 6 * SCHEME.count), np.float32),
    }
    for tensor in made.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
    path = tmp_path_factory.mktemp("model") / "made106.onnx"
    onnx.save(made, str(path))
    return path


def test_the_code_does_not_know_it() -> None:
    listed = subprocess.run(
        ["git", "grep", "-l", NAME, "--", "*.py", ":!tests"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode > 1:
        pytest.skip("needs a git checkout")
    assert listed.stdout.split() == ["tracker/face/schemes.py"]


class TestTheTable:
    """The facts of LaPa's order, written out by hand."""

    def test_pairs(self) -> None:
        pairs = [(0, 32), (15, 17), (33, 46), (37, 42), (38, 50), (41, 47), (55, 65), (59, 61), (66, 79), (70, 75)]
        pairs += [(71, 82), (73, 80), (74, 83), (84, 90), (91, 95), (96, 100), (101, 103), (104, 105)]
        assert [(a, int(SCHEME.flip[a])) for a, _ in pairs] == pairs
        fixed = np.flatnonzero(SCHEME.flip == np.arange(106)).tolist()
        assert fixed == [16, 51, 52, 53, 54, 60, 87, 93, 98, 102]

    def test_eyes(self) -> None:
        assert (SCHEME.ocular, SCHEME.pupil) == (((66,), (79,)), ((104,), (105,)))

    def test_named_points(self) -> None:
        """As JD's own FaceX-Zoo names them: tip and sides of the nose, corners of eyes and mouth, lips, chin."""
        face = Landmarks.from_points(np.arange(212.0).reshape(106, 2), SCHEME)
        expected = {30: 54, 31: 58, 33: 60, 35: 62, 36: 66, 39: 70, 42: 75, 45: 79, 48: 84, 54: 90, 51: 87, 57: 93}
        expected |= {62: 98, 8: 16, 17: 33, 21: 37, 22: 42, 26: 46, 27: 51}
        points = convert(face, IBUG68).points_px
        assert {ibug: face.points_px.tolist().index(points[ibug].tolist()) for ibug in expected} == expected

    def test_all_points_of_98_are_points_of_106(self) -> None:
        face = Landmarks.from_points(np.arange(212.0).reshape(106, 2), SCHEME)
        kept = convert(face, WFLW98).points_px[:, 0] / 2
        missing = sorted(set(range(106)) - set(kept.astype(int).tolist()))
        assert missing == [55, 56, 57, 63, 64, 65, 74, 83]
        assert (np.diff(kept) > 0).all()


def test_it_is_tracked_and_written_to_every_sink(model: Path, video: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        run(
            video=str(video), model=str(model), output=tmp_path / "o.jsonl", csv=tmp_path / "o.csv",
            pts=tmp_path / "pts", overlay=tmp_path / "o.mp4", stats=tmp_path / "stats.json",
            osc=f"127.0.0.1:{listener.getsockname()[1]}",
        )  # fmt: skip
        assert listener.recv(65536)
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    faces = [face for line in lines for face in line["faces"]]
    assert len(lines) == 90 and len(faces) > 60
    assert {len(face["points_px"]) for face in faces} == {106}
    with (tmp_path / "o.csv").open(newline="") as file:
        (header, *rows) = csv.reader(file, skipinitialspace=True)
    assert {"x_0", "y_105", "cov_xx_105", "score_105"} <= set(header)
    assert "x_106" not in header and len(rows) >= 60
    assert not [name for name in header if name.startswith("pose")]  # the pose is of 68 points
    labels = sorted((tmp_path / "pts").rglob("*.pts"))
    assert len(labels) >= 60 and read_pts(labels[0]).shape == (106, 2)
    capture = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    assert capture.read()[0]
    capture.release()


def test_it_is_drawn(model: Path, frames: list[Frame]) -> None:
    result = Tracker(model).step(frames[0])
    drawn = draw_faces(frames[0].image_rgb, result)
    points = result.faces[0].landmarks.points_px.round().astype(int)
    height, width = drawn.shape[:2]
    inside = points[(points >= 0).all(1) & (points < (width, height)).all(1)]
    changed = (drawn != frames[0].image_rgb).any(2)
    assert changed[inside[:, 1], inside[:, 0]].mean() > 0.95


@pytest.mark.parametrize(("labels", "compared"), [(NAME, NAME), ("wflw98", "wflw98"), ("ibug68", "ibug68")])
def test_it_is_evaluated(
    labels: str, compared: str, model: Path, frames: list[Frame], clip: DemoClip, tmp_path: Path
) -> None:
    """On labels that are its own first answer: no error in the tracker's faces, whatever the labels' scheme."""
    image_rgb = frames[0].image_rgb
    found = Tracker(model, max_faces=100).detect(image_rgb).faces[0].raw
    (tmp_path / "faces").mkdir()
    cv2.imwrite(str(tmp_path / "faces/a.png"), cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
    write_pts(tmp_path / "faces/a.pts", convert(found, scheme_named(labels)).points_px)
    evaluate("folder", tmp_path / "faces", tmp_path / "report.json", model=str(model), scheme=labels)
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["scheme"] == compared
    assert record["through_detector"]["found"] == 1
    assert record["through_detector"]["nme_percent"]["ocular"] < 0.01
    assert set(record["true_boxes"]["parts_nme_percent"]) == set(scheme_named(compared).groups)


def test_it_is_trained(fit_tiny: Callable[..., None], tmp_path: Path) -> None:
    """Two steps on drawn faces."""
    pytest.importorskip("lightning", reason="needs the extra train")
    from export.run import load

    folder = tmp_path / "faces"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        points = layout(SCHEME, 60) + rng.uniform(5, 25, 2)
        picture = rng.integers(40, 90, (100, 100, 3), dtype=np.uint8)
        for point in points.round().astype(int):
            cv2.circle(picture, point.tolist(), 2, (255, 255, 0), -1)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        write_pts(folder / f"{number}.pts", points)
    fit_tiny(
        tmp_path / "run", "--data.source=train.datasets.CustomDataset", f"--data.source.path={folder}",
        f"--data.source.scheme={NAME}", "--data.source.validation=none", f"--model.scheme={NAME}",
        "--model.net.landmarks=106", "--trainer.max_steps=2",
    )  # fmt: skip
    task, data, _ = load(tmp_path / "run/last.ckpt")
    assert task.scheme is SCHEME
    assert {sample.scheme for sample in data.validation.samples} == {SCHEME}
