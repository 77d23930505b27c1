"""python -m benchmarks.model_errors --faces FOLDER: errors of models on labelled pictures, by part and by group.

Each face is measured once, in the ROI of its labels ("true box"), upright along its eyes with --rolled.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._lib.reports import check_report, write_report
from benchmarks.label_accuracy import in_eyes_frame, raw_and_removed
from export.uncertainty import squared_sigmas
from tracker.cli.command import run_command
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.datasets.sample import Sample
from tracker.engines.loading import load_engine
from tracker.errors import TrackerError
from tracker.face.crop import eye_rotation_rad, roi_of_landmarks
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68
from tracker.sources.picture_files import SUFFIXES
from tracker.tracking.estimator import LandmarkEstimator
from tracker.weights.packaged import identify_model, landmark_model
from train.datasets import CustomDataset, split

GUESSES, GUESSED = re.compile(r"guess ([\d\s-]+):"), re.compile(r"(\d+)(?:-(\d+))?")
MEDIAN_SIGMAS = math.sqrt(2 * math.log(2))
"""Half of a Gaussian's errors in two dimensions lie within so many standard deviations."""
RESAMPLINGS, INTERVAL = 2000, (2.5, 97.5)  # of the bootstrap: how often, and between which percentiles

LOG = logging.getLogger(__name__)


def main() -> int:
    """Run the command line."""
    return run_command(model_errors, "benchmarks.model_errors")


def model_errors(
    faces: Path,
    models: Sequence[str] = ("edge68", "edge68_fast", "edge68_300w", "edge68_fast_300w", "mid68_300w"),
    rolled: bool = False,
    groups: Path | None = None,
    held_back: bool = False,
    without_guesses: bool = False,
    report: Path = Path("runs/model_errors.json"),
) -> None:
    """Measure models on labelled pictures, in percent of the outer eye corners' distance.

    Args:
        faces: a folder of NAME.jpg beside NAME.pts.
        models: names of packaged models, or files.
        rolled: turn each view upright by the labels' eyes.
        groups: a table (.csv) whose first column is a picture's name, and each other one but notes a way to group the
            faces.
        held_back: only the faces that train.datasets.CustomDataset holds back from training.
        without_guesses: leave out the points that the column notes of groups calls guesses, as in "guess 7-9 12: hair".
        report: the .json file to write.
    """
    check_report(report)
    chosen = labelled_faces("folder", faces)
    if held_back:
        own = CustomDataset(faces, IBUG68.name)
        names = {own.key(sample) for sample in split(own.labelled(), own.key)[1]}
        chosen = [face for face in chosen if face.picture.name in names]
    table = {} if groups is None else _read_groups(groups)
    without = sum(face.picture.stem not in table for face in chosen) if table else 0
    if table and without == len(chosen):
        raise TrackerError(
            f"--groups {groups}: expected rows named like the pictures, such as {chosen[0].picture.stem}"
        )
    if without:
        LOG.warning("--groups %s: %d of %d pictures have no row and are in no group", groups, without, len(chosen))
    notes = [table.get(face.picture.stem, {}).pop("notes", "") for face in chosen]
    figures: dict[str, Any] = {"faces": len(chosen), "rolled": rolled, "models": {}}
    for name in models:
        path = landmark_model(Path(name))
        engine = load_engine(path)
        errors, sigmas = measure(LandmarkEstimator(engine), chosen, rolled)
        if without_guesses:
            errors = leave_out_guesses(errors, notes)
        figures["models"][name] = {
            "model": str(identify_model(path, engine.spec.licence)),
            "error_over_deviation": error_over_deviation(sigmas[~np.isnan(errors[..., 0])]),
            **raw_and_removed(errors, IBUG68),
            "groups": by_group(errors, [table.get(face.picture.stem, {}) for face in chosen]),
        }
    write_report(report, figures)
    print(json.dumps(figures, indent=1))


