"""The training step learns, counts what it should, and can be interrupted and resumed."""

from __future__ import annotations

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from export.graph import LandmarkGraph
from export.run import load
from tests.conftest import ROOT, TINY_FIT
from tracker.datasets.w300 import read_folder
from tracker.face.schemes import IBUG68
from tracker.metrics.nme import nme
from train.codecs import gaussian, subpixel
from train.datasets import W300
from train.errors import SetupError
from train.loaders import Crops, FaceData
from train.losses.structured import margin_map, structured_loss
from train.models.edge import EdgeHourglass
from train.models.fan import FanNet
from train.models.heads import DecimalHead, OffsetMapHead, OffsetVectorHead
from train.models.hih import HihNet
from train.models.hourglass import StackedHourglass
from train.objectives import HeatmapInHeatmap, Objective, OffsetMap, OffsetVector, Structured, Subpixel
from train.targets.label_smoothing import ImageAware
from train.task import Batch, LandmarkTask, normalise
from train.terms import Weights

Fit = Callable[..., None]


def tiny(
    size: int = 64, objective: Objective | None = None, net: EdgeHourglass | None = None, **options: Any
) -> LandmarkTask:
    torch.manual_seed(1)
    net = net or EdgeHourglass(channels=(16, 16, 16), stem=16)
    return LandmarkTask(net, objective or Structured(), size=size, **options)


def total(task: LandmarkTask, maps: list[Tensor], points_px: Tensor) -> Tensor:
    """The loss of a batch without edge maps."""
    cells = maps[0].shape[-1]
    batch = Batch(torch.empty(0), points_px, torch.zeros(len(points_px), 0, cells, cells))
    (loss,) = task.losses(maps, batch).values()
    return loss


def first_faces(folder: Path, size: int, count: int = 8) -> Batch:
    return Crops(read_folder(folder)[:count], size).together()


def error_of(points_px: Tensor, batch: Batch) -> float:
    """Mean NME."""
    return float(np.mean([nme(f, p, IBUG68) for f, p in zip(points_px.detach(), batch.points_px, strict=True)]))


def overfit(task: LandmarkTask, batch: Batch, steps: int) -> tuple[list[float], list[float]]:
    """The loss of every step, and the NME before and after."""
    optimizer, losses = torch.optim.AdamW(task.parameters(), 5e-3), []

    before = error_of(task.decode(task(batch.crops))[0], batch)
    for _ in range(steps):
        loss = torch.stack([*task.losses(task(batch.crops), batch).values()]).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses, [before, error_of(task.decode(task(batch.crops))[0], batch)]


KILLED = """
import os, signal
from train.run import main
from train.task import LandmarkTask

def die(task, *_):
    if task.global_step == 7:
        os.kill(os.getpid(), signal.SIGKILL)

LandmarkTask.on_train_batch_end = die
main()
"""


def logged_values(checkpoint: Path, name: str) -> list[float]:
    """What the run that wrote the checkpoint logged under that name."""
    (log,) = checkpoint.parent.glob("csv/version_0/metrics.csv")
    return [float(row[name]) for row in csv.DictReader(log.read_text().splitlines()) if row[name]]


@pytest.mark.parametrize(
    ("make", "size", "multiple"),
    [
        (lambda: StackedHourglass("ibug68", stacks=1, levels=3, width=16), 80, 32),
        (lambda: HihNet(68, stacks=1, width=16, cell_head=None), 96, 64),
        (lambda: FanNet(68, stacks=1), 100, 64),
    ],
)
def test_crops_that_a_net_cannot_halve_are_refused(make: Callable[[], nn.Module], size: int, multiple: int) -> None:
    """Without it PyTorch says that the sizes of two tensors differ, or that a channel has one value."""
    with torch.device("meta"):
        net = make()
        with pytest.raises(SetupError, match=rf"data.size: expected a multiple of {multiple} for \w+, got {size}"):
            LandmarkTask(net, Structured(), size=size)
        LandmarkTask(net, Structured(), size=2 * multiple, weights=Weights(points=0, edges=0))


