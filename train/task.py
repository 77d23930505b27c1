"""What is learned, from what, and how its progress is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from tracker.face.schemes import scheme_named
from tracker.metrics.nme import nme
from train.checkpoints import load_weights, read_checkpoint
from train.codecs.reading import HeadName
from train.losses.absence import absence_loss
from train.losses.adaptive_wing import adaptive_wing_loss
from train.losses.consistency import consistency_loss
from train.losses.heatmap import gaussian_map, star_point_map
from train.losses.siamese import siamese_loss
from train.models.heads import Placed
from train.models.hourglass import StackedHourglass, StackMaps
from train.objectives import HeatmapMse, Labels, Objective, describe

Output = list[Tensor] | list[StackMaps] | Placed


def normalise(crops: Tensor) -> Tensor:
    """Crops (N, S, S, 3) uint8 RGB as the network's input (N, 3, S, S) in [-1, 1]."""
    return (crops.float() * (1 / 127.5) - 1.0).permute(0, 3, 1, 2)


class SetupError(ValueError):
    """A training that cannot be as it is configured: one sentence."""


class Batch(NamedTuple):
    """Faces as the data module gives them.

    crops: (N, S, S, 3) uint8 RGB. points_px: (N, K, 2) in pixels of the crop. edges: (N, E, cells, cells) edge maps
    of train.targets.boundaries, E being 0 where the data module was not asked for them. weights: (N, K) from 0 to 1,
    how much each landmark is to be learned from; 1 where the data set does not say. present: (N,) 1 for a face, 0 for a
    crop without an upright one, whose other entries are not learned.
    """

    crops: Tensor
    points_px: Tensor
    edges: Tensor
    weights: Tensor = torch.ones(())
    present: Tensor = torch.ones(())


@dataclass(frozen=True)
class Weights:
    """Of the terms of the total loss. STAR and ADNet: 1, 10, 10. Yang & Yeh (A14): 5000, 10, 10; their reduction is
    not published, so compare the gradient norms in the log rather than these numbers. places: of what a head answers;
    HIH has 0.1 for one stack and 0.05 for more. Where there are several views of a face, consistency: of their points;
    siamese: of their maps, warped back (Bulat et al., BMVC 2021; with landmarks 0, as theirs are learned merged only).
    absence: of the maps where there is no face, which are to be even (train/losses/absence.py).
    """

    landmarks: float = 1.0
    points: float = 10.0
    edges: float = 10.0
    places: float = 0.1
    consistency: float = 1.0
    siamese: float = 0.0
    absence: float = 0.0


