"""Training over two processes under torchrun (gloo) ends where one process with the whole batch does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import ROOT

OPTIONS = """
    fit --data.source=train.datasets.W300 --data.source.root={root} --data.size=32 --data.workers=0 --data.batch={batch}
    --model.net=tests.train.test_two_processes.Plain --model.objective=train.objectives.Structured
    --trainer.accelerator=cpu --trainer.devices={processes} --trainer.strategy={strategy} --trainer.max_epochs=3
    --trainer.num_sanity_val_steps=0 --trainer.enable_progress_bar=false --trainer.logger=false
    --trainer.default_root_dir={folder} --trainer.callbacks+=ModelCheckpoint --trainer.callbacks.dirpath={folder}
    --trainer.callbacks.filename=last
"""


class Plain(nn.Module):
    """A net without BatchNorm, whose averages torch synchronises on GPUs only, and without a bias of the maps: a map
    of logits means the same with any constant added, so that bias would follow rounding errors alone."""

    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 68, 1, bias=False)),
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [self.layers(pictures)]


def weights(folder: Path, launcher: list[str], **options: object) -> dict[str, Tensor]:
    """Those after a training launched in processes of its own."""
    arguments = OPTIONS.format(folder=folder, **options).split()
    done = subprocess.run([*launcher, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded: dict[str, Tensor] = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    return loaded


@pytest.mark.slow
def test_same_global_batch_same_weights(w300: Path, tmp_path: Path) -> None:
    alone = [sys.executable, "-m", "train.run"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "train.run"]
    one = weights(tmp_path / "one", alone, root=w300, batch=4, processes=1, strategy="auto")
    two = weights(tmp_path / "two", torchrun, root=w300, batch=2, processes=2, strategy="ddp")
    other = weights(tmp_path / "other", alone, root=w300, batch=2, processes=1, strategy="auto")
    assert one.keys() == two.keys()
    same, different = (torch.cat([(w[name] - one[name]).abs().flatten() for name in one]) for w in (two, other))
    assert same.quantile(0.99) < 1e-5
    assert same.max() < 2e-3  # Adam divides by the gradient's size: where that is rounding, so is the step
    assert different.quantile(0.5) > 1e-4  # what another batch comes to
