"""The systems that benchmarks.peers knows: how they start, which of their points are ours, their licences."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.peers.point_files import PointFile, read_point_file
from benchmarks._lib.peers.process import REPOSITORY, WORKER, Answer, Block, PeerError, PeerProcess
from tracker.errors import TrackerError
from tracker.face.other_programs import point_numbers
from tracker.face.schemes import IBUG68
from tracker.weights.packaged import PACKAGED, landmark_model

JAW, CHIN = np.arange(17), 8


class Running(Protocol):
    """A system that takes frames."""

    @property
    def about(self) -> dict[str, Any]:
        """Its versions, and the SHA-256 of its files."""

    def step(self, block: Block) -> list[Answer]:
        """Answer each frame of the block."""

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True, eq=False)
class System:
    """A system, not yet started.

    Attributes:
        name: in the tables.
        start: starts it; raises PeerError where it cannot.
        numbers: (68,) which of its points is each of ours; -1 where none can be compared.
        licence: of its code and its weights.
        shippable: whether its weights may be part of a product; None where it is not known.
        ours: whether it is a model of this project.
        shift_px: what to add to its coordinates so that pixel centres are at integers.
        stills: whether it takes single pictures.
        clip: the only clip it can answer; None: any.
        outputs: what is put behind its name in the tables, by the name of its output; single pictures have only "".
    """

    name: str
    start: Callable[[], Running]
    numbers: NDArray[np.intp]
    licence: str
    shippable: bool | None
    ours: bool = False
    shift_px: float = 0.0
    stills: bool = True
    clip: str | None = None
    outputs: Mapping[str, str] = field(default_factory=lambda: {"": ""})


def our_models(names: Sequence[str], core: int | None) -> list[System]:
    """Our models, each in the Python that runs this.

    Raises:
        TrackerError: if there is no such model.
    """
    systems = []
    for name in names:
        path = landmark_model(Path(name)).resolve()
        shippable = name in PACKAGED
        systems.append(
            System(
                name=f"`{name}`",
                start=_process(name, Path(sys.executable), "ours", {"model": str(path)}, core),
                numbers=np.arange(IBUG68.count),
                licence="MIT" if shippable else "as its file states it; labels of 300W: research only",
                shippable=shippable,
                ours=True,
                outputs={"": "", "raw": ", not smoothed"} if shippable else {"": ""},
            )
        )
    return systems


def facemeshes(python: Path | None, core: int | None) -> list[System]:
    """MediaPipe's FaceMesh, without and with attention."""
    return [
        System(
            name=name,
            start=_elsewhere(name, python, "mediapipe", {"attention": attention}, core),
            numbers=_without_jaw(point_numbers("mediapipe")),
            licence="Apache-2.0, by the metadata of its wheel, which has the weights",
            shippable=True,
            shift_px=-0.5,
        )
        for name, attention in (("MediaPipe FaceMesh", False), ("MediaPipe FaceMesh, attention", True))
    ]


def dlib(python: Path | None, core: int | None) -> System:
    """Return dlib's frontal detector and its 68-point predictor."""
    return System(
        name="dlib, 68 points",
        start=_elsewhere("dlib", python, "dlib", {}, core),
        numbers=point_numbers("dlib"),
        licence="code BSL-1.0; weights trained on 300W: not for products, by the README of dlib-models",
        shippable=False,
    )


def openseeface(folder: Path, python: Path | None, model: int, core: int | None) -> System:
    """Return OpenSeeFace, from the folder of its program."""
    name, options = f"OpenSeeFace, model {model}", {"folder": str(folder.resolve()), "model": model}
    return System(
        name=name,
        start=_elsewhere(name, python, "openseeface", options, core),
        numbers=_without_jaw(point_numbers("openseeface")),
        licence="BSD-2-Clause, code and models, by its README",
        shippable=True,
        stills=False,
    )


def point_file(option: str, clip: str) -> System:
    """Points that another program wrote; option: NAME=FILE.

    Raises:
        TrackerError: if the file is not one of those that point_files.py describes.
    """
    name, separator, path = option.partition("=")
    if not (separator and name and path):
        raise TrackerError(f"--points: expected NAME=FILE, got {option}")
    read: PointFile = read_point_file(Path(path))
    numbers = point_numbers("dlib") if read.points == IBUG68.count else _without_jaw(point_numbers("openseeface"))
    return System(name, lambda: read, numbers, "not known here", shippable=None, stills=False, clip=clip)


ENVIRONMENTS = {
    "mediapipe": ("mediapipe-0.10.21", "mediapipe==0.10.21"),
    "dlib": ("dlib", "numpy dlib-bin==20.0.1.post1 face_recognition_models==0.3.0"),
    "openseeface": ("openseeface", '"numpy<2" "opencv-python-headless<4.12" onnxruntime pillow'),
}
"""By kind of worker.py: the folder in runs/, and what is installed there."""


def environment(kind: str, given: Path | None) -> Path:
    """Return the Python of a peer: the one given, or that of its folder in runs/.

    Raises:
        PeerError: if there is none; it says how to make one.
    """
    folder, packages = ENVIRONMENTS[kind]
    python = given or REPOSITORY / "runs" / folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python = Path(os.path.abspath(python))  # not resolved: a link of an environment leads to a Python without it
    if not os.path.isfile(python):
        where = f"--{kind}-python {given}" if given else f"runs/{folder}"
        raise PeerError(
            f"{where} has no Python; make it by `python -m venv runs/{folder}` and "
            f"`runs/{folder}/bin/python -m pip install {packages}`"
        )
    return python


def _process(name: str, python: Path, kind: str, options: dict[str, Any], core: int | None) -> Callable[[], Running]:
    command = [str(python), "-m", WORKER, kind, json.dumps({**options, "core": core})]
    return lambda: PeerProcess(name, command)


def _elsewhere(
    name: str, given: Path | None, kind: str, options: dict[str, Any], core: int | None
) -> Callable[[], Running]:
    """Like _process, in the environment of that kind, which is looked for when it is started."""
    return lambda: _process(name, environment(kind, given), kind, options, core)()


def _without_jaw(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Leave out the jaw but the chin, for systems that have it at fixed places of the head and not at the contour."""
    kept = numbers.copy()
    kept[np.setdiff1d(JAW, [CHIN])] = -1
    return kept
