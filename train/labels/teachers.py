"""Teachers: they look at views of a face and return its points.

FaceMesh in a process of its own, or models of this project.
"""

from __future__ import annotations

import json
import math
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.detectors.base import CalibratedDetector, Detection, roi_of_detection
from tracker.engines.loading import load_engine
from tracker.errors import TrackerError
from tracker.face.crop import Roi
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68, Scheme
from tracker.tracking.estimator import LandmarkEstimator, next_roi
from tracker.weights.packaged import landmark_model, sha256_of
from train.labels.mesh68 import TABLE, VERTICES, load_mesh68

Image = NDArray[np.uint8]
FACEMESH = "facemesh"
WORKER = Path(__file__).with_name("facemesh_worker.py")
AROUND = 2.0  # side of FaceMesh's view over the detected box's: its own detector wants to see some of what is around
FACEMESH_PX = 320


class Teacher(Protocol):
    """The protocol of a teacher.

    Attributes:
        about: what it is, for the summary: name, SHA-256, versions.
        rules: what makes labels of its points; None if they are the labels.
        scheme: of the labels.
        flip: (K,) its point that takes place k in a mirrored picture.
        view_px: the side of its views.
        dimensions: of its points, 3 if they have depths, else 2.
    """

    about: dict[str, Any]
    rules: dict[str, str] | None
    scheme: Scheme
    flip: NDArray[np.intp]
    view_px: int
    dimensions: int

    def roi(self, image_rgb: Image, found: Detection) -> Roi:
        """Return the square that the views of a face vary around.

        Args:
            image_rgb: (H, W, 3).
            found: the detected face.
        """

    def look(self, views: Image) -> Array:
        """Return its points in views.

        Args:
            views: (V, S, S, 3).

        Returns:
            (V, K, D) in pixels of the views; NaN for a view in which it sees no face.
        """

    def labels(self, points: Array) -> Array:
        """Return the labels (K of the scheme, 2) that follow from its points (K, D) in a picture."""

    def close(self) -> None:
        """End what it has started."""


