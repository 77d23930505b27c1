"""python -m train.tables: lists, writes configurations that train.run takes, and runs trainings for two steps."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import torch
import yaml  # type: ignore[import-untyped, unused-ignore]

import export.run
import tracker.evaluate
from tracker.cli.command import run_command
from tracker.face.schemes import scheme_named
from tracker.system.commit import commit
from train.augmentation import Augmentation
from train.command_line import TrainingCLI
from train.objectives import Isotropic
from train.tables import ROWS, Row
from train.tables.__main__ import COMMANDS, main
from train.tables.check import check
from train.tables.configuration import (
    PLACES,
    Places,
    Step,
    as_yaml,
    commands,
    configured,
    distinct,
    first_alike,
    needed,
)
from train.tables.row import TEST
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
        assert "--data.source train.datasets.Video300 --data.source.root data/300vw" in test
        assert test.endswith("--report.folder runs/star-t2-l2-with/300vw")

    def test_a_row_of_two_test_sets_has_a_command_for_each(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(monkeypatch, "list", "--row", "hih-t6-dark")
        full, private = (line for line in capsys.readouterr().out.splitlines() if "train.run test" in line)
        assert "--data." not in full
        assert "--data.source.test_split private --data.source.test_root data/300w_private" in private

    def test_the_49_points_are_those_of_the_exported_model(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(monkeypatch, "list", "--row", "subpixel-t8-300vw")
        printed = capsys.readouterr().out
        assert "train.run test" not in printed
        assert "export.run --checkpoint runs/subpixel-t4b-300w/last.ckpt" in printed
        assert "tracker.evaluate --dataset 300vw --root data/300vw --split C" in printed

    def test_folders_of_ones_own(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """In every command; so in the one that writes the configurations."""
        options = ["--data", "/my sets", "--runs", "trained"]
        run(monkeypatch, "list", *options, "--papers", "files")
        *rows, last = capsys.readouterr().out.splitlines()
        steps = [line for line in rows if "python -m" in line]
        assert not [line for line in steps if re.search(r"(?<![\w/])(data|runs|papers)/", line)]
        assert any("--data.source.root '/my sets/300vw'" in line for line in steps)
        assert last.endswith("write files --data '/my sets' --runs trained")

    def test_a_beginning_ends_at_a_dash_if_it_can(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for row, count in (("hih-t1", 3), ("hih-t10", 4), ("hih-t", 42)):
            run(monkeypatch, "list", "--row", row)
            assert f"\n{count} rows; " in capsys.readouterr().out

    def test_all_trainings_are_listed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(monkeypatch, "list")
        trained = {*re.findall(r"train.run fit --config papers/(\S+)\.yaml", capsys.readouterr().out)}
        assert len(trained) == len(distinct(ROWS.values()))
        stated = " ".join((Path(__file__).parents[3] / "docs/training.md").read_text().split())
        assert f"the {len(trained)} different trainings of the {len(ROWS)} rows" in stated

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["list", "--row", "star-t9"], "got star-t9"),
            (["list", "--row", "star-t3-wfwl"], "did you mean star-t3-wflw?"),
            (["write", "papers", "--row", "hih-t6-wow"], "did you mean hih-t6-wov?"),
            (["list", "--paper", "hih", "--row", "yy-t1"], "--row yy-t1 is of the paper yang_yeh, --paper says hih"),
            (["check", "--row", "yy-t3", "--size", "100"], "--size: expected a multiple of 64 from 128 on, got 100"),
            (["check", "--row", "yy-t3", "--size", "64"], "--size: expected a multiple of 64 from 128 on, got 64"),
            (["check", "--row", "yy-t3", "--report", "notes.txt"], "expected the name of a file that ends in .json"),
            (["check", "--row", "yy-t3", "--accelerator", "gpuu"], "accelerator"),
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


FIRST = first_alike(ROWS.values())


def steps_of(row: str, places: Places = PLACES) -> Iterator[Step]:
    return commands(ROWS[row], FIRST[row], ROWS, places)


def options_of(command: str) -> tuple[str, dict[str, str]]:
    """Return the module that a command runs, and the values of its options by their names."""
    words = shlex.split(command)
    first = next(i for i, word in enumerate(words) if word.startswith("--"))
    return " ".join(words[2:first]), {name[2:]: value for name, value in zip(words[first::2], words[first + 1 :: 2])}


class TestSteps:
    @pytest.mark.parametrize("row", ROWS)
    def test_each_reads_what_one_before_it_has_written(self, row: str) -> None:
        """Checkpoints to start from, checkpoints to test, exported models, configurations."""
        places = Places(Path("/sets"), Path("/trainings"), Path("/files"))
        written = {f"/files/{each.id}.yaml" for each in needed(ROWS[row], FIRST[row], ROWS)}
        for step in steps_of(row, places):
            command, options = options_of(step.command)
            reads = {options.get(name) for name in ("config", "ckpt_path", "checkpoint", "model")}
            if command == "train.run fit":
                settings = configured(ROWS[Path(options["config"]).stem], places)
                reads.add(settings["model"].get("start"))
                written.add(f"{settings['trainer']['default_root_dir']}/last.ckpt")
            assert reads - {None} <= written, step
            written |= {options["output"]} if "output" in options else set()

    def test_rows_that_start_from_another_training_name_it_first(self) -> None:
        rows = [row.id for row in ROWS.values() if row.start]
        assert len(rows) == 10
        for row in rows:
            first = next(steps_of(row))
            assert first == Step("start", "python -m train.run fit --config papers/subpixel-300w-lp.yaml")

    def test_each_report_has_a_folder_of_its_own(self) -> None:
        reports = []
        for row in ROWS:
            for step in steps_of(row):
                command, options = options_of(step.command)
                if command == "train.run test":
                    given = configured(ROWS[Path(options["config"]).stem])["report"]["folder"]
                    reports.append(options.get("report.folder", given))
                elif step.name == "test":
                    reports.append(options["report"])
        assert len(reports) == len({*reports}) > len(ROWS)

    def test_data_sets_lie_in_the_folders_that_are_documented(self) -> None:
        """A row on 300VW or Menpo needs their folders, too."""
        texts = [yaml.safe_dump(configured(row)) for row in ROWS.values()]
        texts += [step.command for row in ROWS for step in steps_of(row)]
        folders = {*re.findall(r"\bdata/(\w+)", " ".join(texts))}
        assert {"300vw", "menpo", "300w_private", "300w_lp"} < folders
        page = " ".join((Path(__file__).parents[3] / "docs/training.md").read_text().split())
        (stated,) = re.findall(r"`DATA` holds the folders ([^.]*)\.", page)
        assert {*re.split(r",\s*|\s+and\s+", stated)} == folders
        (stated,) = re.findall(r"data: the folder that holds the data sets: ([^.]*)\.", str(COMMANDS["write"].__doc__))
        assert {*re.split(r",\s*", stated)} == folders

    def test_the_headers_say_where_it_starts_and_what_it_is_tested_on(self) -> None:
        for row in ROWS.values():
            header = " ".join(row.departures)
            assert bool(row.start) is ("It starts from the weights" in header), row.id
            tests_split_one = row.options["data"]["source"]["init_args"].get("test_split") == "private"
            assert ("Tested on the 600 faces" in header) is (tests_split_one and TEST in row.tests), row.id
            elsewhere = bool(row.exported) or TEST not in row.tests
            if row.paper == "subpixel":
                assert ("by the options of the test command" in header) is elsewhere, row.id


@pytest.fixture(scope="module")
def training_parser() -> jsonargparse.ArgumentParser:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.run", "test"])
        return jsonargparse.capture_parser(TrainingCLI.run)


@pytest.mark.parametrize(
    "row", ["star-t2-l1-with", "subpixel-t7-menpo", "subpixel-t7-cofw-68", "subpixel-t9-300vw", "hih-t6-wom"]
)
def test_the_options_of_tests_on_other_sets_exist(
    row: str, training_parser: jsonargparse.ArgumentParser, tmp_path: Path
) -> None:
    places = Places(papers=tmp_path)
    (tmp_path / f"{row}.yaml").write_text(as_yaml(ROWS[row], places))
    tests = [step for step in steps_of(row, places) if step.name == "test"]
    assert len(tests) == len(ROWS[row].tests)
    for step, wanted in zip(tests, ROWS[row].tests.values()):
        _, _, _, command, *words = shlex.split(step.command)
        source = training_parser.parse_args([command, *words]).test.data.source
        assert source.class_path == wanted.get("source", source.class_path)
        for name in ("root", "test_root", "test_split"):
            if f"source.{name}" in wanted:
                assert str(source.init_args[name]) == wanted[f"source.{name}"]


def test_the_options_of_export_and_evaluation_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def parsed_only(function: Any, args: list[str], **options: Any) -> None:
        jsonargparse.capture_parser(lambda: jsonargparse.auto_cli(function, args=args, **options)).parse_args(args)

    monkeypatch.setattr(sys.modules[run_command.__module__], "auto_cli", parsed_only)
    mains: dict[str, Callable[[], int]] = {"export": export.run.main, "test": tracker.evaluate.main}
    found = [step for step in steps_of("subpixel-t8-300vw") if step.name in mains]
    assert len(found) == 2
    for step in found:
        monkeypatch.setattr(sys, "argv", shlex.split(step.command)[2:])
        assert mains[step.name]() == 0, capsys.readouterr().err


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
        expected = {"subpixel-t3-3", "subpixel-t1-local", "subpixel-300w-lp"}
        assert {path.stem for path in tmp_path.iterdir()} == expected

    @pytest.mark.parametrize("row", ["subpixel-t7-menpo", "hih-t5-wsm", "subpixel-t1-static", "subpixel-t8-300vw"])
    def test_every_configuration_that_the_listed_commands_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], row: str
    ) -> None:
        run(monkeypatch, "list", "--row", row, "--papers", str(tmp_path))
        named = {Path(path) for path in re.findall(r"--config (\S+)", capsys.readouterr().out)}
        run(monkeypatch, "write", str(tmp_path), "--row", row)
        assert named
        assert named <= {*tmp_path.iterdir()}

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
        assert not checked.error
        assert checked.loss > 0

    @pytest.mark.slow
    def test_a_row_that_starts_from_another_one_takes_its_weights(self) -> None:
        before, checked = check([ROWS["subpixel-t1-l2"]], size=128)
        assert (before.row.id, checked.row.id) == ("subpixel-300w-lp", "subpixel-t1-l2")
        assert not before.error
        assert not checked.error

    def test_a_row_whose_start_cannot_be_read_does_not_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("train.tables.check.starts", lambda row, rows: [])
        (checked,) = check([ROWS["subpixel-t1-l2"]], size=128)
        assert "subpixel-300w-lp/last.ckpt" in checked.error

    def test_a_row_that_does_not_run_is_recorded_and_the_others_go_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """At 128 pixels the maps are too small for 16 x 16 decimals."""
        rows = {name: ROWS[name] for name in ("hih-t9-16", "hih-t9-4")}
        monkeypatch.setattr("train.tables.__main__.ROWS", rows)
        path = tmp_path / "check.json"
        assert run(monkeypatch, "check", "--size=128", f"--report={path}") == 2
        said = capsys.readouterr()
        assert "of 2 trainings 1 did not run: hih-t9-16" in said.err
        report = json.loads(path.read_text())
        assert (report["commit"], report["size"], report["steps"]) == (commit(), 128, 2)
        bad, good = report["trainings"]
        assert (bad["training"], bad["status"], good["training"], good["status"]) == ("hih-t9-16", 1, "hih-t9-4", 0)
        assert "got 32 cells and 16 decimals" in bad["error"]
        assert good["loss"] > 0
        assert good["seconds"] > 0
        assert len([line for line in path.read_text().splitlines() if '"training"' in line]) == 2

    def test_a_report_that_cannot_be_written_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").touch()
        assert run(monkeypatch, "check", "--row=hih-t9-4", f"--report={tmp_path / 'file/check.json'}") == 2
        assert "check.json cannot be written" in capsys.readouterr().err