def test_pictures_become_minus_one_to_one() -> None:
    crops = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 2, 4, 3)
    assert normalise(crops).shape == (1, 3, 2, 4)
    assert_allclose(normalise(crops)[0, :, 1, 2], [-1, -0.6, 1], atol=1e-6)


class TestLearns:
    def test_a_few_drawn_faces(self, w300: Path) -> None:
        losses, errors = overfit(tiny(48), first_faces(w300 / "afw", 48, 4), steps=30)
        assert losses[-1] < 0.8 * losses[0]
        assert errors[1] < 0.3 * errors[0]

    def test_eight_real_faces(self, shared: Path) -> None:
        losses, errors = overfit(tiny(48), first_faces(shared / "data/300w/lfpw/trainset", 48), steps=30)
        assert losses[-1] < 0.8 * losses[0]
        assert errors[1] < 0.3 * errors[0]

    @pytest.mark.parametrize(
        ("objective", "head"),
        [
            (HeatmapInHeatmap(), partial(DecimalHead, 24, 68, 12, 3)),
            pytest.param(OffsetVector(), partial(OffsetVectorHead, 24, 68), marks=pytest.mark.slow),
            pytest.param(OffsetMap(), partial(OffsetMapHead, 24), marks=pytest.mark.slow),
        ],
        ids=["decimals", "vector", "map"],
    )
    def test_where_in_its_cell_a_point_lies(
        self, shared: Path, objective: Objective, head: Callable[..., nn.Module]
    ) -> None:
        """By heart: that the heads find nothing in short trainings on many faces (benchmarks.representations) is not
        theirs."""
        torch.manual_seed(1)
        net = EdgeHourglass(channels=(24, 24, 24), stacks=1, stem=16, block="bottleneck", cell_head=head(width=32))
        task, faces = tiny(48, objective, net), first_faces(shared / "data/300w/lfpw/trainset", 48)
        overfit(task, faces, steps=125)
        with torch.no_grad():
            logits, head_output = LandmarkGraph(task.eval()).maps(faces.crops)
        own, middle = (
            error_of(objective.read(logits, head_output, task.stride, name)[0], faces)
            for name in (objective.decoder, "argmax")
        )
        assert own < 0.9 * middle


