"""The mean of two checkpoints' weights: exact, exportable, and refused where the nets differ."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from export.run import load
from tracker.errors import TrackerError
from train.checkpoints import read_checkpoint
from train.mix import mix


@pytest.fixture
def two(checkpoint: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint, and one of the same net with other weights."""
    content = torch.load(checkpoint, weights_only=True)
    for value in content["state_dict"].values():
        if value.is_floating_point():
            value.add_(1.0)
    torch.save(content, tmp_path / "second.ckpt")
    return checkpoint, tmp_path / "second.ckpt"


def change(path: Path, *names: str, to: object) -> None:
    """Change a setting of a checkpoint."""
    content = torch.load(path, weights_only=True)
    place = content["hyper_parameters"]
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = to
    torch.save(content, path)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_is_the_weighted_mean(two: tuple[Path, Path], tmp_path: Path, share: float) -> None:
    mix(*two, tmp_path / "mixed.ckpt", share)
    first, second, mixed = (read_checkpoint(path)["state_dict"] for path in (*two, tmp_path / "mixed.ckpt"))
    for name, value in mixed.items():
        expected = first[name] + share if value.is_floating_point() else second[name]
        torch.testing.assert_close(value, expected)


def test_is_loaded_as_any_other_and_says_what_it_is(two: tuple[Path, Path], tmp_path: Path) -> None:
    mix(*two, tmp_path / "mixed.ckpt", 0.5)
    _, _, config = load(tmp_path / "mixed.ckpt")
    assert config["mixed"]["share"] == 0.5
    assert len(config["mixed"]["first_sha256"]) == 64
    assert config["mixed"]["first_sha256"] != config["mixed"]["second_sha256"]
    assert "mixed" not in load(two[0])[2]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(two: tuple[Path, Path], tmp_path: Path, share: float) -> None:
    with pytest.raises(TrackerError, match="--share: expected a number from 0 to 1"):
        mix(*two, tmp_path / "mixed.ckpt", share)
    assert not (tmp_path / "mixed.ckpt").exists()


def test_another_net_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    content = torch.load(two[1], weights_only=True)
    name = next(name for name, value in content["state_dict"].items() if value.dim() == 4)
    content["state_dict"][name] = content["state_dict"][name][:1]
    torch.save(content, two[1])
    with pytest.raises(TrackerError, match=r"second\.ckpt: its weights do not fit the net: "):
        mix(*two, tmp_path / "mixed.ckpt", 0.5)


@pytest.mark.parametrize(
    ("names", "to", "words"),
    [
        (["size"], 64, "whose size is 32, got 64"),
        (
            ["objective"],
            {"class_path": "train.objectives.SoftArgmax", "init_args": {}},
            "whose objective is Structured, got SoftArgmax",
        ),
        (["net", "init_args", "stride"], 2, r"whose net\.stride is 4, got 2"),
    ],
)
def test_weights_that_mean_something_else_are_refused(
    two: tuple[Path, Path], tmp_path: Path, names: list[str], to: object, words: str
) -> None:
    change(two[1], *names, to=to)
    with pytest.raises(TrackerError, match=words):
        mix(*two, tmp_path / "mixed.ckpt")
    assert not (tmp_path / "mixed.ckpt").exists()


@pytest.mark.parametrize(("names", "to"), [(["learning_rate"], 0.5), (["weight_decay"], 0.5), (["views"], 2)])
def test_how_they_were_trained_may_differ(two: tuple[Path, Path], tmp_path: Path, names: list[str], to: object) -> None:
    change(two[1], *names, to=to)
    mix(*two, tmp_path / "mixed.ckpt")


@pytest.mark.parametrize("which", [0, 1])
def test_weights_that_are_not_finite_are_refused(two: tuple[Path, Path], tmp_path: Path, which: int) -> None:
    paths = [tmp_path / "first.ckpt", two[1]]
    shutil.copy(two[0], paths[0])
    content = torch.load(paths[which], weights_only=True)
    next(value for value in content["state_dict"].values() if value.dim() == 4)[0] = torch.nan
    torch.save(content, paths[which])
    with pytest.raises(TrackerError, match=f"{paths[which].name}: .* has values that are not finite"):
        mix(paths[0], paths[1], tmp_path / "mixed.ckpt")
    assert not (tmp_path / "mixed.ckpt").exists()


def test_a_name_that_is_too_long_is_one_sentence(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="File name too long"):
        mix(*two, tmp_path / (300 * "a" + ".ckpt"))


def test_no_input_is_overwritten(two: tuple[Path, Path]) -> None:
    before = two[1].read_bytes()
    with pytest.raises(TrackerError, match="--output: expected another file than the checkpoints that are read"):
        mix(*two, two[1], 0.5)
    assert two[1].read_bytes() == before
