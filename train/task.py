"""What is learned, from what, and how its progress is judged."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
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
from train.errors import SetupError, check_range, check_seed
from train.exported import is_exported, load_exported
from train.models.heads import WithHead
from train.objectives import Labels, Objective, describe
from train.terms import Output, Prediction, Term, Weights


def normalise(crops: Tensor) -> Tensor:
    """Return crops (N, S, S, 3) uint8 RGB as the network's input (N, 3, S, S) in [-1, 1]."""
    return (crops.float() * (1 / 127.5) - 1.0).permute(0, 3, 1, 2)


class Batch(NamedTuple):
    """Faces as the data module gives them.

    Attributes:
        crops: (N, S, S, 3) uint8 RGB.
        points_px: (N, K, 2) in pixels of the crop.
        edges: (N, E, cells, cells) edge maps of train.targets.boundaries; E is 0 if the data module was not asked for
            them.
        weights: (N, K) from 0 to 1, how much each landmark is learned from; 1 if the data set does not say.
        present: (N,) 1 for a face, 0 for a crop without an upright one (Augmentation.absent), whose landmarks are not
            learned.
    """

    crops: Tensor
    points_px: Tensor
    edges: Tensor
    weights: Tensor = torch.ones(())
    present: Tensor = torch.ones(())