class TestLoss:
    def test_is_the_weighted_mean_over_stacks_faces_and_points(self) -> None:
        task = tiny(32, Structured(margin="l2", epsilon=0.7))
        generator = torch.Generator().manual_seed(2)
        maps = [torch.randn(3, 68, 8, 8, generator=generator) for _ in range(3)]
        points = 32 * torch.rand(3, 68, 2, generator=generator) - 0.5
        target = gaussian.encode(points, 8, 4, 0.9)
        in_map = gaussian.cells_from_pixels(points, 4) / 3.5 - 1  # first cell's middle -1, last cell's 1
        margin = margin_map(in_map, 8, "l2")
        terms = [structured_loss(m, target, margin, 0.7).mean().item() for m in maps]
        expected = terms[0] / 4 + terms[1] / 2 + terms[2]
        assert total(task, maps, points).item() == pytest.approx(expected, rel=1e-5)

    def test_points_outside_the_crop_do_not_contribute(self) -> None:
        task, generator = tiny(size=32), torch.Generator().manual_seed(3)
        maps = [torch.randn(2, 68, 8, 8, generator=generator).requires_grad_()]
        points = 30 * torch.rand(2, 68, 2, generator=generator) + 0.5
        outside = points.clone()
        outside[0, 5], outside[0, 9], outside[1, 67] = torch.tensor([[-0.6, 9.0], [3.0, 31.6], [500.0, -500.0]])
        loss = total(task, maps, outside)
        loss.backward()  # type: ignore[no-untyped-call]
        assert maps[0].grad is not None
        silent = [(n, k) for n in range(2) for k in range(68) if not maps[0].grad[n, k].any()]
        assert silent == [(0, 5), (0, 9), (1, 67)]
        farther = outside.clone()
        farther[1, 67] = torch.tensor([-3000.0, 40.0])
        assert total(task, maps, farther).item() == loss.item()
        # the mean is over those inside: without the three, the others weigh as much as alone
        alone = [total(task, [m[:1, :5] for m in maps], outside[:1, :5]).item(), total(task, maps, points).item()]
        assert all(math.isfinite(value) for value in alone)

    def test_a_points_weight_scales_its_loss(self) -> None:
        task, generator = tiny(size=32), torch.Generator().manual_seed(3)
        maps = [torch.randn(2, 68, 8, 8, generator=generator).requires_grad_()]
        points = 30 * torch.rand(2, 68, 2, generator=generator) + 0.5
        weights = torch.ones(2, 68)
        weights[0, 3], weights[1] = 0.0, 0.25
        edges = torch.zeros(2, 0, 8, 8)
        (loss,) = task.losses(maps, Batch(torch.empty(0), points, edges, weights)).values()
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = maps[0].grad
        assert gradient is not None
        assert not gradient[0, 3].any()
        maps[0].grad = None
        total(task, maps, points).backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(gradient[1], 0.25 * maps[0].grad[1])
        torch.testing.assert_close(gradient[0, 4:], maps[0].grad[0, 4:])

    def test_image_aware_labels_without_edges_are_refused(self) -> None:
        task = tiny(size=32, objective=Structured(smoothing=ImageAware(half_width=4)))
        maps, points = [torch.zeros(2, 68, 8, 8)], torch.rand(2, 68, 2)
        with pytest.raises(SetupError, match=r"image-aware label smoothing needs the 9 edge maps.*set data\.edges"):
            total(task, maps, points)
        with pytest.raises(SetupError, match="the data have 5"):
            task.losses(maps, Batch(torch.empty(0), points, torch.zeros(2, 5, 8, 8)))

    def test_before_any_picture_is_read(self, tmp_path: Path) -> None:
        """The folder is not even there."""
        task = tiny(size=32, objective=Structured(smoothing=ImageAware(half_width=4)))
        data = FaceData(W300(tmp_path / "gone"), size=32)
        data.trainer = SimpleNamespace(lightning_module=task, callbacks=[], precision="32-true")  # type: ignore[assignment]
        with pytest.raises(SetupError, match="edge maps"):
            data.setup("fit")

    def test_edge_maps_of_a_net_need_edges_unless_they_weigh_nothing(self) -> None:
        net = StackedHourglass("ibug68", stacks=1, levels=2, width=8)
        maps = net(torch.zeros(1, 3, 32, 32))
        batch = Batch(torch.empty(0), torch.full((1, 68, 2), 9.0), torch.zeros(1, 0, 8, 8))
        with pytest.raises(SetupError, match=r"model\.weights\.edges \(10\) needs the 9 edge maps"):
            tiny(32, net=net).losses(maps, batch)  # type: ignore[arg-type]
        task = tiny(32, net=net, weights=Weights(points=0, edges=0))  # type: ignore[arg-type]
        assert [*task.losses(maps, batch)] == ["landmarks"]

    def test_points_on_the_outermost_pixels_do(self) -> None:
        task = tiny(size=32)
        maps = [torch.zeros(1, 68, 8, 8, requires_grad=True)]
        points = torch.full((1, 68, 2), 16.0)
        points[0, 0], points[0, 1] = torch.tensor([[0.0, 0.0], [31.0, 31.0]])
        total(task, maps, points).backward()  # type: ignore[no-untyped-call]
        assert maps[0].grad is not None
        assert maps[0].grad[0, 0].any()
        assert maps[0].grad[0, 1].any()


