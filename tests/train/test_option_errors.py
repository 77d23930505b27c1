"""Wrong options of train.run: one sentence that names the option, and the nearest right one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from train.run import main

EDGE68 = ROOT / "configs/train/edge68.yaml"


def fit(*options: str) -> SystemExit:
    """How train.run ends with the default model's configuration and these options."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.run", "fit", f"--config={EDGE68}", *options])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("--model.learning_rat=1", ["--model.learning_rat=1", "did you mean model.learning_rate?"]),
        ("--model.learning_rate=fast", ["model.learning_rate", "float", "fast"]),
        ("--model.net=train.models.edge.EdgeHourglas", ["did you mean train.models.edge.EdgeHourglass?"]),
        ("--model.net.chanels=[1]", ["chanels", "did you mean model.net.channels?"]),
        ("--model.net.channels=abc", ["model.net", "channels", "abc"]),
        ("--model.objective=train.objectives.Structurd", ["did you mean train.objectives.Structured?"]),
        ("--model.objective.margin=l7", ["margin", "smooth_l1", "l7"]),
        ("--data.source=train.datasets.W301", ["did you mean train.datasets.W300?"]),
        ("--trainer.precision=BF16-mixd", ["did you mean bf16-mixed?"]),
        ("--data.edges=curvy", ["data.edges", "polyline", "curvy"]),
        ("--trainer.max_epochs=many", ["trainer.max_epochs", "many"]),
        ("--config=nowhere.yaml", ["nowhere.yaml"]),
        ("--data.batch", ["--data.batch", "expected one argument"]),
        ("--traner.max_epochs=3", ["did you mean trainer.max_epochs?"]),
    ],
)
def test_unknown_or_of_a_wrong_type(option: str, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    end = fit(option)
    assert end.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train.run: ")
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--average.decay=2", "average.decay: expected a number from 0 up to, not including, 1, got 2.0"),
        ("--model.learning_rate=-3", "model.learning_rate: expected a number of at least 0, got -3.0"),
        ("--model.learning_rate=.nan", "model.learning_rate: expected a number of at least 0, got nan"),
        ("--model.warmup=1.5", "model.warmup: expected a number from 0 to 1, got 1.5"),
        ("--data.batch=0", "data.batch: expected a number from 1 to"),
        ("--data.workers=-1", "data.workers: expected a number from 0 to"),
        ("--data.size=0", "data.size: expected a number from 8 to 1024, got 0"),
        ("--data.size=1000000", "data.size: expected a number from 8 to 1024, got 1000000"),
        ("--data.stride=0", "data.stride: expected a number from 1 to"),
        ("--data.views=0", "data.views: expected a number from 1 to"),
        ("--data.keep_gb=-1", "data.keep_gb: expected a number from 0 to"),
        ("--seed_everything=-1", "seed_everything: -1 is not in bounds"),
        ("--data.augmentation.flip=2", "data.augmentation.flip: expected a number from 0 to 1, got 2"),
        ("--data.augmentation.rotation_deg=.inf", "data.augmentation.rotation_deg: expected a number from 0 to 180"),
        ("--model.scheme=ibug67", "unknown landmark scheme 'ibug67'; known: ibug68, wflw98, cofw29, aflw19"),
        ("--trainer.accelerator=quantum", "quantum"),
    ],
)
def test_that_cannot_be(option: str, sentence: str, tmp_path: Path) -> None:
    end = fit(f"--trainer.default_root_dir={tmp_path / 'run'}", option)
    assert str(end).startswith("train.run: ")
    assert sentence in str(end)
    assert "\n" not in str(end)
    assert not (tmp_path / "run").exists()


def test_an_alias_that_refers_to_itself_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("a: &a {b: *a}")
    assert fit(f"--config={tmp_path / 'c.yaml'}").code == 2
    assert (
        f"--config {tmp_path / 'c.yaml'}: line 1, column 11: the alias *a refers to itself" in capsys.readouterr().err
    )


@pytest.mark.slow
def test_help_is_still_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "train.run", "fit", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--model.learning_rate" in done.stdout
    assert done.stderr == ""
