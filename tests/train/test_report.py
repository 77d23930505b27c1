"""The report of a test set: its figures from known errors, and the whole command on drawn faces."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.datasets.folder import read_pairs
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import invert, transform_points
from tracker.face.schemes import IBUG68
from tracker.metrics.nme import nme
from train.loaders import Crops
from train.report import FOUND, TRUTH, ZOOM, errors_of, subsets_of, worst_sheet
from train.run import main

Array = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def crops(w300: Path) -> Crops:
    """Eight drawn faces of 48 pixels: four indoor, four outdoor."""
    folders = {"indoor": "afw", "outdoor": "lfpw/trainset"}
    samples = [
        sample
        for name, folder in folders.items()
        for sample in read_pairs(w300 / folder, IBUG68, "refuse", frozenset({name}))
    ]
    return Crops(samples, 48)


def labels(crops: Crops) -> Array:
    return np.stack([crops[i].points_px.double().numpy() for i in range(len(crops))])


def shifted(crops: Crops) -> Array:
    """(8, 68, 2) the labels, those of face i moved by i pixels."""
    return labels(crops) + np.arange(len(crops))[:, None, None] * (1, 0)


def test_errors_are_those_of_the_metrics(crops: Crops) -> None:
    points = shifted(crops)
    errors = errors_of(crops.samples, points, np.full((8, 68), 0.5), labels(crops), 48)
    for i, sample in enumerate(crops.samples):
        error = errors[sample.name]
        assert error is not None
        truth = crops[i].points_px.double().numpy()
        assert error.nme["ocular"] == pytest.approx(nme(points[i], truth, IBUG68))
        assert error.nme["diagonal"] == pytest.approx(nme(points[i], truth, IBUG68, "diagonal"))
        assert error.score == 0.5


def test_errors_over_the_data_sets_own_box_do_not_depend_on_the_crop(crops: Crops) -> None:
    """The box is in the picture's pixels, the points in the crop's: the same face in its picture, by hand."""
    sample = replace(crops.samples[2], box_px=np.array([5.0, 6.0, 64.0, 36.0]))
    image_from_crop = invert(roi_of_landmarks(sample.points_px).crop_from_image(48))
    points = shifted(crops)[2:3]
    (error,) = errors_of([sample], points, np.ones((1, 68)), labels(crops)[2:3], 48).values()
    assert error is not None
    in_picture = transform_points(image_from_crop, points[0])
    expected = np.linalg.norm(in_picture - sample.points_px, axis=1).mean() / 48
    assert error.nme["face_box"] == pytest.approx(expected, rel=1e-4)


def test_subsets_are_parts_of_the_whole(crops: Crops) -> None:
    errors = errors_of(crops.samples, shifted(crops), np.ones((8, 68)), labels(crops), 48)
    parts = subsets_of(crops.samples, errors)
    assert list(parts) == ["all", "indoor", "outdoor"]
    assert {**parts["indoor"], **parts["outdoor"]} == parts["all"]
    assert len(parts["indoor"]) == 4


def test_the_worst_face_comes_first_with_both_sets_of_points(crops: Crops) -> None:
    points = shifted(crops)
    sheet = worst_sheet(crops, points, errors_of(crops.samples, points, np.ones((8, 68)), labels(crops), 48))
    side = 48 * ZOOM
    assert sheet.shape == (2 * side, 6 * side, 3)
    first = sheet[:side, :side].reshape(-1, 3).astype(int)
    for colour in (TRUTH, FOUND):
        assert (np.abs(first - colour).sum(1) < 60).sum() > 20
    assert not sheet[side:, 2 * side :].any()  # eight faces leave four places empty


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`", "ignore:The dirpath has changed")
def test_the_command(checkpoint: Path, w300: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, folder = tmp_path / "300w", tmp_path / "report"
    shutil.copytree(w300 / "afw", root / "lfpw/testset")
    options = f"""
        test --ckpt_path={checkpoint} --report.folder={folder}
        --data.source=train.datasets.W300 --data.source.root={root} --data.source.test_split=lfpw --data.size=32
        --model.net=train.models.edge.EdgeHourglass --model.net.channels=[8,8] --model.net.stem=8
        --model.objective=train.objectives.Structured
        --trainer.accelerator=cpu --trainer.logger=false --trainer.enable_progress_bar=false
        --trainer.default_root_dir={tmp_path}
    """
    monkeypatch.setattr(sys, "argv", ["train.run", *options.split()])
    main()
    figures = json.loads((folder / "report.json").read_text())
    assert figures["all"]["faces"] == figures["common"]["faces"] == 4
    assert figures["all"]["nme_percent"].keys() == {"ocular", "pupil", "box", "diagonal"}
    for name in ("ced.png", "curve.png", "worst.jpg"):
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert picture.std() > 10
