"""Reports on a test set: figures as the papers give them, the CED plot, and the worst faces drawn."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor

from tracker.datasets.sample import Sample
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array, scale_of
from tracker.face.landmarks import Landmarks
from tracker.metrics.accuracy import Errors, face_error, plot_ced, summary, table
from tracker.system.files import expect_writable, write_whole
from train.errors import SetupError
from train.loaders import Crops, FaceData
from train.task import Batch, LandmarkTask

SHEET = (4, 6)  # rows and columns of faces
ZOOM = 2
TRUTH, FOUND = (90, 220, 120), (255, 90, 80)


class Report(lightning.Callback):
    """Writes report.json, ced.png, worst.jpg and the checkpoint's curve.png at the end of a test, and prints a table.

    Errors are measured in the crop, which is the picture scaled and shifted: over a length of the face they are those
    in the picture. Figures are given for all faces and for each subset. On one device only: a test over several would
    repeat faces to fill the last batch.

    Args:
        folder: where to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs: list[dict[str, Tensor]] = []

    def on_test_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        """Raise SetupError if the folder cannot be written, before the work."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            expect_writable(self.folder)
            expect_writable(self.folder / "report.json")
        except OSError as error:
            raise SetupError(f"--report.folder {self.folder}: cannot be written: {error.strerror}") from None

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        task: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        index: int,
        loader: int = 0,
    ) -> None:
        """Keep the results of a batch."""
        self.outputs.append({name: value.double().cpu() for name, value in outputs.items()})

    def on_test_epoch_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        """Write the files; SetupError if they cannot be written."""
        assert isinstance(task, LandmarkTask)
        data: FaceData = trainer.datamodule  # type: ignore[attr-defined]
        points, scores, truth = (
            np.concatenate([part[name].numpy() for part in self.outputs]) for name in ("points", "scores", "truth")
        )
        errors = errors_of(data.testing.samples, points, scores, truth, task.size)
        by_subset = subsets_of(data.testing.samples, errors)
        figures = {name: summary(part) for name, part in by_subset.items()}
        rank_zero_info(table(figures))
        self._write("report.json", json.dumps(figures, indent=1, allow_nan=False).encode())
        _, worst = cv2.imencode(".jpg", worst_sheet(data.testing, points, errors)[..., ::-1])
        self._write("worst.jpg", worst.tobytes())
        try:
            self._write("ced.png", plot_ced(by_subset, f"{len(errors)} faces"))
            if task.curve:
                self._write("curve.png", plot_curve(task.curve))
        except ImportError as error:
            rank_zero_warn(f"no plot is drawn: {error}")
        rank_zero_info(f"report: {self.folder / 'report.json'}")

    def _write(self, name: str, content: bytes) -> None:
        """Write a file in the folder, whole or not at all; raise SetupError if that fails."""
        try:
            write_whole(self.folder / name, content)
        except OSError as error:
            raise SetupError(f"--report.folder {self.folder}: cannot write {name} there: {error.strerror}") from None


def errors_of(samples: Sequence[Sample], points: Array, scores: Array, truth: Array, size: int) -> Errors:
    """Return the error of each face by its name.

    Args:
        samples: the faces.
        points: (N, K, 2) found.
        scores: (N, K).
        truth: (N, K, 2) labels.
        size: side in pixels of the crops that points and truth lie in.
    """
    errors = {}
    for i, sample in enumerate(samples):
        found = Landmarks(points[i], scores[i], np.zeros((sample.scheme.count, 3)), sample.scheme)
        errors[sample.name] = face_error(found, truth[i], float(scores[i].mean()), _box_size_px(sample, size))
    return errors


def _box_size_px(sample: Sample, size: int) -> tuple[float, float] | None:
    """Return width and height of the data set's box in pixels of the crop; None if there is no box."""
    if sample.box_px is None:
        return None
    width, height = (sample.box_px[2:] * scale_of(roi_of_landmarks(sample.points_px).crop_from_image(size))).tolist()
    return width, height


def subsets_of(samples: Sequence[Sample], errors: Errors) -> dict[str, Errors]:
    """Return the errors of all faces, and those of each subset.

    Args:
        samples: the faces.
        errors: of all, by name.
    """
    parts: dict[str, Errors] = {"all": errors}
    for name in sorted(frozenset[str]().union(*(sample.subsets for sample in samples))):
        parts[name] = {s.name: errors[s.name] for s in samples if name in s.subsets}
    return parts


def plot_curve(curve: Mapping[int, float]) -> bytes:
    """Plot the validation NME by epoch, with the best and the last marked.

    Args:
        curve: in percent, by epoch.

    Returns:
        A PNG.

    Raises:
        ImportError: without matplotlib.
    """
    from matplotlib.figure import Figure

    best = min(curve, key=lambda epoch: curve[epoch])
    axes = (figure := Figure(figsize=(6, 4), dpi=150, layout="constrained")).subplots()
    axes.plot([*curve], [*curve.values()], label="validation")
    for name, epoch in (("best", best), ("last", max(curve))):
        axes.plot(epoch, curve[epoch], "o", label=f"{name}: {curve[epoch]:.2f} at epoch {epoch}")
    axes.set(xlabel="epoch", ylabel="NME, % of the outer eye corners' distance", ylim=(0, 3 * curve[best]))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(png := io.BytesIO(), format="png")
    return png.getvalue()


def worst_sheet(crops: Crops, points: Array, errors: Errors) -> NDArray[np.uint8]:
    """Draw the faces of the largest ocular NME, the worst first: labels in green, found points in red, the percentage.

    Args:
        crops: the faces.
        points: (N, K, 2) found.
        errors: of all, by name.

    Returns:
        RGB.
    """
    by_error = sorted(range(len(crops)), key=lambda i: -_ocular(errors, crops, i))
    rows, columns = SHEET
    tiles = [_tile(crops, points[i], i, 100 * _ocular(errors, crops, i)) for i in by_error[: rows * columns]]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def _ocular(errors: Errors, crops: Crops, i: int) -> float:
    error = errors[crops.samples[i].name]
    assert error is not None  # in the view of its labels every face is measured
    return error.nme["ocular"]


def _tile(crops: Crops, found: Array, i: int, percent: float) -> NDArray[np.uint8]:
    batch = crops[i]
    tile = np.asarray(cv2.resize(batch.crops.numpy(), None, fx=ZOOM, fy=ZOOM), np.uint8)
    for points, colour in ((batch.points_px.double().numpy(), TRUTH), (found, FOUND)):
        for x, y in ((points + 0.5) * ZOOM - 0.5).round().astype(int).tolist():
            cv2.circle(tile, (x, y), 1, colour, -1, cv2.LINE_AA)
    cv2.putText(tile, f"{percent:.1f} %", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return tile
