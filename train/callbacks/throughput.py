"""How fast a training is and how much of the device it uses, in its log."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.fabric.utilities.throughput import measure_flops
from lightning.pytorch.callbacks import ThroughputMonitor
from torch import nn

from train.task import Batch, LandmarkTask

PASSES = 3  # forward, and backward at twice its cost


class Throughput(ThroughputMonitor):
    """Lightning's ThroughputMonitor for batches of faces.

    Every log_every_n_steps, for each device: train/device/samples_per_sec, flops_per_sec of the net (forward and
    backward, multiplications and additions counted apart), mfu, which is their share of the device's nominal rate in
    the training's precision where Lightning knows it, and on a GPU train/device/memory_gb, the most PyTorch has held.
    """

    def __init__(self) -> None:
        super().__init__(batch_size_fn=lambda batch: len(batch.crops), window_size=10)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, task: lightning.LightningModule, batch: Batch, index: int
    ) -> None:
        """Count the operations of a step, once."""
        if not hasattr(task, "flops_per_batch"):
            assert isinstance(task, LandmarkTask)
            one_face = _flops(task.net, task.size, task.device)
            task.flops_per_batch = PASSES * len(batch.crops) * one_face  # type: ignore[assignment]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: lightning.LightningModule, outputs: Any, batch: Any, *rest: Any
    ) -> None:
        """Log the memory of a GPU besides."""
        super().on_train_batch_end(trainer, task, outputs, batch, *rest)
        if task.device.type == "cuda":
            task.log("train/device/memory_gb", torch.cuda.max_memory_allocated(task.device) / 1e9)


def _flops(net: nn.Module, size: int, device: torch.device) -> int:
    """Return the operations of one forward pass of one face; the net is left as it was."""
    training = net.training
    net.eval()
    with torch.no_grad():
        count: int = measure_flops(net, lambda: net(torch.zeros(1, 3, size, size, device=device)))
    net.train(training)
    return count
