"""An epoch's batches follow from the seed and the epoch, whoever loads them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from tracker.datasets.pictures import Pictures
from tracker.datasets.sample import DatasetError
from tracker.datasets.w300 import read_folder
from tracker.face.schemes import IBUG68, SCHEMES
from train.asymmetry import write_offsets
from train.augmentation import Augmentation, Choices
from train.datasets import W300, Combined, CustomDataset
from train.errors import SetupError
from train.loaders import Crops, FaceData
from train.models.edge import EdgeHourglass
from train.objectives import Structured
from train.targets.boundaries import edge_maps
from train.task import Batch, LandmarkTask
from train.terms import Weights

ABSENT = Augmentation(absent=0.5)


def batches(root: Path, epoch: int = 0, processes: int = 1, rank: int = 0, **options: Any) -> list[Batch]:
    """Those of one process in one epoch: nine faces of 24 pixels."""
    data = FaceData(W300(root), size=24, **{"workers": 0, "batch": 4, **options})
    data.trainer = SimpleNamespace(world_size=processes, global_rank=rank)  # type: ignore[assignment]
    data.setup("fit")
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return list(loader)


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core two are thought too many
def test_are_the_same_for_any_number_of_workers(w300: Path) -> None:
    assert_same(batches(w300, epoch=3, workers=2), batches(w300, epoch=3))


@pytest.mark.slow
def test_two_processes_share_the_batches_of_one(w300: Path) -> None:
    whole = batches(w300, epoch=1, batch=4)
    shares = [batches(w300, epoch=1, batch=2, processes=2, rank=rank) for rank in (0, 1)]
    assert len(whole) == len(shares[0]) == len(shares[1]) == 2
    for batch, first, second in zip(whole, *shares, strict=True):
        assert torch.equal(batch.points_px[0::2], first.points_px)
        assert torch.equal(batch.points_px[1::2], second.points_px)
        assert torch.equal(batch.crops[0::2], first.crops)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"seed": 2}])
def test_differ_by_epoch_and_seed(w300: Path, change: dict[str, int]) -> None:
    before, after = batches(w300), batches(w300, **change)
    assert not any(torch.equal(a.points_px, b.points_px) for a, b in zip(before, after, strict=True))


def test_the_first_view_is_the_only_one_of_before(w300: Path) -> None:
    """So a training with several views sees what one without them sees, and more."""
    plain, several = batches(w300, batch=4), batches(w300, batch=4, views=3)
    for one, three in zip(plain, several, strict=True):
        assert three.crops.shape == (12, *one.crops.shape[1:])
        assert_same([Batch(*(tensor[::3] for tensor in three))], [one])


def test_views_of_a_face_are_neighbours_that_differ_by_a_similarity(w300: Path) -> None:
    """Up to shift, rotation and scale their labels are the same: not mirrored, and of the same face."""
    turned = []
    for batch in batches(w300, views=2):
        labels = torch.view_as_complex((batch.points_px - batch.points_px.mean(1, keepdim=True)).contiguous())
        first, second = labels[0::2], labels[1::2]
        ratio = (first.conj() * second).sum(1) / first.abs().square().sum(1)
        assert (second - ratio[:, None] * first).abs().max() < 1e-3
        turned += ratio.tolist()
    assert len(turned) == 8
    assert min(abs(ratio - 1) for ratio in turned) > 1e-3


def test_without_a_distance_the_views_are_the_same(w300: Path) -> None:
    """All that is random about the picture itself, noise and occlusion too, is drawn once for a face."""
    often = Augmentation(occlusion=1.0, blur=1.0, gamma=1.0, noise=1.0, near=0.0)
    for batch in batches(w300, views=2, augmentation=often):
        assert torch.equal(batch.crops[0::2], batch.crops[1::2])
        assert torch.equal(batch.points_px[0::2], batch.points_px[1::2])


def test_an_epoch_shows_every_face_once(w300: Path) -> None:
    data = FaceData(W300(w300), size=24)
    data.trainer = SimpleNamespace(world_size=1, global_rank=0)  # type: ignore[assignment]
    data.setup("fit")
    sampler = data.train_dataloader().sampler
    sampler.set_epoch(5)  # type: ignore[attr-defined]
    assert sorted(sampler) == [(5, index) for index in range(9)]


def test_edge_maps_are_those_of_the_crops_points(w300: Path) -> None:
    crops = Crops(read_folder(w300 / "afw"), 32, edges="distance")
    batch = crops[0]
    assert batch.edges.shape == (9, 8, 8)
    expected = edge_maps(batch.points_px.double().numpy(), IBUG68, 32, 4, "distance")
    assert (batch.edges.numpy() == expected).all()
    assert Crops(read_folder(w300 / "afw"), 32)[0].edges.shape == (0, 8, 8)


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_pictures_that_are_not_kept_are_read_again(w300: Path, kept: int) -> None:
    samples = read_folder(w300 / "afw")
    size = samples[0].read_image().nbytes
    pictures = Pictures(samples, keep_gb=(kept + 0.5) * size / 1e9)
    assert len(pictures.kept) == kept
    for sample in samples:
        assert (pictures.read(sample) == sample.read_image()).all()


def test_faces_of_one_picture_share_it(w300: Path) -> None:
    samples = read_folder(w300 / "afw") * 3
    assert len(Pictures(samples, keep_gb=1).kept) == 4


class TestFewFaces:
    def test_a_batch_is_all_faces_where_it_would_be_more(self, w300: Path) -> None:
        """Else a training of them would train nothing."""
        (batch,) = batches(w300, batch=32)
        assert len(batch.crops) == 9
        assert_same(batches(w300, batch=32), batches(w300, batch=9))

    def test_two_processes_share_them(self, w300: Path) -> None:
        shares = [batches(w300, batch=32, processes=2, rank=rank) for rank in (0, 1)]
        assert [[len(batch.crops) for batch in share] for share in shares] == [[4], [4]]

    def test_fewer_than_processes_are_refused(self, w300: Path) -> None:
        with pytest.raises(DatasetError, match="expected a training face for each of 10 processes, found 9"):
            batches(w300, processes=10)


class TestNothingToChooseBy:
    def data(self, root: Path, *callbacks: Any) -> FaceData:
        data = FaceData(W300(root, validation="none"), size=24, workers=0)
        data.trainer = SimpleNamespace(world_size=1, global_rank=0, callbacks=callbacks)  # type: ignore[assignment]
        return data

    def test_all_faces_are_trained_on(self, w300: Path) -> None:
        data = self.data(w300, ModelCheckpoint(w300, "last"))
        data.setup("fit")
        assert len(data.training) == 12
        assert data.trainer is not None and data.trainer.limit_val_batches == 0

    @pytest.mark.parametrize("callback", [ModelCheckpoint(monitor="val_nme"), EarlyStopping("val_nme")])
    def test_who_chooses_is_refused_and_told_what_to_do(self, w300: Path, callback: Any) -> None:
        data = self.data(w300, ModelCheckpoint(), callback)
        with pytest.raises(
            SetupError, match=r"data\.source\.validation is none, so .* leave the callback out"
        ) as error:
            data.setup("fit")
        assert type(callback).__name__ in str(error.value)

    def test_validation_afterwards_is_on_training_faces_and_says_so(
        self, w300: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """So that such a training can be exported."""
        data = self.data(w300)
        data.setup("validate")
        held_back = FaceData(W300(w300), size=24)
        held_back.setup("validate")
        assert [s.name for s in data.validation.samples] == [s.name for s in held_back.validation.samples]
        assert "all faces were trained on, 3 of them are validated with" in caplog.text


def test_bad_faces_are_those_of_a_side_of_a_folder(w300: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(w300, root)
    (root / "afw/face21.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"in the validation faces of .*afw 1 of 3 labelled faces are invalid"):
        FaceData(W300(root), size=24).setup("validate")


def test_weights_go_with_their_points(w300: Path) -> None:
    (sample, *_) = read_folder(w300 / "afw")
    weights = np.linspace(0.1, 1, 68)
    crops = Crops([replace(sample, weights=weights)], 32)
    assert torch.equal(crops[0].weights, torch.from_numpy(weights.astype(np.float32)))
    mirrored = crops.crop(0, Choices(flip=True)).weights
    assert torch.equal(mirrored, crops[0].weights[IBUG68.flip.tolist()])
    assert torch.equal(Crops([sample], 32)[0].weights, torch.ones(68))
    for batch in batches(w300, views=2):
        assert batch.weights.shape == batch.points_px.shape[:2]


def test_crops_without_a_face_are_marked(w300: Path) -> None:
    whole = [batch.present for batch in batches(w300)]
    assert torch.cat(whole).all()
    some = torch.cat([batch.present for epoch in range(4) for batch in batches(w300, epoch, augmentation=ABSENT)])
    assert 0 < some.mean() < 1


@pytest.mark.parametrize(("absent", "weight"), [(0.1, 0.0), (0.0, 0.3)])
def test_crops_without_a_face_and_their_term_go_together(w300: Path, absent: float, weight: float) -> None:
    data = FaceData(W300(w300), size=32, workers=0, augmentation=Augmentation(absent=absent))
    task = small_task(Weights(absence=weight))
    data.trainer = SimpleNamespace(lightning_module=task, precision="32-true")  # type: ignore[assignment]
    with pytest.raises(SetupError, match=rf"absent is {absent:g} and model\.weights\.absence {weight:g}: set both"):
        data.setup("fit")


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_faces_of_another_scheme_than_the_net_are_refused(w300: Path, stage: str) -> None:
    source, scheme = W300(w300), SCHEMES["ibug51"]
    faces = [replace(face, points_px=face.points_px[17:], scheme=scheme) for face in source.labelled()]
    source.labelled = lambda: faces  # type: ignore[method-assign]
    data = FaceData(source, size=32, workers=0)
    data.trainer = SimpleNamespace(lightning_module=small_task(), precision="32-true")  # type: ignore[assignment]
    with pytest.raises(SetupError, match=r"model\.scheme is ibug68, but .*face\d+\.png has the landmarks of ibug51"):
        data.setup(stage)


def test_heads_of_another_scheme_are_not_turned(w300: Path) -> None:
    source, scheme = W300(w300), SCHEMES["ibug51"]
    faces = [replace(face, points_px=face.points_px[17:], scheme=scheme) for face in source.labelled()]
    source.labelled = lambda: faces  # type: ignore[method-assign]
    data = FaceData(source, size=32, workers=0, augmentation=Augmentation(turn=0.3))
    with pytest.raises(SetupError, match=r"augmentation\.turn: expected faces with the landmarks of ibug68, .*, got"):
        data.setup("fit")


def test_moved_labels_of_several_sets_are_warned_of(
    w300: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_offsets(tmp_path / "o.csv", np.zeros((68, 2)))
    shutil.copytree(w300 / "afw", tmp_path / "own")
    own = CustomDataset(tmp_path / "own", "ibug68")
    for source in (W300(w300), Combined([W300(w300), own])):
        assert "data.mirror" not in caplog.text
        FaceData(source, size=32, workers=0, mirror=tmp_path / "o.csv").setup("fit")
    assert (
        "data.mirror moves the mirrored labels of all data sets alike, those of W300 and CustomDataset" in caplog.text
    )


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
@pytest.mark.parametrize("use", ["fit", "validate", "test"])
def test_labels_and_weights_in_another_precision_are_refused(w300: Path, precision: Any, use: str) -> None:
    trainer = quick_trainer(precision)
    with pytest.raises(SetupError, match=rf"trainer\.precision: expected 32-true, bf16-mixed .*, got {precision}"):
        getattr(trainer, use)(small_task(), FaceData(W300(w300), size=32, workers=0))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_step_in_mixed_precision_keeps_the_weights_in_float32(w300: Path, precision: Any) -> None:
    trainer, task = quick_trainer(precision), small_task()
    trainer.fit(task, FaceData(W300(w300), size=32, batch=4, workers=0))
    assert trainer.global_step == 1
    assert {weight.dtype for weight in task.parameters()} == {torch.float32}


def small_task(weights: Weights = Weights()) -> LandmarkTask:
    return LandmarkTask(EdgeHourglass(channels=(8, 8), stem=8), Structured(), size=32, weights=weights)


def quick_trainer(precision: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        precision=precision,
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