class LandmarkTask(lightning.LightningModule):
    """A net trained towards an objective (train.objectives).

    Args:
        net: maps pictures to the maps of every stack: tensors; or StackMaps, whose point and edge maps are learned too;
            or WithHead, with the answer of a head, if the objective needs one.
        objective: of the training.
        scheme: name of the landmark scheme.
        size: side of the crops in pixels.
        weights: of the terms that every training has.
        point_sigma_cells: width of the Gaussians of point maps; None for the maps of STAR's code.
        learning_rate: of AdamW. It rises over the warm-up, then falls as a cosine to 0, or to a tenth at each of the
            milestones.
        weight_decay: of AdamW.
        warmup: the warm-up as a fraction of all steps.
        milestones: in epochs.
        seed: of what is drawn at random in a step, which depends on the seed and the step alone.
        start: what the training starts from: a checkpoint, whose averaged weights are taken; an exported model (.onnx)
            or the name of a packaged one, such as edge68 (train.exported); None for random weights.
        views: how many neighbours in a batch are the same face (FaceData).
        terms: more terms of the total loss (train.terms).

    Raises:
        SetupError: if a number is out of range, or the net, the objective and the terms do not fit.
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
        terms: Sequence[Term] = (),
    ) -> None:
        super().__init__()
        with warnings.catch_warnings():  # of a net that is an object; on the command line its configuration is saved
            warnings.filterwarnings("ignore", message="Attribute 'net' is an instance")
            self.save_hyperparameters()
        check_range("model.objective.window", objective.window, 1, math.inf)
        check_range("model.learning_rate", learning_rate, 0, math.inf)
        check_range("model.weight_decay", weight_decay, 0, math.inf)
        check_range("model.warmup", warmup, 0, 1)
        check_seed("model.seed", seed)
        _check_size(net, size)
        _check_head(net, objective)
        self.terms = [term for term in (*weights.terms(point_sigma_cells), *terms) if term.weight]
        for term in self.terms:
            term.check(net, objective, views)
        _check_names(self.terms)
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on CPU
        self.objective, self.weights = objective, weights
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
        """Return the output of the net for crops (N, S, S, 3) uint8."""
        output: Output = self.net(normalise(crops).contiguous(memory_format=torch.channels_last))
        return output

    def prediction(self, output: Output) -> Prediction:
        """Take the output of the net apart."""
        stacks, head_output = output if isinstance(output, WithHead) else (output, None)
        return Prediction(stacks, head_output, self.objective, self.stride)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted terms of the total loss by their names.

        Terms that weigh nothing or do not apply are left out. Losses are means over maps, then faces; of the landmarks
        only those inside the crop count, each by its weight.

        Args:
            output: of the net.
            batch: the faces.

        Raises:
            SetupError: if edge maps are missing, or no term applies.
        """
        prediction = self.prediction(output)
        self.expect_edges(batch.edges.shape[1])
        cells, present = prediction.maps[0].shape[-1], batch.present.expand(len(batch.points_px)) > 0
        shown = inside(batch.points_px, self.size) & present[:, None]
        labels = Labels(
            batch.points_px, batch.edges, cells, self.stride, self.scheme, batch.weights, shown, self.views, present
        )
        if self.describes:
            self.describes = False
            rank_zero_info(describe(self.objective.smoothing, labels))
        found = [(term, term(prediction, labels)) for term in self.terms]
        losses = {term.name: term.weight * loss for term, loss in found if loss is not None}
        if not losses:
            raise SetupError("model.weights: no term that has a weight applies to this training, so nothing is learned")
        return losses

    def expect_edges(self, edges: int) -> None:
        """Check whether a batch holds the edge maps that are needed.

        Args:
            edges: how many it holds.

        Raises:
            SetupError: if it does not.
        """
        needed = [self._option(term) for term in self.terms if term.needs_edges(self.net)]
        if self.objective.needs_edges:
            needed.insert(0, "image-aware label smoothing")
        if needed and edges != len(self.scheme.curves):
            raise SetupError(
                f"{needed[0]} needs the {len(self.scheme.curves)} edge maps of {self.scheme.name}, the data have "
                f"{edges}: set data.edges to distance, polyline or star"
            )

    def expect_precision(self, precision: str) -> None:
        """Check that labels and weights are kept in float32.

        Args:
            precision: of the trainer, as Lightning names it.

        Raises:
            SetupError: if Lightning would keep them in another precision: labels would be rounded (bfloat16 has half a
                pixel at 128), and pictures would not fit the weights.
        """
        if precision not in ("32-true", "bf16-mixed", "16-mixed"):
            raise SetupError(
                "trainer.precision: expected 32-true, bf16-mixed or 16-mixed, which keep labels and weights in "
                f"float32, got {precision}"
            )

    def expect_absent(self, share: float) -> None:
        """Check that crops without a face are learned from exactly if there are some.

        Args:
            share: of the crops that have none.

        Raises:
            SetupError: if not.
        """
        weight = self.weights.absence
        if bool(share) != bool(weight):
            raise SetupError(
                f"data.augmentation.absent is {share:g} and model.weights.absence {weight:g}: set both, to learn from "
                "crops without a face, or neither"
            )

    def _option(self, term: Term) -> str:
        """Return the option that a term comes from, for messages."""
        if term.name in vars(self.weights):
            return f"model.weights.{term.name} ({term.weight:g})"
        return f"the term {term.name} of model.terms"

    def on_fit_start(self) -> None:
        """Load the weights to start from; CheckpointError if they cannot be used."""
        if self.start is not None and self.trainer.ckpt_path is None:  # a resumed training has its own
            self._load_start(self.start)
        self.describes = True

    def _load_start(self, start: Path) -> None:
        if not is_exported(start):
            own = {type(part).__module__ for part in (self.net, self.objective, *self.terms)}  # which the user named
            load_weights(self, read_checkpoint(start, sorted(own)), start)
            return
        faces = self.trainer.train_dataloader
        assert faces is not None
        spec = load_exported(self, start, (batch.crops for batch in faces))
        self.load_state_dict(self.trainer.strategy.broadcast(self.state_dict()))  # whose statistics are of own faces
        rank_zero_info(f"started from {start}, whose licence is: {spec.licence}")

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """Seed torch, from the seed and the step alone."""
        place = np.random.SeedSequence((self.seed, self.global_rank, self.global_step))
        torch.manual_seed(int(place.generate_state(1)[0]))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the total loss of a batch, and log it."""
        terms = self.losses(self(batch.crops), batch)
        if len(terms) > 1 and self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._log_gradients(terms)
        loss = torch.stack([*terms.values()]).sum()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def _log_gradients(self, terms: dict[str, Tensor]) -> None:
        """Log the norm of each term's own gradient, which shows what the terms' weights amount to."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        for name, term in terms.items():
            gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            norm = torch.stack([g.norm() for g in gradients if g is not None]).norm()
            self.log_dict({f"{name}_loss": term.detach(), f"{name}_gradient": norm})

    def decode(self, output: Output) -> tuple[Tensor, Tensor, Tensor]:
        """Decode the output of the net.

        Args:
            output: of the net.

        Returns:
            Points (N, K, 2) in pixels of the crop, scores and covariances, as train.codecs.reading.
        """
        return self.prediction(output).read()

    def on_validation_epoch_start(self) -> None:
        """Forget the errors of the epoch before."""
        self.errors = []

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add the errors of a batch."""
        points, _, _ = self.decode(self(batch.crops))
        truth = batch.points_px
        self.errors += [nme(p, t, self.scheme) for p, t in zip(points.cpu().numpy(), truth.cpu().numpy())]

    def test_step(self, batch: Batch, index: int) -> dict[str, Tensor]:
        """Return points and truth (N, K, 2) in pixels of the crop and scores (N, K), for train.report."""
        points, scores, _ = self.decode(self(batch.crops))
        return {"points": points, "scores": scores, "truth": batch.points_px}

    def on_validation_epoch_end(self) -> None:
        """Log the mean NME in percent; SetupError if it is not finite."""
        local = torch.tensor(100 * float(np.mean(self.errors)), device=self.device)
        error = float(self.trainer.strategy.reduce(local, reduce_op="mean"))
        if not math.isfinite(error):
            raise SetupError(f"the training has diverged: its validation error is {error}; lower model.learning_rate")
        self.log("val_nme", error, prog_bar=True)
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.curve[self.current_epoch] = error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the curve of validation errors to a checkpoint."""
        checkpoint["curve"] = self.curve

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the curve of validation errors from a checkpoint."""
        self.curve = checkpoint.get("curve", {})

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        """Return AdamW and its schedule, as Lightning wants them."""
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
    """Return which landmarks lie in a crop.

    Args:
        points_px: (..., 2) in pixels of the crop.
        size: side of the crop.

    Returns:
        (...) booleans.
    """
    return ((points_px > -0.5) & (points_px < size - 0.5)).all(-1)


def _check_size(net: nn.Module, size: int) -> None:
    """Raise SetupError for crops that the net cannot halve as often as it does."""
    multiple = getattr(net, "multiple_px", 1)
    if size % multiple:
        raise SetupError(f"data.size: expected a multiple of {multiple} for {type(net).__name__}, got {size}")


def _check_head(net: nn.Module, objective: Objective) -> None:
    has = getattr(getattr(net, "cell_head", None), "kind", None)
    if has != objective.head:
        raise SetupError(
            f"{type(objective).__name__} needs a net {_with_head(objective.head)}, {type(net).__name__} is one "
            f"{_with_head(has)}; set model.net.init_args.cell_head accordingly (train.models.heads)"
        )


def _check_names(terms: Sequence[Term]) -> None:
    """Raise SetupError for two terms of one name: the log would have one of them."""
    names = [term.name for term in terms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SetupError(f"model.terms: expected terms with a name each, two are named {twice[0]}; rename one")


def _with_head(kind: HeadName | None) -> str:
    return f"with a head for {kind}" if kind else "without a head"
