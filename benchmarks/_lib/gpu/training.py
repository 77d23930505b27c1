"""Stage "training": the four-stack hourglass on 300W for the time there is, and its error on LFPW's test set.

Task, objective, net, labels and augmentation are the project's own; the loop is a plain one for one GPU. Its schedule
goes by the clock: the learning rate rises and falls over the seconds that the stage has been given, whatever it
manages to learn in them.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Sampler

from benchmarks._lib.gpu.device import Device
from benchmarks._lib.gpu.nets import HOURGLASS, configured
from benchmarks._lib.gpu.stages import Record, Sizes, Task
from benchmarks._lib.gpu.weights import halved, write_halves
from tracker.errors import TrackerError
from tracker.metrics.nme import nme
from train.loaders import EpochSampler, one_after_the_other
from train.task import Batch, LandmarkTask

RECIPE = Path(__file__).parents[2] / "gpu/training.yaml"
TEST_SHARE, LEAST_TEST_S = 0.05, 3.0  # of the stage's time, kept for the test and the last checkpoint
DECAY = 0.999  # of the averaged weights
Tensors = tuple[Tensor, ...] | list[Tensor]
VALIDATION_BATCH = 64
VALIDATIONS, CHECKPOINTS = 20, 8  # over the whole training


def options_for(sizes: Sizes) -> tuple[str, ...]:
    """Of train.run: the recipe, the sizes that are rehearsed with, and what the sizes say besides."""
    options = [f"--config={RECIPE}", f"--data.size={sizes.hourglass_px}", f"--data.batch={sizes.batch}"]
    return (*options, f"--model.net.init_args.width={sizes.width}", f"--data.workers={sizes.workers}", *sizes.options)


def measure_training(task: Task, record: Record) -> None:
    """Train until shortly before the stage's end.

    Args:
        task: what the stage is given; its pictures are a folder in the layout of 300W, test pictures included.
        record: gets the speed, the memory, the validation NME by epoch, and lfpw_test_nme.
    """
    if task.pictures is None:
        raise TrackerError("training needs --pictures, a folder in the layout of 300W or the file that bundle wrote")
    options = (*options_for(task.sizes), f"--data.source.init_args.root={task.pictures}")
    learner, data = configured(HOURGLASS, *options, "--data.source.init_args.test_split=lfpw")
    device = Device(task.sizes.device)
    data.setup("fit")
    data.setup("test")
    batches = EndlessBatches(data.training, data.seed, data.batch)
    face_bytes = sum(tensor.nbytes for tensor in data.training[0, 0])
    faces = loader_of(data.training, batches, data.workers, face_bytes)
    record.update(workers=faces.num_workers, prefetched_batches_a_worker=faces.prefetch_factor)
    record.update(faces=len(data.training), validation_faces=len(data.validation), batch=data.batch, options=options)
    learner.to(device.torch, memory_format=torch.channels_last)
    run = Training(learner, device, faces, batches.steps, data.validation, task, record)
    run.train()
    weights = halved(run.averaged.module.state_dict())
    learner.load_state_dict(weights)
    testing = DataLoader(data.testing, data.batch, num_workers=min(4, data.workers))
    record.update(lfpw_test_nme=round(error_percent(learner, testing, device), 4), lfpw_test_faces=len(data.testing))


class EndlessBatches(Sampler[list[tuple[int, int]]]):
    """The batches of EpochSampler, one epoch after the other without an end.

    A loader of single epochs would let its workers stand still at the end of each, as long as a batch takes them.

    Args:
        faces: the data set.
        seed: of the order.
        batch: faces a step; an epoch's last ones that do not fill a batch are left out.
    """

    def __init__(self, faces: Dataset[Batch], seed: int, batch: int) -> None:
        self._sampler = EpochSampler(faces, 1, 0, seed=seed, drop_last=True)
        self._batch = batch
        self.steps = len(self._sampler) // batch
        if not self.steps:
            raise TrackerError(f"expected at least {batch} training faces, a batch; found {len(self._sampler)}")

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in count():
            self._sampler.set_epoch(epoch)
            places = iter(self._sampler)
            for _ in range(self.steps):
                yield [*islice(places, self._batch)]


def loader_of(faces: Dataset[Batch], batches: EndlessBatches, workers: int, face_bytes: int) -> DataLoader[Batch]:
    """A loader whose workers' batches fit into the shared memory that there is.

    Args:
        faces: augmented ones, by (epoch, index).
        batches: which ones come together.
        workers: processes that load.
        face_bytes: of one face's tensors.
    """
    more: dict[str, Any] = {}
    if workers:
        room = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 2**30
        fit = int(0.7 * room / (face_bytes * len(next(iter(batches)))))
        workers = max(1, min(workers, fit))
        more = {"prefetch_factor": max(1, min(4, fit // workers))}
    return DataLoader(
        faces,
        batch_sampler=batches,
        collate_fn=one_after_the_other,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        **more,
    )


class Training:
    """One run. averaged: the exponential moving average of the weights, which is validated and kept."""

    def __init__(
        self,
        learner: LandmarkTask,
        device: Device,
        faces: DataLoader[Batch],
        steps_an_epoch: int,
        validation: Dataset[Batch],
        task: Task,
        record: Record,
    ) -> None:
        self.learner, self.device, self.faces, self.record = learner, device, faces, record
        self.output, self.steps_an_epoch = task.output, steps_an_epoch
        self.steps, self.pictures = 0, 0
        self.averaged = AveragedModel(learner, multi_avg_fn=self._average, use_buffers=True)
        self.validation = [*DataLoader(validation, VALIDATION_BATCH)]  # once: the GPU is not to wait for it each time
        self.optimizer = torch.optim.AdamW(
            learner.parameters(), learner.learning_rate, weight_decay=learner.weight_decay, fused=device.is_gpu
        )
        self.start = time.monotonic()
        left = task.until_s - self.start
        self.seconds = left - max(LEAST_TEST_S, TEST_SHARE * left)

    @property
    def share(self) -> float:
        """How much of the time is over, from 0 on."""
        return (time.monotonic() - self.start) / self.seconds if self.seconds > 0 else 1.0

    def train(self) -> None:
        """Until the time is over; at least one step. Progress goes into the record, weights into the folder."""
        curve: dict[int, dict[str, float]] = {}
        validated, saved, learning_s, waiting_s, fastest = 0.0, 0.0, 0.0, 0.0, math.inf
        self.batches = iter(self.faces)  # kept: to end its workers takes seconds, which the test needs
        for epoch in count():
            begun, losses = time.monotonic(), []
            for _ in range(self.steps_an_epoch):
                asked = time.monotonic()
                batch = next(self.batches)
                waiting_s += time.monotonic() - asked
                losses.append(self._step(Batch(*(t.to(self.device.torch, non_blocking=True) for t in batch))))
                if self.share >= 1:
                    break
            self.device.synchronise()
            learning_s += (took := time.monotonic() - begun)
            fastest = min(fastest, took / len(losses))
            over = self.share >= 1
            if over or self.share >= validated:
                validated = self.share + 1 / VALIDATIONS
                error = error_percent(self.averaged.module, self.validation, self.device)
                curve[epoch] = {"val_nme": round(error, 4), "train_loss": round(float(torch.stack(losses).mean()), 4)}
            if over or self.share >= saved:
                saved = self.share + 1 / CHECKPOINTS
                write_halves(self.averaged.module.state_dict(), self.output, epoch)
            figures = self._figures(epoch, learning_s, waiting_s)
            figures["pictures/s in the fastest epoch"] = round(self.pictures / self.steps / fastest, 1)
            self.record.update(curve=curve, **figures)
            if over:
                return

    def _figures(self, epoch: int, learning_s: float, waiting_s: float) -> dict[str, Any]:
        found: dict[str, Any] = {
            "epoch": epoch,
            "steps": self.steps,
            "pictures/s": round(self.pictures / learning_s, 1),
            "learning_s": round(learning_s, 1),
            "share of it waiting for pictures": round(waiting_s / learning_s, 3),
        }
        if self.device.is_gpu:
            found["memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        return found

    def _step(self, batch: Batch) -> Tensor:
        """One step of the optimizer and the average; the loss, which is not waited for."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learner.learning_rate * rate(self.share, self.learner.warmup)
        self.learner.train()
        with torch.autocast(self.device.torch.type, torch.bfloat16):
            terms = self.learner.losses(self.learner(batch.crops), batch)
            loss = torch.stack([*terms.values()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.steps, self.pictures = self.steps + 1, self.pictures + len(batch.crops)
        self.averaged.update_parameters(self.learner)
        return loss.detach()

    def _average(self, averaged: Tensors, current: Tensors, _: Any) -> None:
        """Shorter at first, so that it soon forgets the random weights of the start."""
        decay = min(DECAY, (1 + self.steps) / (10 + self.steps))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)


def rate(share: float, warmup: float) -> float:
    """The learning rate's factor after that share of the time: a rise over the warm-up, then a cosine to 0."""
    if share < warmup:
        return max(share / warmup, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))


def error_percent(learner: torch.nn.Module, faces: Iterable[Batch], device: Device) -> float:
    """The mean NME in percent of the outer eye distance.

    Without cuDNN's search for the fastest kernels: it takes seconds for each size of a batch, the last one's too.
    """
    assert isinstance(learner, LandmarkTask)
    learner.eval()
    errors: list[float] = []
    for batch in faces:
        half = torch.autocast(device.torch.type, torch.bfloat16, enabled=device.is_gpu)
        with torch.no_grad(), half, torch.backends.cudnn.flags(enabled=True, benchmark=False):
            points, _, _ = learner.decode(learner(batch.crops.to(device.torch)))
        pairs = zip(points.float().cpu().numpy(), batch.points_px.numpy(), strict=True)
        errors += [nme(found, truth, learner.scheme) for found, truth in pairs]
    return 100 * float(np.mean(errors))
