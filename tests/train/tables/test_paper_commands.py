"""python -m train.tables: lists, writes configurations that train.run takes, and runs trainings for two steps."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # type: ignore[import-untyped, unused-ignore]

from tracker.errors import TrackerError
from tracker.face.schemes import scheme_named
from train.augmentation import Augmentation
from train.command_line import TrainingCLI
from train.objectives import Isotropic
from train.tables import ROWS, Row
from train.tables.__main__ import main
from train.tables.check import check
from train.tables.configuration import as_yaml, configured, distinct
from train.targets.label_smoothing import ImageAware


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["train.tables", *arguments])
    return main()


class TestList:
    def test_a_row_with_its_figure_and_its_commands(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "list", "--row", "star-t4-20") == 0
        printed = capsys.readouterr().out
        assert "star-t4-20: star, Table 4, w 20 (WFLW)" in printed
        assert "NME ocular 4.2\n" in printed
        assert "python -m train.run fit --config papers/star-t4-20.yaml" in printed
        assert "--ckpt_path runs/star-t4-20/last.ckpt" in printed

    def test_of_one_paper(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(monkeypatch, "list", "--paper", "hih") == 0
        printed = capsys.readouterr().out
        rows = [row for row in ROWS.values() if row.paper == "hih"]
        assert all(f"{row.id}: hih" in printed for row in rows)
        assert "star" not in printed.replace("start", "")
        assert f"{len(rows)} rows" in printed

    def test_another_set_is_an_option_of_the_test(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(monkeypatch, "list", "--row", "star-t2-l2-with")
        test = next(line for line in capsys.readouterr().out.splitlines() if "train.run test" in line)
        assert test.endswith("--data.source train.datasets.Video300 --data.source.root 300VW")

    def test_every_test_is_of_a_checkpoint_that_a_listed_training_writes(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One training may be tested as several rows, each with its own way of reading."""
        run(monkeypatch, "list")
        printed = capsys.readouterr().out
        trained = {*re.findall(r"train.run fit --config papers/(\S+)\.yaml", printed)}
        tested = re.findall(r"train.run test --config papers/(\S+)\.yaml --ckpt_path runs/(\S+)/last\.ckpt", printed)
        assert {folder for _, folder in tested} <= trained
        assert len(trained) == len(distinct(ROWS.values()))
        assert {folder for row, folder in tested if row.startswith("subpixel-t3")} == {"subpixel-t1-local"}
        stated = " ".join((Path(__file__).parents[3] / "docs/training.md").read_text().split())
        assert f"all {len(trained)} different trainings of the {len(ROWS)} rows" in stated

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["list", "--row", "star-t9"], "got star-t9"),
            (["list", "--paper", "adnet"], "paper"),
            (["lists"], "did you mean list?"),
            ([], "expected one of list, write, check, got nothing"),
        ],
    )
    def test_mistakes_are_one_sentence(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        sentence: str,
    ) -> None:
        assert run(monkeypatch, *arguments) == 2
        said = capsys.readouterr()
        assert sentence in said.err
        assert said.err.count("\n") == 1


class TestWrite:
    def test_every_row_of_a_paper(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "papers"
        assert run(monkeypatch, "write", str(folder), "--paper=subpixel", "--data=/sets", "--runs=/trainings") == 0
        rows = {row.id for row in ROWS.values() if row.paper == "subpixel"}
        assert f"{len(rows)} configurations" in capsys.readouterr().out
        assert {path.stem for path in folder.iterdir()} == rows
        text = (folder / "subpixel-t7-menpo.yaml").read_text()
        options = yaml.safe_load(text)
        assert options["trainer"]["default_root_dir"] == "/trainings/subpixel-t7-menpo"
        assert options["model"]["start"] == "/trainings/subpixel-300w-lp/last.ckpt"
        assert options["data"]["source"]["init_args"]["root"] == "/sets/300w"
        assert options["data"]["source"]["init_args"]["test_root"] == "/sets/300w_private"

    def test_the_training_that_a_row_shares_is_written_with_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(monkeypatch, "write", str(tmp_path), "--row=subpixel-t3-3")
        assert {path.stem for path in tmp_path.iterdir()} == {"subpixel-t3-3", "subpixel-t1-local"}

    @pytest.mark.parametrize("row", [*ROWS][::15])
    def test_the_header_has_the_figures_and_every_departure(self, row: str) -> None:
        text = as_yaml(ROWS[row])
        header = " ".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))
        assert ROWS[row].figures in header
        assert all(departure in header for departure in ROWS[row].departures)
        assert max(map(len, text.splitlines())) <= 120
        assert yaml.safe_load(text) == configured(ROWS[row])

    def test_a_folder_that_cannot_be_written_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").touch()
        assert run(monkeypatch, "write", str(tmp_path / "file/papers")) == 2
        assert "file/papers" in capsys.readouterr().err


