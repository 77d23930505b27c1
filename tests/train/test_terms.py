"""Terms of the total loss: those of a user's own are named in a configuration, and need no change of the task."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.run import load
from train.checkpoints import CheckpointError
from train.errors import SetupError
from train.losses.absence import absence_loss
from train.models.edge import EdgeHourglass
from train.objectives import Labels, Objective, Structured
from train.task import Batch, LandmarkTask
from train.terms import Landmarks, Prediction, Term, Weights

Fit = Callable[..., None]
HERE = "tests.train.test_terms"


@dataclass
class Centre(Term):
    """How far the mean of the points lies from that of the labels, in cells."""

    weight: float = 0.5
    fails: bool = False

    def __call__(self, prediction: Prediction, labels: Labels) -> Tensor:
        error = (prediction.read()[0] - labels.points_px) / labels.stride
        return (error * labels.inside[..., None]).mean(1).norm(dim=-1).mean()

    def check(self, net: nn.Module, objective: Objective, views: int) -> None:
        if self.fails:
            raise SetupError(f"Centre needs another objective than {type(objective).__name__}")


@dataclass
class NeedsEdges(Centre):
    """A term that needs edge maps."""

    def needs_edges(self, net: nn.Module) -> bool:
        return True


@dataclass
class Silent(Centre):
    """A term that never applies."""

    def __call__(self, prediction: Prediction, labels: Labels) -> None:  # type: ignore[override]
        return None


def task_of(*terms: Term, weights: Weights = Weights()) -> LandmarkTask:
    torch.manual_seed(1)
    return LandmarkTask(EdgeHourglass(channels=(8, 8), stem=8), Structured(), size=32, terms=terms, weights=weights)


def batch_of(points_px: Tensor) -> Batch:
    return Batch(
        torch.zeros(len(points_px), 32, 32, 3, dtype=torch.uint8), points_px, torch.zeros(len(points_px), 0, 8, 8)
    )


def test_a_term_is_added_with_its_weight_under_its_name() -> None:
    points = 30 * torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(3)) + 0.5
    found = {}
    for weight in (0.5, 2.0):
        task = task_of(Centre(weight))
        batch = batch_of(points)
        output = task(batch.crops)
        found[weight] = task.losses(output, batch)
        assert [*found[weight]] == ["landmarks", "centre"]
        expected = ((task.decode(output)[0] - points) / 4).mean(1).norm(dim=-1).mean()
        torch.testing.assert_close(found[weight]["centre"], weight * expected)
    torch.testing.assert_close(found[0.5]["landmarks"], found[2.0]["landmarks"], rtol=0, atol=0)


def test_one_that_does_not_apply_or_weighs_nothing_is_left_out() -> None:
    points = torch.full((1, 68, 2), 9.0) + torch.arange(68)[:, None] / 10
    batch = batch_of(points)
    for term in (Silent(), Centre(0.0), Centre(0.0, fails=True)):
        task = task_of(term)
        assert [*task.losses(task(batch.crops), batch)] == ["landmarks"]


def test_a_training_without_any_is_refused() -> None:
    batch = batch_of(torch.full((1, 68, 2), 9.0))
    task = task_of(weights=Weights(landmarks=0))
    with pytest.raises(SetupError, match=r"model\.weights: no term .* nothing is learned"):
        task.losses(task(batch.crops), batch)


def test_two_of_one_name_are_refused() -> None:
    for terms in ([Centre(), Centre(2.0)], [Landmarks()]):
        with pytest.raises(SetupError, match=f"two are named {terms[0].name}; rename one"):
            task_of(*terms)


def test_where_no_face_is_the_maps_are_learned_to_be_even_and_nothing_else() -> None:
    points = 30 * torch.rand(4, 68, 2, generator=torch.Generator().manual_seed(3)) + 0.5
    task = task_of(weights=Weights(absence=0.5))
    batch = batch_of(points)._replace(present=torch.tensor([1.0, 0, 1, 0]))
    output = task(torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)))
    found = task.losses(output, batch)
    assert [*found] == ["landmarks", "absence"]
    maps = task.prediction(output).maps[0]
    torch.testing.assert_close(found["absence"], 0.5 * absence_loss(maps[1::2]).mean() / 2)
    elsewhere = batch._replace(points_px=torch.where(batch.present[:, None, None] > 0, points, points.flip(1)))
    torch.testing.assert_close(task.losses(output, elsewhere)["landmarks"], found["landmarks"], rtol=0, atol=0)


def test_a_net_learns_to_tell_a_face_from_none() -> None:
    """On one bright and one dark crop, after some steps: the maps of the second are nearly even."""
    task = task_of(weights=Weights(absence=1.0))
    crops = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    crops[0] = 255
    points = torch.full((2, 68, 2), 15.0) + torch.arange(68)[:, None] / 10
    batch = Batch(crops, points, torch.zeros(2, 0, 8, 8), present=torch.tensor([1.0, 0.0]))
    optimizer = torch.optim.Adam(task.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack([*task.losses(task(batch.crops), batch).values()]).sum().backward()
        optimizer.step()
    with torch.no_grad():
        uneven = absence_loss(task.prediction(task(batch.crops)).maps[0]).mean(-1)
    assert uneven[1] < 0.05 < 1 < uneven[0]


def test_a_term_says_what_it_needs() -> None:
    with pytest.raises(SetupError, match="Centre needs another objective than Structured"):
        task_of(Centre(fails=True))
    with pytest.raises(SetupError, match=r"the term needsedges of model\.terms needs the 9 edge maps of ibug68"):
        task_of(NeedsEdges()).expect_edges(0)
    task_of(NeedsEdges()).expect_edges(9)


OPTION = f"--model.terms+={HERE}.Centre"


@pytest.fixture(scope="module")
def trained(fit_tiny: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a training with a term of a user's own."""
    folder = tmp_path_factory.mktemp("terms")
    fit_tiny(folder, OPTION, "--model.terms.weight=0.25", "--trainer.max_epochs=1")
    return folder / "last.ckpt"


class TestOnTheCommandLine:
    def test_it_is_learned_and_logged(self, trained: Path) -> None:
        (log,) = trained.parent.glob("csv/version_0/metrics.csv")
        rows = [row for row in csv.DictReader(log.read_text().splitlines()) if row["centre_loss"]]
        assert rows
        assert all(float(row["centre_gradient"]) > 0 for row in rows)
        for row in rows:
            assert float(row["train_loss"]) == pytest.approx(
                float(row["landmarks_loss"]) + float(row["centre_loss"]), rel=1e-5
            )

    def test_its_checkpoint_is_read_where_its_package_is_trusted(self, trained: Path) -> None:
        with pytest.raises(CheckpointError, match=rf"terms\[0\] is a {HERE}\.Centre, whose code is not part of train"):
            load(trained)
        task, *_ = load(trained, "tests.train")
        assert repr(task.terms[-1]) == repr(Centre(0.25))  # pytest imports this module under another name

    def test_a_training_goes_on_from_it(self, trained: Path, fit_tiny: Fit, tmp_path: Path) -> None:
        start = f"--model.start={trained}"
        fit_tiny(tmp_path / "with", OPTION, start, "--trainer.max_epochs=1")
        with pytest.raises(SystemExit, match="whose code is not part of train"):
            fit_tiny(tmp_path / "without", start, "--trainer.max_epochs=1")
        with pytest.raises(SystemExit, match=r"was trained with model\.terms = \[\{'class_path'"):
            fit_tiny(trained.parent, f"--ckpt_path={trained}", "--trust=tests.train", "--model.terms=[]")
