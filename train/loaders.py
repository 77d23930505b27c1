"""Batches of crops for the trainer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from tracker.datasets.collect import OnInvalid
from tracker.datasets.pictures import Pictures
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68
from train.asymmetry import read_offsets
from train.augmentation import Augmentation, Choices, apply
from train.datasets import Combined, Source
from train.errors import SetupError, check_range, check_seed
from train.targets.boundaries import EdgeProcedure, edge_maps
from train.task import Batch, LandmarkTask

LOG = logging.getLogger(__name__)

KEEP_GB = 4.0


class Crops(Dataset[Batch]):
    """The plain crops of evaluation.

    Args:
        samples: the faces.
        size: side of the crops in pixels.
        edges: how edge maps are drawn (train.targets.boundaries); None for none.
        stride: pixels per cell of them.
        keep_gb: of decoded pictures that are cached (tracker.datasets.pictures).
        on_invalid: whether to refuse or skip invalid faces.
        source: the set, for messages.
        mirror_offsets: (K, 2) for mirrored faces (train.asymmetry); None if the labels are symmetric.

    Raises:
        DatasetError: for invalid faces that are refused.
    """

    def __init__(
        self,
        samples: list[Sample],
        size: int,
        edges: EdgeProcedure | None = None,
        stride: int = 4,
        keep_gb: float = KEEP_GB,
        on_invalid: OnInvalid = "refuse",
        source: str = "the set",
        mirror_offsets: Array | None = None,
    ) -> None:
        self.size, self.edges, self.stride, self.mirror_offsets = size, edges, stride, mirror_offsets
        self.pictures = Pictures(samples, keep_gb)
        self.samples = self.pictures.good(samples, on_invalid, source)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        return self.crop(index, Choices())

    def together(self) -> Batch:
        """Return all faces as one batch."""
        return _joined([self[i] for i in range(len(self))], torch.stack)

    def crop(self, index: int, choices: Choices) -> Batch:
        """Return a face, without the axis of a batch.

        Args:
            index: of the face.
            choices: of the augmentation.
        """
        sample, cells = self.samples[index], self.size // self.stride
        image, scheme = self.pictures.read(sample), sample.scheme
        crop, points = apply(image, sample.points_px, scheme, choices, self.size, self.mirror_offsets)
        edges = np.zeros((0, cells, cells), np.float32)
        if self.edges is not None:
            edges = edge_maps(points, sample.scheme, self.size, self.stride, self.edges)
        weights = np.ones(len(points)) if sample.weights is None else sample.weights
        if choices.flip:
            weights = weights[sample.scheme.flip]
        present = np.array(not choices.absent)
        numbers = (torch.from_numpy(each.astype(np.float32)) for each in (points, edges, weights, present))
        return Batch(torch.from_numpy(crop), *numbers)


class AugmentedCrops(Dataset[Batch]):
    """Crops under random choices, which follow from the seed, the epoch and the face, and from nothing else.

    So an epoch is the same however many workers or processes load it, and if it is run again after an interruption.

    Args:
        crops: the faces.
        augmentation: what is done at random.
        seed: of the choices.
        views: crops of each face, the others as Augmentation.draw_other says.
    """

    def __init__(self, crops: Crops, augmentation: Augmentation, seed: int, views: int = 1) -> None:
        self.crops, self.augmentation, self.seed, self.views = crops, augmentation, seed, views

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, place: tuple[int, int]) -> Batch:
        """The views of a face, (views, ...). place: epoch and index of the face, as EpochSampler gives them."""
        epoch, index = place
        rng = np.random.default_rng((self.seed, epoch, index))
        choices = self.augmentation.draw(rng)
        others = [self.augmentation.draw_other(choices, rng) for _ in range(self.views - 1)]
        return _joined([self.crops.crop(index, each) for each in (choices, *others)], torch.stack)


def _joined(parts: Sequence[Batch], join: Callable[[tuple[Tensor, ...]], Tensor]) -> Batch:
    return Batch(*(join(tensors) for tensors in zip(*parts, strict=True)))


def one_after_the_other(faces: Sequence[Batch]) -> Batch:
    """Return the views of faces, (V, ...) each, as a batch (N * V, ...) in which those of a face are neighbours.

    Args:
        faces: the views of each.
    """
    return _joined(faces, torch.cat)


class EpochSampler(DistributedSampler[Any]):
    """Yields (epoch, index) in an order that follows from seed and epoch; each process gets its share of a batch.

    Lightning tells it the epoch. Of every step's faces over all processes, those of process r are the r-th, the
    (r + processes)-th and so on: the steps are those of one process with the whole batch.
    """

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, index) for index in super().__iter__())


class LazyLoader(DataLoader[Batch]):
    """A DataLoader whose workers start when the first batch of an epoch is asked for.

    torch starts them with the iterator, which Lightning makes before it has restored the epoch of a resumed training:
    the workers would then load another epoch's faces.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        yield from super().__iter__()


