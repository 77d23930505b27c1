"""Every committed YAML fits the signatures that it configures, and the training's really trains."""

from __future__ import annotations

import csv
import inspect
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # type: ignore[import-untyped, unused-ignore]

from export.provenance import read_provenance
from export.run import export
from tracker.run import run
from train.command_line import TrainingCLI
from train.datasets import W300, CustomDataset
from train.loaders import FaceData
from train.models.edge import EdgeHourglass
from train.run import main
from train.task import LandmarkTask

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.y*ml"))
EDGE68, EDGE68_300W, MID68_300W = (CONFIGS / f"train/{name}.yaml" for name in ("edge68", "edge68_300w", "mid68_300w"))


def load_training(*paths: Path) -> TrainingCLI:
    """Of files of which each goes on top of those before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.run"])  # pytest's own arguments are not for it
        return TrainingCLI.run(run=False, args=[f"--config={path}" for path in paths])


def load_alone(path: Path) -> TrainingCLI:
    """A whole configuration, or what goes on top of edge68.yaml, edge68_300w.yaml or mid68_300w.yaml."""
    base = MID68_300W if path.name.startswith("mid68") else EDGE68_300W if "300w" in path.name else EDGE68
    return load_training(path) if "hourglass" in path.parts else load_training(*dict.fromkeys((base, path)))


def load_options(function: Callable[..., Any]) -> Callable[[Path], Any]:
    """What the command line made of a function reads from a YAML file."""

    def load(path: Path) -> Any:
        from jsonargparse import ArgumentParser

        parser = ArgumentParser(exit_on_error=False)
        parser.add_function_arguments(function)
        return parser.parse_path(path)

    return load


LOADERS: Mapping[str, Callable[[Path], Any]] = {
    "train": load_alone,
    "export": load_options(export),
    "tracker": load_options(run),
    "provenance": read_provenance,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_loads(path: Path) -> None:
    LOADERS[path.relative_to(CONFIGS).parts[0]](path)


def test_there_are_some() -> None:
    assert EDGE68 in FILES


class TestEdge68:
    def test_makes_what_it_says(self) -> None:
        cli = load_training(EDGE68)
        assert isinstance(cli.model, LandmarkTask)
        assert isinstance(cli.datamodule, FaceData)
        assert isinstance(cli.model.net, EdgeHourglass)
        assert cli.model.size == cli.datamodule.size == 128
        assert cli.model.scheme.count == cli.model.net.heads[-1].out_channels == 68
        assert [m.shape for m in cli.model.eval()(torch.zeros(1, 128, 128, 3, dtype=torch.uint8))] == [(1, 68, 32, 32)]

    def test_size_of_the_net(self) -> None:
        """At most 3 MB are committed; a 4-byte parameter each."""
        parameters = sum(p.numel() for p in load_training(EDGE68).model.net.parameters())
        assert parameters == 544_196
        assert 4 * parameters < 3e6

    def test_both_families_have_the_same_nets(self) -> None:
        """So they have the same times."""
        for name in ("edge68", "edge68_fast"):
            ours, research = (load_alone(EDGE68.with_name(f"{each}.yaml")).model for each in (name, f"{name}_300w"))
            assert repr(ours.net) == repr(research.net)
            assert ours.size == research.size
            assert ours.objective.smoothing.sigma_cells == research.objective.smoothing.sigma_cells

    def test_the_models_that_may_be_shipped_are_trained_on_no_300w(self) -> None:
        for path in (CONFIGS / "train").glob("edge68*.yaml"):
            source = load_alone(path).datamodule.source
            assert isinstance(source, W300 if "300w" in path.name else CustomDataset), path.name

    def test_the_last_epochs_of_the_fast_model_keep_its_net(self) -> None:
        first, finish = (EDGE68.with_name(f"edge68_{name}.yaml") for name in ("fast_300w", "300w_finish"))
        cli, whole = load_training(EDGE68_300W, first, finish), load_training(EDGE68_300W, finish)
        assert cli.model.size == cli.datamodule.size == 96
        assert sum(p.numel() for p in cli.model.net.parameters()) == 363_876
        assert cli.model.objective.smoothing.sigma_cells == 0.65
        assert whole.model.objective.smoothing.sigma_cells == 0.9
        for each in (cli, whole):
            assert each.model.learning_rate == 3e-4
            assert each.datamodule.augmentation.flip == 0
            assert each.trainer.max_epochs == 12
            assert each.trainer.default_root_dir.endswith("edge68_300w_finish")

    def test_trains_and_keeps_the_best_and_the_last_weights(
        self, tmp_path: Path, w300: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The committed file, on drawn faces with a net of a few channels. It validates after every fifth epoch."""
        (tmp_path / "faces").mkdir()
        for file in w300.rglob("face*.*"):
            shutil.copy(file, tmp_path / "faces" / "_".join(file.relative_to(w300).parts))
        options = f"""
            --model.net.channels=[8,8] --model.net.stem=8 --model.net.stacks=1
            --data.source.path={tmp_path / "faces"} --data.size=32 --data.batch=3 --data.workers=0
            --trainer.max_epochs=6 --trainer.log_every_n_steps=1 --trainer.enable_progress_bar=false
            --trainer.default_root_dir={tmp_path / "run"}
        """
        monkeypatch.setattr(sys, "argv", ["train.run", "fit", f"--config={EDGE68}", *options.split()])
        main()
        last, best = (torch.load(tmp_path / f"run/{name}.ckpt", weights_only=True) for name in ("last", "best"))
        assert last["global_step"] == 18
        assert best["global_step"] == 15
        assert list(tmp_path.glob("run/tensorboard/version_0/events.*"))
        (log,) = tmp_path.glob("run/csv/version_0/metrics.csv")
        speeds = [
            float(row["train/device/samples_per_sec"] or 0) for row in csv.DictReader(log.read_text().splitlines())
        ]
        assert max(speeds) > 3