def measure(estimator: LandmarkEstimator, faces: Sequence[Sample], rolled: bool) -> tuple[Array, Array]:
    """Return errors along and across the line of the eyes, over the outer eye corners' distance, and in sigmas.

    The former are (N, 68, 2), the latter (N, 68): each error's Mahalanobis distance by the stated covariance.
    """
    errors, sigmas = [], []
    for face in faces:
        image_rgb, truth = read_face(face)
        roi = roi_of_landmarks(truth, eye_rotation_rad(truth, IBUG68) if rolled else 0.0)
        landmarks, _ = estimator.estimate(image_rgb, [roi])[0]
        away = landmarks.points_px - truth
        errors.append(in_eyes_frame(away, truth, IBUG68))
        sigmas.append(in_sigmas(away, landmarks.covariances_px2))
    return np.stack(errors), np.stack(sigmas)


def in_sigmas(errors: Array, covariances: Array) -> Array:
    """Return the Mahalanobis distances (K,) of errors (K, 2) by covariances (K, 3) xx, xy, yy."""
    squares = squared_sigmas(torch.from_numpy(errors), torch.from_numpy(covariances))
    return np.asarray(squares.sqrt().numpy(), np.float64)


def error_over_deviation(sigmas: Array) -> float:
    """Return how many times too small the stated deviations are, by the median of errors in sigmas.

    A few large errors change it little; deviations that match Gaussian errors give 1.
    """
    return round(float(np.median(sigmas)) / MEDIAN_SIGMAS, 3)


def leave_out_guesses(errors: Array, notes: Sequence[str]) -> Array:
    """The errors (N, K, 2) with NaN for the points that the notes of a face call guesses.

    Raises TrackerError where a point is a guess in every face.
    """
    kept = errors.copy()
    for error, note in zip(kept, notes):
        for first, last in GUESSED.findall(" ".join(GUESSES.findall(note))):
            error[int(first) : int(last or first) + 1] = np.nan
    if np.isnan(kept).all((0, 2)).any():
        raise TrackerError("--without-guesses: expected each point to be no guess in one face at least; leave it out")
    return kept


def by_group(errors: Array, groups: Sequence[Mapping[str, str]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return by column and value the number of faces, their mean error in percent, and its bootstrap interval.

    Points that are NaN do not count, nor faces of which every point is.
    """
    there = np.asarray(~np.isnan(errors).all((1, 2)))
    errors, groups = errors[there], [group for group, is_there in zip(groups, there.tolist()) if is_there]
    of_face = 100 * np.nanmean(np.linalg.norm(errors, axis=2), axis=1)
    removed = 100 * np.nanmean(np.linalg.norm(errors - np.nanmean(errors, axis=0), axis=2), axis=1)
    result: dict[str, dict[str, dict[str, Any]]] = {"all": {"all": _with_interval(of_face, removed)}}
    for column in {column: None for group in groups for column in group}:
        values = np.array([group.get(column, "") for group in groups])
        result[column] = {
            value: _with_interval(of_face[values == value], removed[values == value])
            for value in sorted(set(values.tolist()) - {""})
        }
    return result


def _with_interval(percent: Array, removed: Array) -> dict[str, Any]:
    drawn = np.random.default_rng(0).integers(len(percent), size=(RESAMPLINGS, len(percent)))
    low, high = np.percentile(percent[drawn].mean(1), INTERVAL)
    return {
        "faces": len(percent),
        "mean_percent": round(float(percent.mean()), 3),
        "interval_95": [round(float(low), 3), round(float(high), 3)],
        "offset_removed_percent": round(float(removed.mean()), 3),
    }


def _read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Read the columns of the table by the picture's name without its suffix."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrackerError(f"--groups {path}: cannot be read: {error}") from None
    if not rows:
        raise TrackerError(f"--groups {path}: expected a table with a header and rows, found none")
    key = next(iter(rows[0]))
    return {_without_suffix(row.pop(key)): row for row in rows}


def _without_suffix(name: str) -> str:
    """Only a picture's suffix is one: in `ads_1072.Still005` there is none."""
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


if __name__ == "__main__":
    sys.exit(main())
