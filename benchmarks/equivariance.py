"""python -m benchmarks.equivariance: measures how much a model's points move when the ROI of a face moves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.datasets.sample import Sample
from tracker.engines.onnx import OnnxEngine
from tracker.face.crop import Roi, roi_of_landmarks
from tracker.face.geometry import Array
from tracker.metrics.nme import nme, normaliser
from tracker.tracking.estimator import LandmarkEstimator
from tracker.weights.packaged import landmark_model
from train.datasets import W300

VIEWS = 16


@dataclass(frozen=True)
class Jitter:
    """The largest change of a ROI: shift in units of its side, scale, and rotation in radians; uniform up to it."""

    shift: float
    scale: float
    rotation_rad: float

    def views(self, roi: Roi, rng: np.random.Generator) -> list[Roi]:
        """Return VIEWS random ROIs near roi."""
        return [self._moved(roi, rng.uniform(-1, 1, 4)) for _ in range(VIEWS)]

    def _moved(self, roi: Roi, draw: Array) -> Roi:
        x, y = np.array(roi.center_px) + self.shift * roi.side_px * draw[:2]
        return Roi((x, y), roi.side_px * (1 + self.scale * draw[2]), roi.rotation_rad + self.rotation_rad * draw[3])


JITTERS = {"small": Jitter(0.015, 0.015, 0.02), "large": Jitter(0.06, 0.08, 0.12)}
"""What a tracker's view does from frame to frame, and what a detection's does."""


@dataclass(frozen=True)
class Row:
    """The figures of a model.

    NME in percent of the inter-ocular distance, in the true ROI and of the mean over the ROIs of the large jitter.
    Spread: the root mean square distance of a point from its mean over the ROIs, mapped back to the picture, in pixels
    of the model's crop and in percent of the inter-ocular distance.
    """

    size: int
    nme: float
    nme_of_mean: float
    spread_px: dict[str, float]
    spread_percent: dict[str, float]


def main() -> int:
    """Run the command line."""
    return run_command(equivariance, "benchmarks.equivariance")


def equivariance(
    root: Path, models: Sequence[Path | None] = (None,), report: Path = Path("runs/equivariance.json")
) -> None:
    """Measure models on the validation faces of 300W's training sets, which do not include test faces.

    Args:
        root: holds afw, helen and lfpw of 300W.
        models: .onnx files; null is the packaged one, which alone is measured if none are given.
        report: the .json file to write.
    """
    check_report(report)
    _, faces = W300(root).faces()
    paths = [landmark_model(model) for model in models]
    rows = {str(path): measured(LandmarkEstimator(OnnxEngine(path)), faces) for path in paths}
    write_report(report, {name: asdict(row) for name, row in rows.items()})
    print(table(rows))


def measured(estimator: LandmarkEstimator, faces: Sequence[Sample]) -> Row:
    """Measure a model; the ROIs are the same for every model."""
    rng = np.random.default_rng(0)
    plain, of_mean, squares = [], [], {name: [] for name in JITTERS}  # type: ignore[var-annotated]
    for face in faces:
        image, roi = face.read_image(), roi_of_landmarks(face.points_px)
        (answer,) = estimator.estimate(image, [roi])
        plain.append(nme(answer.landmarks.points_px, face.points_px, face.scheme))
        for name, jitter in JITTERS.items():
            points = np.stack([m.landmarks.points_px for m in estimator.estimate(image, jitter.views(roi, rng))])
            px, ocular = estimator.engine.spec.size / roi.side_px, normaliser(face.points_px, face.scheme)
            squares[name].append(np.array([px, 100 / ocular]) ** 2 * variance(points))
        of_mean.append(nme(points.mean(0), face.points_px, face.scheme))
    spread = {name: np.sqrt(np.mean(values, 0)).tolist() for name, values in squares.items()}
    return Row(
        estimator.engine.spec.size,
        100 * float(np.mean(plain)),
        100 * float(np.mean(of_mean)),
        {name: px for name, (px, _) in spread.items()},
        {name: percent for name, (_, percent) in spread.items()},
    )


def variance(points: Array) -> float:
    """Return the unbiased mean squared distance of points (V, K, 2) from their means over the V ROIs."""
    distances = np.square(points - points.mean(0)).sum(-1)
    return float(distances.mean()) * len(points) / (len(points) - 1)


def table(rows: dict[str, Row]) -> str:
    """Format as Markdown."""
    lines = [
        f"| model | crop, px | NME, % | of the mean over {VIEWS} views, % | spread, small jitter, px (%) | large |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        spreads = [f"{row.spread_px[j]:.2f} ({row.spread_percent[j]:.2f})" for j in JITTERS]
        lines.append(f"| {name} | {row.size} | {row.nme:.3f} | {row.nme_of_mean:.3f} | {' | '.join(spreads)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
