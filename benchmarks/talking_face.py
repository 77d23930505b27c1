"""python -m benchmarks.talking_face --root DIR: our landmarks and FaceMesh's on FGNET's talking face, side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.reports import check_report, write_report
from benchmarks.speed import MEDIAPIPE, REPOSITORY, mediapipe_environment
from tracker import Tracker, TrackerError
from tracker.cli.command import run_command
from tracker.datasets.clips import LABELLINGS, labelled_clips
from tracker.detectors.loading import DetectorName
from tracker.evaluation.clip_metrics import stability_figures
from tracker.face.geometry import Array

if TYPE_CHECKING:
    from typing_extensions import Self

# By iBUG's index, the vertex of the mesh at the same place: the corners of the eyes, the outer contour of the lips, the
# chin, the tip of the nose. The figures of our bar have these; others lie as near (see talking_face.md).
MESH = {
    **{36: 33, 39: 133, 42: 362, 45: 263},
    **dict(zip(range(48, 60), (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91))),
    **{8: 152, 30: 4},
}
POINTS = list(LABELLINGS["talking-face"].sets[len(MESH)])
FACEMESH = {"plain": "FaceMesh", "attention": "FaceMesh with attention"}
COLUMNS = {
    "lost": "frames lost",
    "nme_percent": "NME %",
    "half_pixel_nme_percent": "half px off",
    "offset_removed_percent": "offset removed %",
    "acceleration_error_percent": "acceleration error %",
    "lag_frames": "lag, frames",
}


def main() -> int:
    """Run the command line."""
    return run_command(talking_face, "benchmarks.talking_face")


def talking_face(
    root: Path,
    model: Path | None = None,
    detector: DetectorName = "auto",
    mediapipe_python: Path | None = None,
    report: Path = Path("runs/talking_face.json"),
) -> None:
    """Run both on the same decoded frames; landmarks are smoothed only by each system's own filter.

    Args:
        root: the folder of the clip, with vid.avi and annot.
        model: a landmark model; the packaged one if not given.
        detector: what finds the face for us.
        mediapipe_python: a Python that has mediapipe; if not given, an environment is made in runs/.
        report: the .json file to write.
    """
    check_report(report)
    python = mediapipe_python or mediapipe_environment(REPOSITORY / "runs" / MEDIAPIPE.replace("==", "-"))
    (clip,), _ = labelled_clips("talking-face", root)
    tracker = Tracker(model, detector)
    truth: list[Array] = []
    tracks: dict[str, list[Array]] = {name: [] for name in ("ours, raw", "ours, smooth", *FACEMESH.values())}
    with ExitStack() as stack:
        sides: dict[str, FaceMesh] = {}
        for frame, label in clip.read():
            if not sides:
                size = frame.image_rgb.shape[:2]
                sides = {name: stack.enter_context(FaceMesh(python, side, size)) for side, name in FACEMESH.items()}
            faces = tracker.step(frame).faces
            tracks["ours, raw"].append(faces[0].raw.points_px[POINTS] if faces else missing())
            tracks["ours, smooth"].append(faces[0].landmarks.points_px[POINTS] if faces else missing())
            for name, side in sides.items():
                tracks[name].append(side.step(frame.image_rgb))
            truth.append(missing() if label is None else label.points_px[POINTS])
    points = {name: np.array(track) for name, track in tracks.items()}
    record = {
        "frames": len(truth),
        "detector": tracker.detector.name,
        "versions": {name: side.versions for name, side in sides.items()},
        "sides": {name: figures(track, np.array(truth), clip.fps, name in sides) for name, track in points.items()},
    }
    write_report(report, record)
    print(table(record), f"report: {report}", sep="\n")


def missing() -> Array:
    """Return NaN for each point, for a frame without a face."""
    return np.full((len(POINTS), 2), np.nan)


class FaceMesh:
    """FaceMesh in a separate environment, see facemesh_points.py; size is (height, width) of the pictures."""

    def __init__(self, python: Path, side: str, size: tuple[int, ...]) -> None:
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks._lib.facemesh_points", side, *map(str, size)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )
        self.versions = self._answer()

    def step(self, image_rgb: NDArray[np.uint8]) -> Array:
        """Return its vertices (18, 2) at our points, fractions times the picture's size; NaN without a face."""
        assert self._process.stdin is not None
        self._process.stdin.write(image_rgb.tobytes())
        self._process.stdin.flush()
        vertices = self._answer()
        if vertices is None:
            return missing()
        shares = np.array([vertices[MESH[index]] for index in POINTS])
        return np.asarray(shares * image_rgb.shape[1::-1], np.float64)

    def _answer(self) -> Any:
        """Raise TrackerError with the last message of a process that has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._complaints.seek(0)
            last = (self._complaints.read().strip() or "no message").splitlines()[-1]
            self.close()
            raise TrackerError(f"FaceMesh has ended: {last}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process by closing its standard input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._complaints.close()


def figures(points: Array, truth: Array, fps: float, from_edge: bool) -> dict[str, float | None]:
    """Return the figures of one system's points (T, 18, 2).

    With from_edge, the origin of the points is the picture's edge, half a pixel before the first pixel's centre; the
    NME is then given both unchanged and converted to our convention.
    """
    right, left = POINTS.index(36), POINTS.index(45)
    length = np.linalg.norm(truth[:, right] - truth[:, left], axis=1)

    def nme_percent(track: Array) -> float:
        return 100 * float(np.nanmean(np.linalg.norm(track - truth, axis=2).mean(1) / length))

    values = {
        "lost": int(np.isnan(points).any((1, 2)).sum()),
        "nme_percent": nme_percent(points),
        "half_pixel_nme_percent": nme_percent(points - 0.5) if from_edge else None,
        **stability_figures(points, truth, length, fps),
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


def table(record: dict[str, Any]) -> str:
    """Format the record as a table."""
    lines = [f"{'':26}" + "".join(f"{title:>22}" for title in COLUMNS.values())]
    for name, side in record["sides"].items():
        cells = ("-" if side[key] is None else f"{side[key]:.{0 if key == 'lost' else 2}f}" for key in COLUMNS)
        lines.append(f"{name:26}" + "".join(f"{cell:>22}" for cell in cells))
    own = next(iter(record["sides"].values()))["truth_acceleration_percent"]
    lines.append(f"{record['frames']} frames, detector {record['detector']}; the truth's own acceleration: {own:.2f} %")
    return "\n".join([*lines, *(f"{name}: {v}" for name, v in record["versions"].items())])


if __name__ == "__main__":
    sys.exit(main())
