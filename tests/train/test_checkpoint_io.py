"""Checkpoints are replaced as a whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from train.checkpoint_io import AtomicCheckpointIO, CheckpointWriteError


def write(path: Path, size: int) -> None:
    AtomicCheckpointIO().save_checkpoint({"weights": torch.arange(size), "epoch": 3}, path)


def test_round_trip_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new/last.ckpt"
    write(path, 5)
    assert torch.equal(AtomicCheckpointIO().load_checkpoint(path, weights_only=False)["weights"], torch.arange(5))
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"state_dict": Payload()}, tmp_path / "foreign.ckpt")
    with pytest.raises(Exception, match="Weights only load failed"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "foreign.ckpt", weights_only=False)
    assert not (tmp_path / "executed").exists()


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from train.checkpoint_io import AtomicCheckpointIO, CheckpointWriteError

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(100_000)}, Path(sys.argv[1]))
except CheckpointWriteError as error:
    print(error)
"""


def test_a_file_that_cannot_be_finished_leaves_the_former_one(tmp_path: Path) -> None:
    """A limit of the file's size is met in the middle of the write, as the end of a disk is."""
    path = tmp_path / "last.ckpt"
    write(path, 5)
    code = f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{LIMITED}"
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"cannot write the checkpoint {path}: " in done.stdout
    assert "the one that is there is kept" in done.stdout
    assert torch.load(path, weights_only=True)["epoch"] == 3
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_kill_in_the_middle_of_writing_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write(path, 5)
    code = (
        "import os, signal, sys, torch\nfrom train.checkpoint_io import AtomicCheckpointIO\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "AtomicCheckpointIO().save_checkpoint({'weights': torch.zeros(9)}, sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(path, weights_only=True)["epoch"] == 3
    assert len(os.listdir(tmp_path)) == 2
    write(path, 7)  # what the killed one left is in nobody's way
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_link_stays_and_nothing_is_written_through_a_planted_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "last.ckpt").symlink_to("elsewhere/a.ckpt")
    (tmp_path / "elsewhere/a.ckpt").write_bytes(b"old")
    write(tmp_path / "last.ckpt", 5)
    assert (tmp_path / "last.ckpt").is_symlink()
    assert torch.load(tmp_path / "elsewhere/a.ckpt", weights_only=True)["epoch"] == 3
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"somebody's work")
    (tmp_path / "elsewhere/.a.part.ckpt").symlink_to(foreign)
    with pytest.raises(CheckpointWriteError, match="cannot write the checkpoint"):
        write(tmp_path / "last.ckpt", 5)
    assert foreign.read_bytes() == b"somebody's work"


def test_a_device_or_a_folder_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    (tmp_path / "folder.ckpt").mkdir()
    for name, kind in (("pipe.ckpt", "a pipe"), ("folder.ckpt", "a folder")):
        with pytest.raises(CheckpointWriteError, match=f"is {kind}, so it is not replaced"):
            write(tmp_path / name, 5)
    assert (tmp_path / "pipe.ckpt").is_fifo()


def test_a_training_on_a_full_disk_ends_with_one_sentence(
    fit_tiny: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    fit_tiny(tmp_path, "--trainer.max_epochs=1")
    good = {path.name: path.read_bytes() for path in tmp_path.glob("*.ckpt")}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit) as end:
        fit_tiny(tmp_path, f"--ckpt_path={tmp_path / 'last.ckpt'}")
    assert str(end.value) == (
        f"train.run: cannot write the checkpoint {tmp_path / 'best.ckpt'}: No space left on device; "
        "the one that is there is kept"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.ckpt")} == good


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(CheckpointWriteError, match=r"cannot write the checkpoint .*runs/last.ckpt: "):
        write(tmp_path / "runs/last.ckpt", 5)