def instantiated(row: Row, folder: Path) -> TrainingCLI:
    """Net, objective, data and trainer by the command line's own way; the weights are not drawn."""
    path = folder / f"{row.id}.yaml"
    path.write_text(as_yaml(row))
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(sys, "argv", ["train.run"])
        return TrainingCLI.run(run=False, args=[f"--config={path}"])


def expect_as_stated(cli: TrainingCLI, row: Row) -> None:
    assert cli.datamodule.source.validation == "none"
    assert [*cli.model.milestones] == row.options["model"]["milestones"]
    assert cli.model.learning_rate == row.options["model"]["learning_rate"]
    assert cli.trainer.max_epochs == row.options["trainer"]["max_epochs"]
    cli.model.expect_edges(len(cli.model.scheme.curves) if cli.datamodule.edges else 0)


@pytest.mark.parametrize("row", ["yy-t3-cofw", "star-t6-adl", "subpixel-t6-aflw", "hih-t5-wov"])
def test_a_configuration_instantiates(tmp_path: Path, row: str) -> None:
    expect_as_stated(instantiated(ROWS[row], tmp_path), ROWS[row])


@pytest.mark.slow
def test_every_configuration_instantiates(tmp_path: Path) -> None:
    for row, *_ in distinct(ROWS.values()):
        expect_as_stated(instantiated(row, tmp_path), row)


def built(options: Any) -> Any:
    """The object of a class_path and its init_args."""
    module, _, name = options["class_path"].rpartition(".")
    arguments = dict(options.get("init_args", {}))
    if isinstance(arguments.get("smoothing"), dict):
        aware = "half_width" in arguments["smoothing"]
        arguments["smoothing"] = (ImageAware if aware else Isotropic)(**arguments["smoothing"])
    return getattr(importlib.import_module(module), name)(**arguments)


def test_every_net_has_the_head_and_the_landmarks_that_its_objective_needs() -> None:
    """All rows, each net once; refused options would raise here, too."""
    nets: dict[str, Any] = {}
    for row in ROWS.values():
        model, data = row.options["model"], row.options["data"]
        key = repr(model["net"])
        with torch.device("meta"):
            net = nets[key] = nets[key] if key in nets else built(model["net"])
        objective, scheme = built(model["objective"]), scheme_named(model["scheme"])
        assert (
            getattr(net.cell_head, "kind", None) == objective.head if hasattr(net, "cell_head") else not objective.head
        )
        given = model["net"]["init_args"]
        assert scheme.count == given["landmarks"] if "landmarks" in given else scheme.name == given["scheme"]
        assert objective.needs_edges <= bool(data.get("edges"))
        assert bool(model.get("weights", {}).get("siamese")) is (data.get("views") == 2)
        Augmentation(**data.get("augmentation", {}))
        assert built(data["source"]).validation == "none"


class TestCheck:
    """On crops of 128 pixels; python -m train.tables check does it for all rows at 256."""

    @pytest.mark.parametrize(
        "row",
        [
            "hih-t5-wom",
            pytest.param("subpixel-t1-dynamic", marks=pytest.mark.slow),
            pytest.param("yy-t6d", marks=pytest.mark.slow),
            pytest.param("star-t3-cofw-dr-wing-with", marks=pytest.mark.slow),
            pytest.param("subpixel-t4b-300w", marks=pytest.mark.slow),
        ],
    )
    def test_two_steps(self, row: str) -> None:
        (checked,) = check([ROWS[row]], size=128)
        assert checked.row.id == row
        assert checked.loss > 0

    def test_a_row_that_does_not_run_is_named(self) -> None:
        with pytest.raises(TrackerError, match="hih-t1-t does not run"):
            [*check([ROWS["hih-t1-t"]], size=72)]