class FaceMesh:
    """MediaPipe's FaceMesh with attention, run by the Python of another environment (facemesh_worker.py).

    Args:
        command: starts the worker.

    Attributes:
        edges: pairs of vertices that its surface joins.

    Raises:
        TrackerError: if it does not start, ends, or is not what is expected.
    """

    scheme = IBUG68
    view_px = FACEMESH_PX
    dimensions = 3

    def __init__(self, command: list[str]) -> None:
        self._complaints = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints
            )
        except OSError as error:
            self._complaints.close()
            raise TrackerError(
                f"cannot start the teacher {command[0]}: {error.strerror}; correct --teacher-python"
            ) from None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        self.about: dict[str, Any] = json.loads(line)
        self.edges = [(a, b) for a, b in self.about.pop("edges", ())]
        self.rules: dict[str, str] | None = {"name": TABLE.name, "sha256": sha256_of(TABLE)}
        self._table = load_mesh68()
        self.flip = self._table.flip
        if (count := self.about.get("vertices")) != VERTICES:
            self.close()
            raise TrackerError(f"expected a teacher of {VERTICES} vertices, got one of {count}")

    def roi(self, image_rgb: Image, found: Detection) -> Roi:
        """See Teacher."""
        x, y, width, height = found.box_px.tolist()
        right, down = (found.eyes_px[1] - found.eyes_px[0]).tolist()
        side = AROUND * math.sqrt(width * height)
        return Roi((x + width / 2, y + height / 2), side, math.atan2(down, right))

    def look(self, views: Image) -> Array:
        """See Teacher."""
        assert self._process.stdin is not None and self._process.stdout is not None
        count, height, width = views.shape[:3]
        try:
            self._process.stdin.write(struct.pack("<3I", count, height, width))
            self._process.stdin.write(np.ascontiguousarray(views).tobytes())
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None
        expected = count * VERTICES * 3 * 4
        answer = self._process.stdout.read(expected)
        if len(answer) != expected:
            raise self._ended()
        shares = np.frombuffer(answer, "<f4").reshape(count, VERTICES, 3).astype(np.float64)
        return shares * (width, height, width) - (0.5, 0.5, 0.0)  # from the edge to the first pixel's centre

    def labels(self, points: Array) -> Array:
        """See Teacher."""
        return self._table.points(points)

    def _ended(self) -> TrackerError:
        self._process.kill()
        self._process.wait()
        self._complaints.seek(0)
        last = (self._complaints.read().strip() or "no message").splitlines()[-1]
        self.close()
        return TrackerError(
            f"the teacher has ended: {last} (expected --teacher-python to name a Python 3.9 to 3.12 with "
            "mediapipe==0.10.21)"
        )

    def close(self) -> None:
        """See Teacher."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()  # ends it
        self._process.wait()
        self._process.stdout.close()
        self._complaints.close()


class Models:
    """One or several models of this project; the points are the mean of theirs.

    They get the same views as in the tracker.

    Args:
        paths: .onnx files, or names of packaged models.
        detector: whose boxes they are given.

    Raises:
        TrackerError: for models of different points or sizes, one that is given twice, and a file that is no model.
    """

    dimensions = 2

    def __init__(self, paths: Sequence[Path], detector: CalibratedDetector) -> None:
        if not paths:
            raise TrackerError(f"--teacher: expected {FACEMESH} or a model, got none")
        files = [landmark_model(path) for path in paths]
        self._estimators = [LandmarkEstimator(load_engine(file)) for file in files]
        self._calibration = detector.calibration
        first, *others = self._estimators
        self.scheme, self.view_px = first.scheme, first.engine.spec.size
        for path, other in zip(paths[1:], others):
            if (other.scheme.name, other.engine.spec.size) != (self.scheme.name, self.view_px):
                raise TrackerError(
                    f"--teacher: expected models of the same points and size, got {paths[0]} ({self.scheme.name}, "
                    f"{self.view_px} px) and {path} ({other.scheme.name}, {other.engine.spec.size} px)"
                )
        named = [{"name": path.name, "sha256": sha256_of(file)} for path, file in zip(paths, files)]
        if len({each["sha256"] for each in named}) < len(named):
            raise TrackerError(f"--teacher: expected different models, got one twice: {', '.join(map(str, paths))}")
        self.about: dict[str, Any] = named[0] if len(named) == 1 else {"mean_of": named}
        self.rules: dict[str, str] | None = None
        self.flip = self.scheme.flip

    def roi(self, image_rgb: Image, found: Detection) -> Roi:
        """See Teacher."""
        rough = roi_of_detection(found, self._calibration)
        return next_roi(self._estimators[0].estimate(image_rgb, [rough])[0].landmarks)

    def look(self, views: Image) -> Array:
        """See Teacher."""
        seen = [[one.engine.run(view[None]).points_px[0] for view in views] for one in self._estimators]
        return np.asarray(np.mean(seen, 0, np.float64))

    def labels(self, points: Array) -> Array:
        """See Teacher."""
        return points

    def close(self) -> None:
        """See Teacher."""
        pass


def open_teacher(names: Sequence[Path], python: Path | None, detector: CalibratedDetector) -> Teacher:
    """Return a teacher.

    Args:
        names: facemesh alone, or packaged models' names and .onnx files.
        python: for facemesh, of an environment that has mediapipe.
        detector: finds the faces.

    Raises:
        TrackerError: for one that is not available, facemesh together with others, and a Python that none needs.
    """
    if FACEMESH not in map(str, names):
        if python is not None:
            raise TrackerError(
                f"--teacher-python: expected it for the teacher {FACEMESH} alone, got the teacher "
                f"{', '.join(map(str, names))}; leave it out"
            )
        return Models(names, detector)
    if len(names) > 1:
        raise TrackerError(
            f"--teacher: expected {FACEMESH} alone, or one or several models of this project; got {len(names)} teachers"
        )
    if python is None:
        raise TrackerError(
            "the teacher facemesh needs --teacher-python: a Python 3.9 to 3.12 in whose environment "
            "mediapipe==0.10.21 is installed"
        )
    return FaceMesh([str(python), str(WORKER)])