class TestConsistency:
    """Of two views a face; the maps are Gaussians around points, so what they say is known."""

    def maps_of(self, points_px: Tensor) -> Tensor:
        return gaussian.encode(points_px, 16, 4, 0.9).log()

    def terms(self, answers: Tensor, labels: Tensor, **options: Any) -> dict[str, Tensor]:
        batch = Batch(torch.empty(0), labels, torch.zeros(len(labels), 0, 16, 16))
        return tiny(64, **options).losses([self.maps_of(answers)], batch)

    def labels(self) -> Tensor:
        """(4, 68, 2): two faces, each of them seen twice, 8 pixels to the right the second time."""
        faces = 20 + 24 * torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(1))
        return torch.stack([faces, faces + torch.tensor([8.0, 0.0])], 1).flatten(0, 1)

    def test_is_the_distance_from_the_mean_in_cells(self) -> None:
        labels = self.labels()
        answers = labels.clone()
        answers[1::2, :, 1] += 2.0  # pixels: each view is 1 from the mean of both, a quarter of a cell
        assert self.terms(labels, labels, views=2)["consistency"].item() == pytest.approx(0, abs=0.01)
        assert self.terms(answers, labels, views=2)["consistency"].item() == pytest.approx(0.25, abs=0.01)
        assert self.terms(answers, labels, views=2, weights=Weights(consistency=3.0))[
            "consistency"
        ].item() == pytest.approx(0.75, abs=0.03)

    def test_counts_only_what_every_view_shows(self) -> None:
        labels = self.labels()
        answers = labels.clone()
        answers[1, 5] += 6.0
        assert self.terms(answers, labels, views=2)["consistency"].item() > 0.005
        labels[0, 5, 0] = -0.6
        assert self.terms(answers, labels, views=2)["consistency"].item() < 0.002

    def test_one_view_has_none(self) -> None:
        assert set(self.terms(self.labels(), self.labels())) == {"landmarks"}

    def test_is_trained_by_the_command_line(self, tmp_path: Path, fit_tiny: Fit) -> None:
        """One option sets the views of the data and of the task, and the term is in the log."""
        fit_tiny(tmp_path, "--data.views=2", "--model.weights.consistency=2")
        assert all(value > 0 for value in logged_values(tmp_path / "last.ckpt", "consistency_gradient"))
        assert logged_values(tmp_path / "last.ckpt", "consistency_loss")


class TestSiamese:
    def test_is_the_loss_of_the_merged_maps(self) -> None:
        """Two views 8 pixels, two cells, apart: exact maps cost nothing, and a view's error half of itself, squared."""
        faces = 20 + 20 * torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(1))
        labels = torch.stack([faces, faces + torch.tensor([8.0, 0.0])], 1).flatten(0, 1)
        batch = Batch(torch.empty(0), labels, torch.zeros(len(labels), 0, 16, 16))
        task = tiny(64, Subpixel(), views=2, weights=Weights(landmarks=0, consistency=0, siamese=2.0))
        right = subpixel.encode(labels, 16, 4)
        wrong = right.clone()
        wrong[1::2] += 0.5
        assert set(task.losses([right], batch)) == {"siamese"}
        assert task.losses([right], batch)["siamese"].item() == pytest.approx(0, abs=1e-8)
        assert task.losses([wrong], batch)["siamese"].item() == pytest.approx(2 * 0.25**2, rel=1e-4)

    @pytest.mark.parametrize(("objective", "views"), [(Subpixel(), 1), (Structured(), 2)])
    def test_needs_views_and_heatmaps(self, objective: Objective, views: int) -> None:
        sentence = f"needs data.views of 2 or more and an objective that draws.*{views} and {type(objective).__name__}"
        with pytest.raises(SetupError, match=sentence):
            tiny(64, objective, views=views, weights=Weights(siamese=1.0))

    def test_is_trained_by_the_command_line(self, tmp_path: Path, fit_tiny: Fit) -> None:
        options = ["--model.weights.siamese=1", "--model.weights.landmarks=0", "--model.weights.consistency=0"]
        fit_tiny(tmp_path, "--data.views=2", "--model.objective=train.objectives.Subpixel", *options)
        assert all(value > 0 for value in logged_values(tmp_path / "last.ckpt", "train_loss"))


