"""A wider net answers as the narrow one does, and each of its new weights can learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tracker.cli.command import run_command
from tracker.errors import TrackerError
from train.checkpoints import build, load_weights, read_checkpoint
from train.task import LandmarkTask
from train.widen import widen


def task_in(path: Path) -> LandmarkTask:
    """Return the task of a checkpoint, with its weights."""
    checkpoint = read_checkpoint(path)
    task = build(LandmarkTask, checkpoint, path)
    load_weights(task, checkpoint, path)
    return task


@pytest.fixture
def channels(checkpoint: Path) -> list[int]:
    """The channels of the net of a checkpoint."""
    return list(read_checkpoint(checkpoint)["hyper_parameters"]["net"]["init_args"]["channels"])


def test_answers_as_the_narrow_net(checkpoint: Path, channels: list[int], tmp_path: Path) -> None:
    wide = tuple(2 * each for each in channels)
    widen(checkpoint, wide, tmp_path / "wide.ckpt")
    narrow, wider = task_in(checkpoint).eval(), task_in(tmp_path / "wide.ckpt").eval()
    assert sum(p.numel() for p in wider.net.parameters()) > 2 * sum(p.numel() for p in narrow.net.parameters())
    crops = torch.randint(0, 256, (2, narrow.size, narrow.size, 3), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(wider(crops)[-1], narrow(crops)[-1], rtol=1e-5, atol=1e-5)


@pytest.fixture
def unequal(tmp_path: Path, fit_tiny: Callable[..., None]) -> Path:
    """A checkpoint of a net with the channels 8, 16, 16."""
    fit_tiny(tmp_path / "run", "--model.net.channels=[8,16,16]", "--trainer.max_epochs=1")
    return tmp_path / "run/last.ckpt"


@pytest.mark.parametrize("wide", [(8, 24, 24), (16, 17, 17), (20, 16, 16)])
def test_levels_may_be_widened_by_different_factors(unequal: Path, tmp_path: Path, wide: tuple[int, ...]) -> None:
    widen(unequal, wide, tmp_path / "wide.ckpt")
    narrow, wider = task_in(unequal).eval(), task_in(tmp_path / "wide.ckpt").eval()
    crops = torch.randint(0, 256, (2, narrow.size, narrow.size, 3), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(wider(crops)[-1], narrow(crops)[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("wide", "words"),
    [
        ((16, 16, 16), "expected different numbers for the levels 1 and 2, which have 8 and 16 in the checkpoint; got"),
        ((8, 16, 24), "expected equal numbers for the levels 2 and 3, which have 16 and 16 .*; got 16 and 24"),
    ],
)
def test_neighbouring_levels_stay_equal_or_different(
    unequal: Path, tmp_path: Path, wide: tuple[int, ...], words: str
) -> None:
    with pytest.raises(TrackerError, match=words):
        widen(unequal, wide, tmp_path / "wide.ckpt")
    assert not (tmp_path / "wide.ckpt").exists()


def test_every_weight_learns_after_a_step(checkpoint: Path, channels: list[int], tmp_path: Path) -> None:
    """At first nothing reads the new channels; the first step changes that."""
    widen(checkpoint, tuple(2 * each for each in channels), tmp_path / "wide.ckpt")
    task = task_in(tmp_path / "wide.ckpt").train()
    crops = torch.randint(0, 256, (2, task.size, task.size, 3), dtype=torch.uint8)
    descent = torch.optim.SGD(task.net.parameters(), lr=0.1)
    for _ in range(2):
        descent.zero_grad()
        task(crops)[-1].square().sum().backward()
        descent.step()
    still = [name for name, p in task.net.named_parameters() if p.dim() > 1 and not p.grad.any()]
    assert not still


def test_the_seed_decides(checkpoint: Path, channels: list[int], tmp_path: Path) -> None:
    wide = tuple(each + 8 for each in channels)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        widen(checkpoint, wide, tmp_path / f"{name}.ckpt", seed)
    a, b, c = (read_checkpoint(tmp_path / f"{name}.ckpt")["state_dict"] for name in "abc")
    assert all(a[name].equal(b[name]) for name in a)
    assert any(not a[name].equal(c[name]) for name in a)


@pytest.mark.parametrize("seed", [-1, 1 << 32, 10**23])
def test_a_seed_that_is_none_is_refused(checkpoint: Path, channels: list[int], tmp_path: Path, seed: int) -> None:
    with pytest.raises(TrackerError, match="--seed: expected a number from 0 to 4294967295, got"):
        widen(checkpoint, tuple(channels), tmp_path / "wide.ckpt", seed)
    assert not (tmp_path / "wide.ckpt").exists()


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: [c[0] - 1, *c[1:]], lambda c: []])
def test_other_channels_are_refused(
    checkpoint: Path, channels: list[int], tmp_path: Path, change: Callable[[list[int]], list[int]]
) -> None:
    with pytest.raises(TrackerError, match=r"--channels: expected . numbers, none below those of"):
        widen(checkpoint, tuple(change(channels)), tmp_path / "wide.ckpt")
    assert not (tmp_path / "wide.ckpt").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"class_path": "train.models.fan.FanNet", "init_args": {"stacks": 1}},
        {"cell_head": {"class_path": "train.models.heads.DecimalHead"}},
    ],
)
def test_other_nets_are_refused(checkpoint: Path, channels: list[int], tmp_path: Path, change: dict[str, Any]) -> None:
    content = torch.load(checkpoint, weights_only=True)
    net = content["hyper_parameters"]["net"]
    content["hyper_parameters"]["net"] = (
        change if "init_args" in change else {**net, "init_args": net["init_args"] | change}
    )
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(TrackerError, match="expected an EdgeHourglass with channels and without a cell_head"):
        widen(tmp_path / "other.ckpt", tuple(channels), tmp_path / "wide.ckpt")


def test_a_name_that_is_too_long_is_one_sentence(checkpoint: Path, channels: list[int], tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="File name too long"):
        widen(checkpoint, tuple(channels), tmp_path / (300 * "a" + ".ckpt"))


def test_a_list_without_brackets_is_one_sentence(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--checkpoint", str(checkpoint), "--channels", "16,16", "--output", str(tmp_path / "wide.ckpt")]
    assert run_command(widen, "train.widen", given) == 2
    assert "--channels: expected a list in brackets, such as [1,2], got 16,16" in capsys.readouterr().err


def test_no_input_is_overwritten(checkpoint: Path, channels: list[int]) -> None:
    before = checkpoint.read_bytes()
    with pytest.raises(TrackerError, match="--output: expected another file"):
        widen(checkpoint, tuple(channels), checkpoint)
    assert checkpoint.read_bytes() == before
