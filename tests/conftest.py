"""Fixtures that several test files share. Torch is imported only by those that need it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings

from tracker.datasets.pts_files import write_pts

Array = np.ndarray[Any, np.dtype[np.float64]]
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # as the commands do, before OpenCV first opens a video
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for tests that import onnxruntime themselves

for number in (signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
    if signal.getsignal(number) == signal.SIG_IGN:  # as nohup and a shell's background jobs have it, for children too
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared beside the repository")
    return SHARED


class FakeDriver:
    """libcuda of a Jetson Orin, as far as the question goes which GPU there is; calls named in failing fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing

    def __getattr__(self, name: str) -> Any:
        def call(target: Any = None, value: Any = None, *_: Any) -> int:
            if name == "cuDriverGetVersion":
                target._obj.value = 12060
            elif name == "cuDeviceGetName":
                target.value = b"Orin (nvgpu)"
            elif name == "cuDeviceGetAttribute":
                target._obj.value = {75: 8, 76: 7}[value]
            return 35 if name in self.failing else 0

        return call


@pytest.fixture
def fake_orin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a FakeDriver in the place of the machine's, without the calls named, or without a library at all."""

    def put(*failing: str) -> None:
        def load(name: str) -> FakeDriver:
            if "CDLL" in failing:
                raise OSError(f"{name}: cannot open shared object file")
            return FakeDriver(*failing)

        monkeypatch.setattr(ctypes, "CDLL", load)

    return put


@pytest.fixture(scope="session")
def face68() -> Array:
    """(68, 2) the landmarks of a real face, 100 px high, its extent's corner at 0, 0."""
    points = np.loadtxt(ROOT / "tracker/sources/demo_landmarks.csv", delimiter=",")
    points -= points.min(0)
    return np.asarray(points * (100 / points[:, 1].max()))


# The names below are on the side of the split that is said here: the hash of a name never changes.
TRAINING_NAMES = ("face0", "face1", "face2")
VALIDATION_NAMES = {"afw": "face21", "helen/trainset": "face5", "lfpw/trainset": "face59"}


@pytest.fixture(scope="session")
def w300(tmp_path_factory: pytest.TempPathFactory, face68: Array) -> Path:
    """Drawn faces in the layout of 300W: three to train on and one to validate with in each folder."""
    root, rng = tmp_path_factory.mktemp("300w"), np.random.default_rng(0)
    for folder, held_back in VALIDATION_NAMES.items():
        (root / folder).mkdir(parents=True)
        for name in (*TRAINING_NAMES, held_back):
            points = face68 * rng.uniform(0.5, 0.7, 2) + rng.uniform(10, 20, 2) + rng.normal(0, 1, (68, 2))
            picture = rng.integers(40, 90, (100, 90, 3), dtype=np.uint8)
            for i, point in enumerate(points.round().astype(int)):
                cv2.circle(picture, point.tolist(), 2, (255, 3 * i, 255 - 3 * i), -1)
            cv2.imwrite(str(root / folder / f"{name}.png"), picture)
            write_pts(root / folder / f"{name}.pts", points)
    return root


TINY_FIT = """
    fit --data.source=train.datasets.W300 --data.source.root={root} --data.size=32 --data.batch=3 --data.workers=0
    --model.net=train.models.edge.EdgeHourglass --model.net.channels=[8,8] --model.net.stem=8
    --model.objective=train.objectives.Structured
    --trainer.accelerator=cpu --trainer.max_epochs=2 --trainer.log_every_n_steps=1
    --trainer.num_sanity_val_steps=0 --trainer.enable_progress_bar=false --trainer.default_root_dir={folder}
    --average.decay=0.5
"""


@pytest.fixture(scope="session")
def fit_tiny(w300: Path) -> Callable[..., None]:
    """Runs `train.run fit` on the drawn faces with a net of a few channels: fit_tiny(folder, *options)."""
    from train.run import main

    def fit(folder: Path, *options: str) -> None:
        arguments = [option.format(root=w300, folder=folder) for option in TINY_FIT.split()]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["train.run", *arguments, *options])
            main()

    return fit


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, fit_tiny: Callable[..., None]) -> Path:
    """A checkpoint that train.run wrote after two epochs, with the learning rates it logged beside it."""
    folder = tmp_path_factory.mktemp("run")
    fit_tiny(folder)
    return folder / "last.ckpt"
