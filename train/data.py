"""Batches of crops for the trainer."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from train.augmentation import Augmentation, Choices, apply
from train.datasets.sample import Sample
from train.datasets.w300 import read_training


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Crops (S, S, 3) uint8 and their points (K, 2) in crop pixels; pictures are decoded once and kept.

    augmentation: None gives the plain crop of evaluation. Random choices come from torch's generator, so they
    follow the trainer's seed and differ by worker.
    """

    def __init__(self, samples: list[Sample], size: int, augmentation: Augmentation | None) -> None:
        self.samples = samples
        self.size = size
        self.augmentation = augmentation
        self.images = [sample.read_image() for sample in samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.samples[index]
        choices = Choices()
        if self.augmentation is not None:
            choices = self.augmentation.draw(np.random.default_rng(int(torch.randint(2**31, ()))))
        crop, points = apply(self.images[index], sample.points_px, sample.scheme, choices, self.size)
        return torch.from_numpy(crop), torch.from_numpy(points.astype(np.float32))


class W300Data(lightning.LightningDataModule):
    """300W: batches to train on, and the validation faces cut from the training folders.

    root: the folder with afw, helen and lfpw in it. size: side of the crop in pixels. batch: faces a step.
    """

    def __init__(
        self,
        root: Path,
        size: int = 128,
        batch: int = 32,
        workers: int = 1,
        augmentation: Augmentation = Augmentation(),
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.root, self.size, self.batch, self.workers, self.augmentation = (
            root,
            size,
            batch,
            workers,
            augmentation,
        )

    def setup(self, stage: str) -> None:
        training, validation = read_training(self.root)
        if stage == "fit":
            self.training = Crops(training, self.size, self.augmentation)
        self.validation = Crops(validation, self.size, None)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(
            self.training,
            self.batch,
            shuffle=True,
            drop_last=True,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(self.validation, self.batch)
