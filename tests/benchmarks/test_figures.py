"""python -m benchmarks.figures on the checkpoint of a small net: what it draws, prints and refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

pytest.importorskip("matplotlib")
from benchmarks.figures.__main__ import main
from benchmarks.figures.models import answer, load_models, read_faces
from benchmarks.figures.smoothing import joint_map
from benchmarks.figures.variance import variances
from tracker.metrics.nme import nme
from train.targets.label_smoothing import ImageAware, covariances, refine

CELLS, STRIDE = 32, 4
EACH_EPOCH = """
    --trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint --trainer.callbacks.dirpath={folder}
    --trainer.callbacks.filename={{epoch}} --trainer.callbacks.auto_insert_metric_name=false
    --trainer.callbacks.save_top_k=-1
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks.figures", *map(str, arguments)])
    return main()


@pytest.fixture(scope="module")
def faces(w300: Path) -> Path:
    """A folder of pictures with .pts files."""
    return w300 / "afw"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["heatmaps", "--landmarks=[8]", "--faces=2"], None),
        (["ellipses", "--faces=2"], "ratio of the eigenvalues"),
        (["variance", "--faces=2"], "2 faces: 0.000 px²"),
        (["compare", "--faces=2"], "smaller error on 0 of 2 faces"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_draws_what_a_checkpoint_answers(
    command: list[str],
    sentence: str | None,
    checkpoint: Path,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same checkpoint twice: equal columns, no variance, and no winner."""
    output = tmp_path / "made" / "picture.png"
    models = f"--checkpoints=[{checkpoint},{checkpoint}]"
    assert run(monkeypatch, *command, models, f"--path={faces}", f"--output={output}") == 0
    said = capsys.readouterr().out
    assert str(output) in said
    assert sentence is None or sentence in said
    picture = cv2.imread(str(output))
    assert picture is not None and picture.std() > 10


@pytest.mark.slow
def test_draws_heatmaps_by_epoch(
    fit_tiny: Callable[..., None], faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that keeps each epoch, as benchmarks/README.md says."""
    fit_tiny(tmp_path / "run", *EACH_EPOCH.format(folder=tmp_path / "epochs").split())
    epochs = sorted((tmp_path / "epochs").glob("*.ckpt"))
    assert [model.title for model in load_models(epochs)] == ["epochs/0, epoch 1", "epochs/1, epoch 2"]
    output = tmp_path / "epochs.png"
    checkpoints = ",".join(map(str, epochs))
    arguments = (f"--checkpoints=[{checkpoints}]", f"--path={faces}", "--faces=1", "--landmarks=[8]")
    assert run(monkeypatch, "heatmaps", *arguments, f"--output={output}") == 0
    height, width, _ = cv2.imread(str(output)).shape  # type: ignore[union-attr]
    assert width > 1.5 * height  # a column for each epoch


def test_draws_the_stages_of_smoothing(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "stages.png"
    arguments = (f"--path={faces}", "--landmarks=[37]", "--size=128", f"--output={output}")
    assert run(monkeypatch, "smoothing", *arguments) == 0
    picture = cv2.imread(str(output))
    assert picture is not None and picture.std() > 10


def test_the_drawn_stage_is_the_one_that_labels_are_made_of() -> None:
    """The second moment of M about the label's cell is the covariance, where gamma is 1."""
    edges = torch.rand(1, 1, CELLS, CELLS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for x, y in ((15.2, 9.7), (1.0, 30.0)):
        point = torch.tensor([x, y], dtype=torch.float64)
        joint = joint_map(refine(edges)[0], point, 6)
        axis = torch.arange(CELLS, dtype=torch.float64)
        dx, dy = axis - round(x), (axis - round(y))[:, None]
        found = torch.stack([(joint * d).sum() / joint.sum() for d in (dx * dx, dx * dy, dy * dy)])
        pixels = (point + 0.5) * STRIDE - 0.5
        expected = covariances(edges, pixels[None, None], STRIDE, ImageAware(6, gamma=1, edges="all"))[0, 0]
        if x > 2:  # nearer to the border the picture leaves off a part of N, the covariance does not
            assert_allclose(found, expected, rtol=1e-9)
        assert joint.argmax() == round(y) * CELLS + round(x)


def test_answers_are_those_of_the_task(checkpoint: Path, faces: Path) -> None:
    (model,) = load_models([checkpoint])
    batch, _ = read_faces(faces, model.task.scheme.name, model.task.size, 2)
    found = answer(model, batch)
    with torch.inference_mode():
        points, _, _ = model.task.decode(model.task(batch.crops))
    assert torch.equal(found.points_px, points)
    assert_allclose(found.maps.sum((-2, -1)), 1, rtol=1e-5)
    truth = batch.points_px.double().numpy()
    assert_allclose(found.percent[1], 100 * nme(points[1].double().numpy(), truth[1], model.task.scheme))


def test_variance_is_that_of_numpy() -> None:
    points = np.random.default_rng(0).normal(size=(5, 3, 4, 2))
    assert_allclose(variances(points), points.var(0, ddof=1).sum(-1))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["heatmap"], "did you mean heatmaps?"),
        (["heatmaps", "--checkpoints=[]"], "expected one or more checkpoints of train.run, got none"),
        (["heatmaps", "--checkpoints=[{checkpoint}]", "--landmarks=[68]"], "expected numbers from 0 to 67, got 68"),
        (["compare", "--checkpoints=[{checkpoint}]"], "expected two or more checkpoints, got 1"),
        (
            ["variance", "--checkpoints=[{checkpoint},{checkpoint}]", "--others=[{checkpoint}]"],
            "--others: expected two",
        ),
        (["ellipses", "--checkpoints=[{checkpoint}]", "--faces=0"], "expected labelled faces, there are none"),
        (["ellipses", "--checkpoints=[no.ckpt]"], "no.ckpt"),
        (["smoothing", "--half_width=1"], "--half_width must be 2 cells or more, got 1"),
        (["smoothing", "--size=30"], "--size: expected a multiple of 4 from 32 on, got 30"),
        (["smoothing", "--scheme=ibug69"], "--scheme: "),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    sentence: str,
    checkpoint: Path,
    faces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(checkpoint=checkpoint) for argument in arguments]
    path = [f"--path={faces}"] if given[0] != "heatmap" else []
    assert run(monkeypatch, *given, *path) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