class TestUnknownKeys:
    @pytest.mark.parametrize(
        "key", ["model.learning_rat", "data.batches", "trainer.max_epoch", "model.net.init_args.depth"]
    )
    def test_of_a_training_are_refused_by_name(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
    ) -> None:
        config = yaml.safe_load(EDGE68.read_text())
        *path, name = key.split(".")
        inner = config
        for part in path:
            inner = inner[part]
        inner[name] = 1
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(SystemExit) as exit_:
            load_training(tmp_path / "wrong.yaml")
        assert exit_.value.code == 2
        assert name in capsys.readouterr().err

    def test_a_file_that_is_no_text_is_told_so(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "last.ckpt").write_bytes(bytes(range(128, 256)))
        with pytest.raises(SystemExit) as exit_:
            load_training(tmp_path / "last.ckpt")
        assert exit_.value.code == 2
        assert "--config expected a YAML file, got one that is not text" in capsys.readouterr().err

    @pytest.mark.parametrize("function", [export, run])
    def test_of_a_command_are_refused_by_name(self, tmp_path: Path, function: Callable[..., Any]) -> None:
        values = {"checkpoint": "a.ckpt", "output": "a.onnx", "licence": "none", "max_faces": 3}
        known = {name: value for name, value in values.items() if name in inspect.signature(function).parameters}
        (tmp_path / "right.yaml").write_text(yaml.safe_dump(known))
        loaded = load_options(function)(tmp_path / "right.yaml")
        assert str(loaded["output"]) == "a.onnx"
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({**known, "outputt": 1}))
        with pytest.raises(Exception, match="outputt"):
            load_options(function)(tmp_path / "wrong.yaml")

    @pytest.mark.parametrize(
        "option", ["--model.learning_rat=1", "--data.sources=x", "--modell.size=3", "--trainer.max_epoch=1"]
    )
    def test_on_the_command_line_are_refused_by_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
    ) -> None:
        """An abbreviation is unknown too: --model.learning_rat is a slip, not a short form."""
        monkeypatch.chdir(tmp_path)  # should it be taken after all, nothing real is trained or overwritten
        harmless = ["--data.source.path=missing", "--trainer.max_epochs=0"]
        monkeypatch.setattr(sys, "argv", ["train.run", "fit", f"--config={EDGE68}", *harmless, option])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == 2
        assert option.partition("=")[0] in capsys.readouterr().err