class LandmarkTask(lightning.LightningModule):
    """A net trained towards an objective (train.objectives).

    net: pictures to maps of every stack: tensors, or StackMaps, whose point and edge maps are learned too, by
    Adaptive Wing, or Placed with a head's answer, where the objective needs one; SetupError where they do not fit.
    scheme: the landmarks' scheme. weights: of the terms. point_sigma_cells: width of the point maps'
    Gaussians, None for the maps of STAR's code. learning_rate, weight_decay: of AdamW; the rate rises over the first
    warmup share of the steps and falls as a cosine to zero, or to a tenth at each of the milestones, in epochs.
    seed: of what is drawn at random in a step, which follows from it and the step alone. start: a checkpoint whose
    averaged weights the training starts from, None for random ones; fit raises CheckpointError where it cannot be used.
    views: how many neighbours in a batch are the same face (FaceData); with several, their likeness is learned too.
    """

    def __init__(
        self,
        net: nn.Module,
        objective: Objective,
        scheme: str = "ibug68",
        size: int = 128,
        weights: Weights = Weights(),
        point_sigma_cells: float | None = 1.0,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        warmup: float = 0.03,
        milestones: Sequence[int] = (),
        seed: int = 1,
        start: Path | None = None,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_range("model.learning_rate", learning_rate, 0, math.inf)
        check_range("model.weight_decay", weight_decay, 0, math.inf)
        check_range("model.warmup", warmup, 0, 1)
        _check_head(net, objective)
        if weights.siamese:
            _check_siamese(objective, views)
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on CPU
        self.objective, self.weights, self.point_sigma_cells = objective, weights, point_sigma_cells
        self.scheme = scheme_named(scheme)
        self.size, self.seed, self.views = size, seed, views
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.warmup, self.milestones = warmup, milestones
        self.stride: int = net.stride  # type: ignore[assignment]
        self.start = start
        self.errors: list[float] = []
        self.describes = False  # whether to log how wide the labels of the next faces are
        self.curve: dict[int, float] = {}  # validation NME in percent by epoch, kept in checkpoints

    def forward(self, crops: Tensor) -> Output:
        """Crops (N, S, S, 3) uint8 to what the net answers."""
        output: Output = self.net(normalise(crops).contiguous(memory_format=torch.channels_last))
        return output

    def terms(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of the total: "landmarks", "points" and "edges" where the net has such maps, "places"
        where it has a head, "consistency" and "siamese" of several views. Those that weigh nothing are left out.

        Means over maps, then faces; of the landmarks only those inside the crop count, each by its weight.
        """
        stacks, places = split(output)
        cells = _fusion(stacks[0]).shape[-1]
        self.expect_edges(batch.edges.shape[1])
        labels = Labels(batch.points_px, batch.edges, cells, self.stride, self.scheme)
        if self.describes:
            self.describes = False
            rank_zero_info(describe(self.objective.smoothing, labels))
        present = batch.present.reshape(-1, 1) > 0
        counted = inside(batch.points_px, self.size) & present
        loss = self.objective.loss_for(labels)
        losses = {"landmarks": [_mean(loss(_fusion(maps)), counted, batch.weights) for maps in stacks]}
        auxiliary = [maps for maps in stacks if isinstance(maps, StackMaps)]
        if auxiliary and self.weights.points:
            points = self._point_maps(labels, batch.points_px)
            losses["points"] = [adaptive_wing_loss(maps.points, points).mean() for maps in auxiliary]
        if auxiliary and self.weights.edges:
            losses["edges"] = [adaptive_wing_loss(maps.edges, batch.edges).mean() for maps in auxiliary]
        if places is not None:
            place_loss = self.objective.places_loss_for(labels, _fusion(stacks[-1]))
            losses["places"] = [_mean(place_loss(places), counted, batch.weights)]
        if self.views > 1 and self.weights.consistency:
            losses["consistency"] = [self._consistency(maps, places, batch.points_px, counted) for maps in stacks]
        if self.weights.siamese:
            losses["siamese"] = self._siamese([_fusion(maps) for maps in stacks], labels, counted)
        if self.weights.absence:
            losses["absence"] = [(absence_loss(_fusion(maps)) * ~present).mean() for maps in stacks]
        over = _evenly if self.objective.even_stacks else _over_stacks
        weights = {name: getattr(self.weights, name) for name in losses}
        return {name: weights[name] * over(values) for name, values in losses.items() if weights[name]}

    def expect_edges(self, edges: int) -> None:
        """Raises SetupError where edge maps are needed, for so many as a batch holds."""
        why = "image-aware label smoothing" if self.objective.needs_edges else ""
        if self.weights.edges and isinstance(self.net, StackedHourglass):
            why = why or f"model.weights.edges ({self.weights.edges:g})"
        if why and edges != len(self.scheme.curves):
            raise SetupError(
                f"{why} needs the {len(self.scheme.curves)} edge maps of {self.scheme.name}, the data have {edges}: "
                "set data.edges to distance, polyline or star"
            )

    def _consistency(
        self, maps: Tensor | StackMaps, places: Tensor | None, points_px: Tensor, counted: Tensor
    ) -> Tensor:
        """In cells, over the landmarks that every view shows."""
        answers, _, _ = self._read(maps, places)
        loss = consistency_loss(self._by_face(answers), self._by_face(points_px)) / self.stride
        return _mean(loss, self._by_face(counted).all(1))

    def _siamese(self, stacks: Sequence[Tensor], labels: Labels, counted: Tensor) -> list[Tensor]:
        """Of every stack, over the landmarks that every view shows."""
        assert isinstance(self.objective, HeatmapMse)
        points, target = self._by_face(labels.points_px), self._by_face(self.objective.target(labels))[:, 0]
        shown = self._by_face(counted).all(1)
        return [_mean(siamese_loss(self._by_face(maps), points, target, self.stride), shown) for maps in stacks]

    def _by_face(self, of_views: Tensor) -> Tensor:
        """(N * V, ...) as (N, V, ...)."""
        return of_views.reshape(-1, self.views, *of_views.shape[1:])

    def _point_maps(self, labels: Labels, points_px: Tensor) -> Tensor:
        if self.point_sigma_cells is None:
            return star_point_map(points_px, labels.cells, self.stride)
        return gaussian_map(labels.points, labels.cells, self.point_sigma_cells)

    def on_fit_start(self) -> None:
        if self.start is not None and self.global_step == 0:  # a resumed training has its own
            own = {type(part).__module__ for part in (self.net, self.objective)}  # the user's configuration names them
            load_weights(self, read_checkpoint(self.start, sorted(own)), self.start)
        self.describes = True

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        place = np.random.SeedSequence((self.seed, self.global_rank, self.global_step))
        torch.manual_seed(int(place.generate_state(1)[0]))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        terms = self.terms(self(batch.crops), batch)
        if len(terms) > 1 and self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._log_gradients(terms)
        loss = torch.stack([*terms.values()]).sum()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def _log_gradients(self, terms: dict[str, Tensor]) -> None:
        """The norm of each term's own gradient: what the terms' weights come to."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        for name, term in terms.items():
            gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            norm = torch.stack([g.norm() for g in gradients if g is not None]).norm()
            self.log_dict({f"{name}_loss": term.detach(), f"{name}_gradient": norm})

    def decode(self, output: Output) -> tuple[Tensor, Tensor, Tensor]:
        """Points (N, K, 2) in pixels of the crop, scores and covariances, as train.codecs.decoders."""
        stacks, places = split(output)
        return self._read(stacks[-1], places)

    def _read(self, maps: Tensor | StackMaps, places: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.objective.logits(_fusion(maps))
        return self.objective.read(logits, places, self.stride)

    def on_validation_epoch_start(self) -> None:
        self.errors = []

    def validation_step(self, batch: Batch, index: int) -> None:
        points, _, _ = self.decode(self(batch.crops))
        truth = batch.points_px
        self.errors += [nme(p, t, self.scheme) for p, t in zip(points.cpu().numpy(), truth.cpu().numpy())]

    def test_step(self, batch: Batch, index: int) -> dict[str, Tensor]:
        """points and truth (N, K, 2) in pixels of the crop and scores (N, K), for train.report."""
        points, scores, _ = self.decode(self(batch.crops))
        return {"points": points, "scores": scores, "truth": batch.points_px}

    def on_validation_epoch_end(self) -> None:
        local = torch.tensor(100 * float(np.mean(self.errors)), device=self.device)
        error = float(self.trainer.strategy.reduce(local, reduce_op="mean"))
        if not math.isfinite(error):
            raise SetupError(f"the training has diverged: its validation error is {error}; lower model.learning_rate")
        self.log("val_nme", error, prog_bar=True)
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.curve[self.current_epoch] = error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curve"] = self.curve

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curve = checkpoint.get("curve", {})

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        rising = max(1, round(self.warmup * steps))
        drops = [milestone * steps / (self.trainer.max_epochs or 1) for milestone in self.milestones]

        def rate(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            if drops:
                return 0.1 ** sum(step >= drop for drop in drops)
            return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def inside(points_px: Tensor, size: int) -> Tensor:
    """Which landmarks (..., 2) lie in a crop of that side: (...)."""
    return ((points_px > -0.5) & (points_px < size - 0.5)).all(-1)


def split(output: Output) -> tuple[Sequence[Tensor | StackMaps], Tensor | None]:
    """The maps of every stack, and what the head answered."""
    return output if isinstance(output, Placed) else (output, None)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise SetupError, which names the option, for a number that is not in this range."""
    if not low <= value <= high or math.isinf(value):
        limits = f"from {low} to {high}" if math.isfinite(high) else f"of at least {low}"
        raise SetupError(f"{name}: expected a number {limits}, got {value}")


def _check_head(net: nn.Module, objective: Objective) -> None:
    has = getattr(getattr(net, "place", None), "kind", None)
    if has != objective.head:
        raise SetupError(
            f"{type(objective).__name__} needs a net {_with_head(objective.head)}, {type(net).__name__} is one "
            f"{_with_head(has)}; set model.net.init_args.place accordingly (train.models.heads)"
        )


def _check_siamese(objective: Objective, views: int) -> None:
    if views < 2 or not isinstance(objective, HeatmapMse):
        raise SetupError(
            "weights.siamese needs data.views of 2 or more and an objective that draws heatmaps (HeatmapMse, "
            f"Subpixel, IntegerHeatmap ...), got {views} and {type(objective).__name__}"
        )


def _with_head(kind: HeadName | None) -> str:
    return f"with a head for {kind}" if kind else "without a head"


def _mean(losses: Tensor, counted: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    """Of (N, K) over the landmarks that count, then over faces; a landmark's weight (N, K) scales its loss.

    The sum is not divided by the weights: a face whose labels are unsure as a whole counts less as a whole.
    """
    return ((losses * (counted * weights)).sum(-1) / counted.sum(-1).clamp_min(1)).mean()


def _fusion(maps: Tensor | StackMaps) -> Tensor:
    """The maps that landmarks are read from."""
    return maps.fusion if isinstance(maps, StackMaps) else maps


def _over_stacks(losses: Sequence[Tensor]) -> Tensor:
    """The sum with weights 2^i / 2^(stacks - 1), as in STAR's and ADNet's code: 1/8, 1/4, 1/2, 1 for four stacks."""
    return torch.stack([2.0 ** (i + 1 - len(losses)) * loss for i, loss in enumerate(losses)]).sum()


def _evenly(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack([*losses]).mean()
