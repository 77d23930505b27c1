"""docs/own_data.md: its commands train, export, run and measure on 40 pictures."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from export.run import load
from landmark_tracker import main
from tracker.datasets.collect import LEAST_FACE_PX
from tracker.datasets.pts_files import write_pts
from tracker.datasets.sample import MOST_PIXELS
from tracker.face.pts import FURTHEST_OUTSIDE
from tracker.face.schemes import SCHEMES
from tracker.sources.demo import DemoClip
from train.datasets import VALIDATION_SHARE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/own_data.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
QUICK = """
    --data.size 64 --data.batch 8 --data.workers 0 --data.augmentation.occlusion 0 --data.augmentation.flip 0
    --data.augmentation.noise 0 --data.augmentation.blur 0
    --model.net.init_args.channels [32,32] --model.net.init_args.stem 16 --model.learning_rate 0.02
    --trainer.max_epochs 15 --trainer.check_val_every_n_epoch 15 --trainer.log_every_n_steps 1
    --trainer.enable_progress_bar false --trainer.accelerator cpu
"""
"""What is added to the page's training so that it takes seconds."""


def run(command: str, more: str = "") -> int:
    """A command of the page in this process: starting Python and torch anew takes longer than the training."""
    landmarks, *arguments = shlex.split(command)
    assert landmarks == "landmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv)  # put back what main replaces
        return main([*arguments, *more.split()])


def write_pictures(folder: Path, places: range) -> None:
    """Frames of the demo clip, a real face that turns and moves, with its labels."""
    clip = DemoClip((320, 240))
    folder.mkdir()
    for i in places:
        cv2.imwrite(str(folder / f"{i:03d}.png"), clip.picture(i)[..., ::-1])
        write_pts(folder / f"{i:03d}.pts", clip.truth_px(i))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "photos", range(0, 160, 4))
    write_pictures(tmp_path / "others", range(2, 160, 40))
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    train, trial, trial_export, export, track, evaluate = COMMANDS
    assert run(trial, QUICK.replace("--trainer.max_epochs 15 --trainer.check_val_every_n_epoch 15", "")) == 0
    assert run(trial_export) == 0
    assert run(train, QUICK) == 0
    assert run(export) == 0
    assert run(track) == 0
    lines = [json.loads(line) for line in Path("photos.jsonl").read_text().splitlines()]
    assert len(lines) == 40
    assert sum(len(line["faces"]) == 1 for line in lines) > 30
    assert run(evaluate) == 0
    measured = json.loads(Path("others.json").read_text())["through_detector"]
    assert measured["found"] == 4
    assert measured["nme_percent"]["ocular"] < 8


def test_the_page_states_what_is_so() -> None:
    text = " ".join(PAGE.split())  # wherever its lines end
    assert all(f"`{scheme}`" in text for scheme in SCHEMES)
    assert f"{LEAST_FACE_PX:g} pixels" in text
    assert FURTHEST_OUTSIDE == 1
    assert f"{MOST_PIXELS // 10**6} million pixels" in text
    assert f"{VALIDATION_SHARE:.4f} (1/14)" in text


def test_without_validation_the_last_weights_are_the_result(tmp_path: Path, fit_tiny: Callable[..., None]) -> None:
    fit_tiny(tmp_path, "--data.source.validation=none")
    assert [path.name for path in tmp_path.rglob("*.ckpt")] == ["last.ckpt"]
    task, data, _ = load(tmp_path / "last.ckpt")
    assert task.curve == {}
    assert len(data.validation) == 3


def test_weights_are_not_chosen_by_test_faces(
    tmp_path: Path, fit_tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    best = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=val_nme"]
    with pytest.raises(SystemExit, match="validation is none, so ModelCheckpoint cannot go by val_nme"):
        fit_tiny(tmp_path, "--data.source.validation=none", *best)