class TestLearningRate:
    def rates(self, steps: int, warmup: float) -> list[float]:
        task = tiny(learning_rate=0.5, warmup=warmup)
        task.trainer = SimpleNamespace(estimated_stepping_batches=steps)  # type: ignore[assignment]
        made = task.configure_optimizers()  # type: ignore[no-untyped-call]
        schedule = made["lr_scheduler"]["scheduler"]
        rates = []
        for _ in range(steps + 1):
            rates.append(schedule.get_last_lr()[0])
            made["optimizer"].step()
            schedule.step()
        assert made["lr_scheduler"]["interval"] == "step"
        return rates

    def test_rises_then_falls_as_a_cosine_to_zero(self) -> None:
        rates = self.rates(200, 0.1)
        assert_allclose(rates[:20], 0.5 * np.arange(1, 21) / 20)
        assert_allclose(rates[20:], 0.5 * 0.5 * (1 + np.cos(np.pi * np.arange(181) / 180)), atol=1e-12)
        assert rates[110] == pytest.approx(0.25)
        assert rates[200] == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("steps", [1, 2, 10])
    @pytest.mark.parametrize("warmup", [0.0, 1.0])
    def test_of_very_short_trainings(self, steps: int, warmup: float) -> None:
        rates = self.rates(steps, warmup)
        assert all(0 <= rate <= 0.5 for rate in rates)
        assert max(rates[:steps]) == 0.5

    def test_of_a_real_training(self, checkpoint: Path) -> None:
        logged = logged_values(checkpoint, "lr-AdamW")
        expected = [2e-3, *(2e-3 * 0.5 * (1 + math.cos(math.pi * i / 5)) for i in range(5))]
        assert_allclose(logged, expected, rtol=1e-6)


class TestTraining:
    def test_validation_is_the_nme_of_the_averaged_weights(self, checkpoint: Path) -> None:
        logged = logged_values(checkpoint, "val_nme")
        task, data, _ = load(checkpoint)
        errors = []
        for crop, truth, *_ in data.validation:  # type: ignore[attr-defined]
            points, _, _ = task.decode(task(crop[None]))
            errors.append(nme(points[0].detach(), truth, IBUG68))
        assert len(errors) == 3
        assert logged[-1] == pytest.approx(100 * np.mean(errors), rel=1e-4)

    def test_the_checkpoint_holds_the_averaged_and_the_current_weights(self, checkpoint: Path) -> None:
        raw = torch.load(checkpoint, weights_only=True)
        averaged, current = raw["state_dict"], raw["current_model_state"]
        assert averaged.keys() == current.keys()
        assert not torch.equal(averaged["net.heads.0.weight"], current["net.heads.0.weight"])
        assert raw["global_step"] == 6
        assert raw["hyper_parameters"]["net"]["init_args"]["channels"] == [8, 8]

    @pytest.mark.parametrize("workers", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1)), 2])
    def test_killed_and_resumed_it_ends_at_the_same_bits(
        self, fit_tiny: Fit, w300: Path, tmp_path: Path, workers: int
    ) -> None:
        """Killed in the middle of an epoch, with labels drawn at random and any number of loaders."""
        options = [
            *("--trainer.max_epochs=4", "--trainer.check_val_every_n_epoch=2", "--model.objective.samples=3"),
            f"--data.workers={workers}",
        ]
        through, broken = tmp_path / "through", tmp_path / "broken"

        fit_tiny(through, *options)
        arguments = [option.format(root=w300, folder=broken) for option in TINY_FIT.split()]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments, *options], cwd=ROOT, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert torch.load(broken / "last.ckpt", weights_only=True)["global_step"] == 6
        for checkpoint in ("last", "best"):  # best.ckpt was written between an epoch's last step and its end
            fit_tiny(broken, *options, f"--ckpt_path={broken / checkpoint}.ckpt")

            expected, got = (torch.load(f / "last.ckpt", weights_only=True) for f in (through, broken))
            assert (expected["epoch"], expected["global_step"]) == (got["epoch"], got["global_step"]) == (3, 12)
            for part in ("state_dict", "current_model_state", "averaging_state"):
                torch.testing.assert_close(got[part], expected[part], rtol=0, atol=0)
            moments = [raw["optimizer_states"][0]["state"] for raw in (got, expected)]
            torch.testing.assert_close(*moments, rtol=0, atol=0)
            assert got["lr_schedulers"] == expected["lr_schedulers"]