class FaceData(lightning.LightningDataModule):
    """Batches to train on, and the faces to validate with.

    Args:
        source: the data set.
        size: side of the crop in pixels.
        batch: faces per step and process; all faces if there are fewer.
        workers: processes that load; the faces of a step are the same for any number of them.
        augmentation: what is done at random.
        edges: how edge maps are drawn, for objectives and terms that learn from them; None for none.
        stride: pixels per cell of them.
        seed: of the order of the faces and of their augmentation.
        keep_gb: of decoded pictures that are cached; the rest is decoded again each time, by the workers.
        views: crops of each face in a batch, neighbours in it, for terms that learn from their likeness.
        mirror: the .csv file of train.mirror, for labels that are not symmetric: by how much those of mirrored faces
            are moved, those of every set of a Combined; None for not at all.

    Raises:
        SetupError: for numbers that are out of range.
    """

    def __init__(
        self,
        source: Source,
        size: int = 128,
        batch: int = 32,
        workers: int = 1,
        augmentation: Augmentation = Augmentation(),
        edges: EdgeProcedure | None = None,
        stride: int = 4,
        seed: int = 1,
        keep_gb: float = KEEP_GB,
        views: int = 1,
        mirror: Path | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        for name, value, least, most in (
            ("size", size, 8, 1024),
            ("batch", batch, 1, 1 << 20),
            ("workers", workers, 0, 1024),
            ("stride", stride, 1, size),
            ("views", views, 1, 64),
            ("keep_gb", keep_gb, 0, 1 << 20),
        ):
            check_range(f"data.{name}", value, least, most)
        check_seed("data.seed", seed)
        self.source, self.size, self.batch, self.workers = source, size, batch, workers
        self.augmentation, self.edges, self.stride, self.seed = augmentation, edges, stride, seed
        self.keep_gb, self.views, self.mirror = keep_gb, views, mirror

    def setup(self, stage: str) -> None:
        """Read the faces that a stage needs; SetupError or DatasetError if they do not fit."""
        task = getattr(self.trainer, "lightning_module", None)
        if isinstance(task, LandmarkTask):  # before the pictures are read, which takes long
            task.expect_precision(str(self.trainer.precision))  # type: ignore[union-attr]
            if stage == "fit":
                if self.edges is None:
                    task.expect_edges(0)
                task.expect_absent(self.augmentation.absent)
        if stage == "test":
            self.testing = self._crops("test", self.source.test())
            return
        training, validation = self.source.faces()
        if isinstance(task, LandmarkTask) and training[0].scheme is not task.scheme:
            raise SetupError(
                f"model.scheme is {task.scheme.name}, but {training[0].picture} has the landmarks of "
                f"{training[0].scheme.name}: set one of them"
            )
        if stage == "fit":
            self._expect_nothing_chosen()
            if self.mirror is not None and not self.augmentation.flip:
                raise SetupError("data.mirror moves labels of mirrored faces: set data.augmentation.flip above 0")
            if self.mirror is not None and isinstance(self.source, Combined):
                LOG.warning(
                    "data.mirror moves the mirrored labels of all data sets alike, those of %s: leave out a set whose "
                    "labels have another bias, such as those of train.label",
                    " and ".join(type(each).__name__ for each in self.source.sources),
                )
            if self.augmentation.turn and training[0].scheme is not IBUG68:
                raise SetupError(
                    f"data.augmentation.turn: expected faces with the landmarks of {IBUG68.name}, whose depths are "
                    f"known, got {training[0].scheme.name}; set it to 0"
                )
            offsets = None if self.mirror is None else read_offsets(self.mirror, training[0].scheme)
            crops = self._crops("training", training, self.edges, offsets)
            self.training = AugmentedCrops(crops, self.augmentation, self.seed, self.views)
        elif not self.source.chooses:
            validation = self.source.trained_on()
            LOG.warning(
                "data.source.validation is %s: all faces were trained on, %d of them are validated with, so that "
                "errors come out too small",
                self.source.validation,
                len(validation),
            )
        if validation:
            self.validation = self._crops("validation", validation)
        elif self.trainer is not None:
            self.trainer.limit_val_batches = 0

    def _expect_nothing_chosen(self) -> None:
        """Raise SetupError for a callback that goes by the validation error if nothing may be chosen by it."""
        if self.trainer is None or self.source.chooses:
            return
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            monitor = str(getattr(callback, "monitor", None))
            if monitor.startswith("val"):
                raise SetupError(
                    f"data.source.validation is {self.source.validation}, so {type(callback).__name__} cannot go by "
                    f"{monitor}: leave the callback out (the last weights are the result), or set "
                    "data.source.validation to a share such as 0.07"
                )

    def _crops(
        self, use: str, faces: list[Sample], edges: EdgeProcedure | None = None, mirror_offsets: Array | None = None
    ) -> Crops:
        source = f"the {use} faces of {faces[0].picture.parent}"
        invalid = self.source.on_invalid
        return Crops(faces, self.size, edges, self.stride, self.keep_gb, invalid, source, mirror_offsets)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the training faces; DatasetError if a process would have none."""
        trainer = self.trainer
        assert trainer is not None
        faces, processes = len(self.training), trainer.world_size
        if faces < processes:
            raise DatasetError(f"expected a training face for each of {processes} processes, found {faces}")
        if (batch := min(self.batch, faces // processes)) < self.batch:
            rank_zero_info(f"data.batch is {self.batch}, there are {faces} training faces: {batch} are a batch")
        sampler = EpochSampler(self.training, trainer.world_size, trainer.global_rank, seed=self.seed, drop_last=True)
        return LazyLoader(
            self.training,
            batch,
            sampler=sampler,
            drop_last=True,
            collate_fn=one_after_the_other,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the validation faces."""
        return DataLoader(self.validation, self.batch)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test faces."""
        return DataLoader(self.testing, self.batch)
