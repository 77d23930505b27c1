"""Checkpoints and what they answer to labelled faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from tracker.datasets.folder import read_custom
from tracker.datasets.sample import DatasetError
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.metrics.nme import nme
from train.checkpoints import build, load_weights, read_checkpoint
from train.loaders import Crops
from train.task import Batch, LandmarkTask

AT_ONCE = 32  # faces
TRUTH, FOUND = "#3fd07c", "#ff5a50"
INCHES = 2.4  # a side of a face


class Model(NamedTuple):
    """A checkpoint with its averaged weights. title: its file and the epochs that it was trained for."""

    task: LandmarkTask
    title: str


class Answer(NamedTuple):
    """The output of a model for N faces.

    Attributes:
        maps: (N, K, cells, cells), the softmax of the last stack's maps; for an objective that draws heatmaps, the
            heatmap over its sum.
        points_px: (N, K, 2) in pixels of the crop.
        percent: (N,), the NME by the distance of the outer eye corners.
    """

    maps: Tensor
    points_px: Tensor
    percent: Array


def load_models(paths: Sequence[Path]) -> list[Model]:
    """The checkpoints. Raises TrackerError for none, and where they differ in scheme or size of the crop."""
    if not paths:
        raise TrackerError("--checkpoints: expected one or more checkpoints of train.run, got none")
    models = [_load(path) for path in paths]
    first = models[0].task
    for path, model in zip(paths, models):
        if (model.task.scheme.name, model.task.size) != (first.scheme.name, first.size):
            raise TrackerError(
                f"{path}: expected {first.scheme.name} in crops of {first.size} px as {paths[0]} has, got "
                f"{model.task.scheme.name} in {model.task.size} px"
            )
    return models


def _load(path: Path) -> Model:
    raw = read_checkpoint(path)
    task = build(LandmarkTask, raw, path)
    load_weights(task, raw, path)
    return Model(task.eval(), f"{path.parent.name}/{path.stem}, epoch {raw['epoch'] + 1}")


def read_faces(path: Path, scheme: str, size: int, faces: int) -> tuple[Batch, list[str]]:
    """The first faces of a folder or table in their crops, and their names. Raises TrackerError where there is none."""
    try:
        samples = read_custom(path, scheme)[: max(faces, 0)]
        if not samples:
            raise DatasetError(f"{path}: expected labelled faces, there are none; --faces is {faces}")
        return Crops(samples, size).together(), [sample.name for sample in samples]
    except DatasetError as error:
        raise TrackerError(str(error)) from None


def answer(model: Model, faces: Batch) -> Answer:
    """Without a gradient, AT_ONCE faces at once."""
    task = model.task
    maps, points = [], []
    with torch.inference_mode():
        for crops in torch.split(faces.crops, AT_ONCE):
            output = task(crops)
            logits = task.objective.logits(task.prediction(output).maps[-1]).float()
            maps.append(torch.softmax(logits.flatten(2), -1).view_as(logits))
            points.append(task.decode(output)[0])
    found = torch.cat(points)
    pairs = zip(found.double().numpy(), faces.points_px.double().numpy())
    return Answer(torch.cat(maps), found, 100 * np.array([nme(p, truth, task.scheme) for p, truth in pairs]))


def expect_landmarks(landmarks: Sequence[int], count: int) -> None:
    """Raise TrackerError for one that the scheme does not have."""
    for landmark in landmarks:
        if not 0 <= landmark < count:
            raise TrackerError(f"--landmarks: expected numbers from 0 to {count - 1}, got {landmark}")


def new_figure(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """Square axes without ticks."""
    figure = Figure(figsize=(INCHES * columns, INCHES * rows + 0.4), dpi=80, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.set(xticks=[], yticks=[])
    return figure, axes.tolist()


def show_face(axes: Axes, crop: Tensor, size: int) -> None:
    """The crop, in its own pixels."""
    axes.imshow(crop.numpy())
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))


def save(figure: Figure, path: Path) -> None:
    """Write the picture, and say where. Raises TrackerError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise TrackerError(f"{path} cannot be written: {error}") from None
    print(path)