class TestStart:
    FREEZE = ("--model.learning_rate=0", "--trainer.max_epochs=1")

    def test_begins_with_the_averaged_weights(self, fit_tiny: Fit, checkpoint: Path, tmp_path: Path) -> None:
        fit_tiny(tmp_path, *self.FREEZE, f"--model.start={checkpoint}")
        first, last = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / "last.ckpt"))
        learned = [name for name in first["state_dict"] if "running" not in name and "tracked" not in name]
        assert "net.heads.0.weight" in learned
        for name in learned:  # BatchNorm's statistics move even so
            assert torch.equal(first["state_dict"][name], last["current_model_state"][name]), name

    def test_a_resumed_training_goes_on_with_its_own(self, fit_tiny: Fit, checkpoint: Path, tmp_path: Path) -> None:
        """Not with those of the start, which may be gone by then."""
        run, start = tmp_path / "run", shutil.copy(checkpoint, tmp_path / "start.ckpt")
        fit_tiny(run, *self.FREEZE, f"--model.start={start}")
        content = torch.load(run / "last.ckpt", weights_only=True)
        for weights in (content["state_dict"], content["current_model_state"]):
            weights["net.heads.0.weight"] += 1  # as if it had learned
        torch.save(content, run / "last.ckpt")
        os.remove(start)
        fit_tiny(run, "--model.learning_rate=0", f"--model.start={start}", f"--ckpt_path={run / 'last.ckpt'}")
        after = torch.load(run / "last.ckpt", weights_only=True)
        assert after["global_step"] > content["global_step"]
        expected = content["current_model_state"]["net.heads.0.weight"]
        assert torch.equal(after["current_model_state"]["net.heads.0.weight"], expected)

    def test_from_a_net_of_the_users_own(self, fit_tiny: Fit, tmp_path: Path) -> None:
        """The configuration names its class, so the checkpoint may name it, too."""
        net = ["--model.net=tests.train.test_two_processes.Plain", "--trainer.max_epochs=1"]
        plain = [option for option in TINY_FIT.split() if not option.startswith("--model.net")]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.conftest.TINY_FIT", " ".join(plain))
            fit_tiny(tmp_path / "first", *net)
            fit_tiny(
                tmp_path / "second", *net, "--model.learning_rate=0", f"--model.start={tmp_path / 'first/last.ckpt'}"
            )
        first, second = (
            torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("first", "second")
        )
        torch.testing.assert_close(first, second, rtol=0, atol=0)

    def test_what_cannot_be_used_is_one_sentence(self, fit_tiny: Fit, checkpoint: Path, tmp_path: Path) -> None:
        (text := tmp_path / "text").write_text("no weights")
        for start, options, reason in (
            (tmp_path / "gone.ckpt", [], "got no file"),
            (text, [], "expected a checkpoint of train.run, this file is not one"),
            (checkpoint, ["--model.net.channels=[16,16]"], "its weights do not fit the net: net."),
        ):
            with pytest.raises(SystemExit) as error:
                fit_tiny(tmp_path / "run", *options, f"--model.start={start}")
            assert str(error.value).startswith(f"train.run: {start}: ")
            assert reason in str(error.value)
            assert "\n" not in str(error.value)
