"""What is learned, from what, and how its progress is judged."""

from __future__ import annotations

import math

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from tracker.face.metrics import nme
from tracker.face.schemes import scheme_named
from train.codecs import gaussian
from train.losses.structured import Margin, margin_map, structured_loss


def normalise(crops: Tensor) -> Tensor:
    """Crops (N, S, S, 3) uint8 RGB as the network's input (N, 3, S, S) in [-1, 1]."""
    return (crops.float() * (1 / 127.5) - 1.0).permute(0, 3, 1, 2)


class LandmarkTask(lightning.LightningModule):
    """Heatmap landmarks trained without soft-argmax (Yang & Yeh, ICCV 2025).

    net: pictures to one map of logits a stack. scheme: the landmarks' scheme. sigma_cells: width of the isotropic
    label distribution, in cells of the map. margin: of Eq. 12. learning_rate, weight_decay: of AdamW; the rate
    rises over the first warmup share of the steps and falls as a cosine to zero. window: of the decoder, in cells.
    Stack i weighs 2^i, the last one most, as in STAR.
    """

    def __init__(
        self,
        net: nn.Module,
        scheme: str = "ibug68",
        size: int = 128,
        sigma_cells: float = 0.9,
        margin: Margin = "smooth_l1",
        epsilon: float = 1.0,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        warmup: float = 0.03,
        window: int = 7,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on CPU
        self.scheme = scheme_named(scheme)
        self.size = size
        self.sigma_cells, self.margin, self.epsilon = sigma_cells, margin, epsilon
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.window = window
        self.stride: int = net.stride  # type: ignore[assignment]
        self.errors: list[float] = []

    def forward(self, crops: Tensor) -> list[Tensor]:
        """Crops (N, S, S, 3) uint8 to logits (N, K, H, W) of every stack."""
        maps: list[Tensor] = self.net(normalise(crops).contiguous(memory_format=torch.channels_last))
        return maps

    def loss(self, maps: list[Tensor], points_px: Tensor) -> Tensor:
        """The weighted mean over stacks, faces and the landmarks that lie inside the crop."""
        cells = maps[0].shape[-1]
        target = gaussian.encode(points_px, cells, self.stride, self.sigma_cells)
        middles = gaussian.cells_from_pixels(points_px, self.stride) * (2 / (cells - 1)) - 1
        margin = margin_map(middles, cells, self.margin)
        inside = ((points_px > -0.5) & (points_px < self.size - 0.5)).all(-1)
        counted = inside.sum().clamp_min(1)
        weights = [2.0**i for i in range(len(maps))]
        terms = [
            weight * (structured_loss(scores, target, margin, self.epsilon) * inside).sum() / counted
            for weight, scores in zip(weights, maps)
        ]
        return torch.stack(terms).sum() / sum(weights)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        crops, points_px = batch
        loss = self.loss(self(crops), points_px)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.errors = []

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        crops, truth = batch
        points, _, _ = gaussian.decode(self(crops)[-1], self.stride, self.window)
        self.errors += [nme(p, t, self.scheme) for p, t in zip(points.cpu().numpy(), truth.cpu().numpy())]

    def on_validation_epoch_end(self) -> None:
        self.log("val_nme", 100 * float(np.mean(self.errors)), prog_bar=True)

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        rising = max(1, round(self.warmup * steps))

        def rate(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
