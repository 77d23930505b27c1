"""What train.run does with checkpoints, folders and options that contradict one another."""

from __future__ import annotations

import http.server
import json
import math
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from tracker.datasets.sample import DatasetError
from tracker.system.files import hold
from train.command_line import told
from train.run import main

Fit = Callable[..., None]


@pytest.fixture
def refused(fit_tiny: Fit) -> Callable[..., str]:
    """Runs fit_tiny and returns the one sentence that it ends with."""

    def fit(folder: Path, *options: str) -> str:
        with pytest.raises(SystemExit) as end:
            fit_tiny(folder, *options)
        sentence = str(end.value)
        assert sentence.startswith("train.run: ")
        assert "\n" not in sentence
        return sentence

    return fit


def run(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.run", *arguments])
        main()


class TestResuming:
    @pytest.mark.parametrize(
        ("option", "name", "trained"),
        [
            ("--model.learning_rate=1e-9", "model.learning_rate", "0.002"),
            ("--model.net.channels=[16,16]", "model.net.channels", "[8, 8]"),
            ("--model.objective.epsilon=0.3", "model.objective.epsilon", "1.0"),
            ("--model.objective=train.objectives.Star", "model.objective", "train.objectives.Structured"),
            ("--data.size=64", "model.size", "32"),
            ("--seed_everything=7", "model.seed", "1"),
            ("--data.views=2", "model.views", "1"),
        ],
    )
    def test_with_other_options_is_refused(
        self, refused: Callable[..., str], checkpoint: Path, tmp_path: Path, option: str, name: str, trained: str
    ) -> None:
        sentence = refused(tmp_path, option, f"--ckpt_path={checkpoint}")
        assert f"{checkpoint} was trained with {name} = {trained}, the options say " in sentence
        assert "leave the option out" in sentence
        assert not list(tmp_path.iterdir())

    def test_how_maps_are_read_may_change_when_a_net_is_tested(
        self, refused: Callable[..., str], fit_tiny: Fit, w300: Path, tmp_path: Path
    ) -> None:
        """Subpixel's Table 3 is one training, read with several windows."""
        fit_tiny(tmp_path, "--model.objective=train.objectives.Subpixel", "--trainer.max_epochs=1")
        shown, errors = f"--ckpt_path={tmp_path / 'last.ckpt'}", {}
        root = shutil.copytree(w300, tmp_path / "300w")
        shutil.copytree(w300 / "afw", root / "lfpw/testset")
        rest = (
            f"--data.source.root={root}",
            "--data.source.test_split=lfpw",
            "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false",
        )
        for option in ("window=5", "window=3", "decoder=argmax", "temperature=1.5"):
            report = tmp_path / option
            run("test", shown, f"--model.objective.{option}", f"--report.folder={report}", *rest)
            errors[option] = json.loads((report / "report.json").read_text())
        assert len({*map(str, errors.values())}) == len(errors)
        assert "model.objective.sigma_cells = 1.0, the options say 2.0" in self.told(
            "test", shown, "--model.objective.sigma_cells=2.0"
        )
        assert "model.objective.window = 5" in refused(
            tmp_path, "--model.objective=train.objectives.Subpixel", "--model.objective.window=3", shown
        )

    def told(self, *arguments: str) -> str:
        """Return the sentence that a command ends with."""
        with pytest.raises(SystemExit) as end:
            run(*arguments)
        return str(end.value)

    def test_options_that_are_not_given_are_those_of_the_checkpoint(self, fit_tiny: Fit, tmp_path: Path) -> None:
        fit_tiny(tmp_path, "--model.objective.samples=3", "--model.weight_decay=0.125", "--trainer.max_epochs=1")
        fit_tiny(tmp_path, f"--ckpt_path={tmp_path / 'last.ckpt'}")
        last = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert last["hyper_parameters"]["objective"]["init_args"]["samples"] == 3
        assert (
            last["hyper_parameters"]["weight_decay"] == last["optimizer_states"][0]["param_groups"][0]["weight_decay"]
        )
        assert last["hyper_parameters"]["weight_decay"] == 0.125
        assert last["global_step"] == 6

    def test_options_of_the_data_may_change(self, fit_tiny: Fit, tmp_path: Path) -> None:
        fit_tiny(tmp_path, "--trainer.max_epochs=1")
        fit_tiny(tmp_path, "--data.workers=1", "--data.augmentation.flip=0", f"--ckpt_path={tmp_path / 'last.ckpt'}")
        data = torch.load(tmp_path / "last.ckpt", weights_only=True)["datamodule_hyper_parameters"]
        assert (data["workers"], data["augmentation"]["flip"]) == (1, 0)

    def test_a_damaged_checkpoint_is_one_sentence(
        self, refused: Callable[..., str], checkpoint: Path, tmp_path: Path
    ) -> None:
        raw = torch.load(checkpoint, weights_only=True)
        raw["state_dict"].pop("net.heads.0.weight")
        torch.save(raw, tmp_path / "damaged.ckpt")
        assert "net.heads.0.weight is missing" in refused(tmp_path / "r", f"--ckpt_path={tmp_path / 'damaged.ckpt'}")

    @pytest.mark.parametrize(
        "change",
        [
            lambda raw: raw["optimizer_states"].clear(),
            lambda raw: raw["optimizer_states"].append(raw["optimizer_states"][0]),
            lambda raw: raw["optimizer_states"][0].pop("param_groups"),
            lambda raw: raw["optimizer_states"][0]["param_groups"][0]["params"].pop(),
            lambda raw: raw["optimizer_states"][0]["state"][0].pop("exp_avg"),
            lambda raw: raw["optimizer_states"][0]["state"][0].update(exp_avg=torch.zeros(7)),
            lambda raw: raw["optimizer_states"][0]["state"].update({999: raw["optimizer_states"][0]["state"][0]}),
            lambda raw: raw["optimizer_states"][0]["param_groups"][0].update(lr="fast"),
            lambda raw: raw["optimizer_states"][0]["param_groups"][0].update(betas=None),
            lambda raw: raw["optimizer_states"][0]["param_groups"][0].update(eps=[1e-8]),
            lambda raw: raw["optimizer_states"][0]["param_groups"][0].update(weight_decay=math.nan),
            lambda raw: raw["optimizer_states"][0]["param_groups"][0].pop("lr"),
            lambda raw: raw["lr_schedulers"][0].update(base_lrs="x"),
            lambda raw: raw["lr_schedulers"][0].update(_step_count="x"),
            lambda raw: raw["lr_schedulers"][0].update(_last_lr=None),
            lambda raw: raw["lr_schedulers"].clear(),
            lambda raw: raw["lr_schedulers"][0].clear(),
            lambda raw: raw["loops"].clear(),
            lambda raw: raw["loops"]["fit_loop"]["epoch_progress"]["current"].update(completed="many"),
        ],
    )
    def test_a_state_that_does_not_fit_is_one_sentence(
        self, refused: Callable[..., str], checkpoint: Path, tmp_path: Path, change: Callable[[Any], object]
    ) -> None:
        raw = torch.load(checkpoint, weights_only=True)
        change(raw)
        torch.save(raw, path := tmp_path / "damaged.ckpt")
        assert f"{path}: the state of its optimizer is damaged" in refused(tmp_path / "r", f"--ckpt_path={path}")
        assert not (tmp_path / "r").exists()

    @pytest.mark.parametrize("part", ["callbacks", "loops"])
    def test_any_other_state_is_one_sentence(
        self, refused: Callable[..., str], checkpoint: Path, tmp_path: Path, part: str
    ) -> None:
        raw = torch.load(checkpoint, weights_only=True)
        if part == "callbacks":
            raw["callbacks"] = {name: {"a": 1} for name in raw["callbacks"]}
        else:
            raw["loops"]["fit_loop"]["state_dict"] = [1]
            raw["loops"]["fit_loop"]["epoch_progress"]["total"] = 5
        torch.save(raw, path := tmp_path / "damaged.ckpt")
        assert "the checkpoint of --ckpt_path is damaged (" in refused(tmp_path / "r", f"--ckpt_path={path}")

    def test_two_trainings_in_one_folder(self, refused: Callable[..., str], fit_tiny: Fit, tmp_path: Path) -> None:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        hold(descriptor, tmp_path)  # as a training that runs does
        assert f"{tmp_path} is being written by another run" in refused(tmp_path)
        assert not list(tmp_path.iterdir())
        os.close(descriptor)
        fit_tiny(tmp_path, "--trainer.max_epochs=1")
        (tmp_path / ".last.part.ckpt").touch()  # as a training that was killed leaves
        assert "go on with it by --ckpt_path " + str(tmp_path / "last.ckpt") in refused(tmp_path)
        fit_tiny(tmp_path, f"--ckpt_path={tmp_path / 'last.ckpt'}")

    def test_what_is_no_checkpoint_is_one_sentence(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "text.ckpt").write_text("no weights")
        for path, reason in (
            (tmp_path / "gone.ckpt", "No such file"),
            (tmp_path / "text.ckpt", "expected a checkpoint"),
            (tmp_path, "cannot read the checkpoint: it is a folder"),
        ):
            assert reason in refused(tmp_path / "r", f"--ckpt_path={path}")

    def test_a_url_is_not_opened(self, refused: Callable[..., str], server: str, tmp_path: Path) -> None:
        class Payload:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "executed"),)

        torch.save({"state_dict": Payload()}, tmp_path / "foreign.ckpt")
        assert "got a URL; download it first" in refused(tmp_path / "r", f"--ckpt_path={server}/foreign.ckpt")
        assert "got a URL; download it first" in refused(tmp_path / "r", f"--model.start={server}/foreign.ckpt")
        assert not (tmp_path / "executed").exists()

    def test_a_class_of_another_package_is_not_imported(
        self, refused: Callable[..., str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "payload_package.py").write_text(f"import os; os.mkdir({str(tmp_path / 'executed')!r})")
        monkeypatch.syspath_prepend(tmp_path)
        raw = torch.load(checkpoint, weights_only=True)
        raw["hyper_parameters"]["net"] = {"class_path": "payload_package.Net", "init_args": {}}
        torch.save(raw, tmp_path / "foreign.ckpt")
        assert "add --trust payload_package" in refused(tmp_path / "r", f"--ckpt_path={tmp_path / 'foreign.ckpt'}")
        assert not (tmp_path / "executed").exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server of the test's folder."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class TestFolder:
    def test_that_has_a_training_is_kept(self, fit_tiny: Fit, refused: Callable[..., str], tmp_path: Path) -> None:
        fit_tiny(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.glob("*.ckpt")}
        for options in ([], ["--trainer.max_epochs=1"]):
            sentence = refused(tmp_path, *options)
            assert (
                f"{tmp_path} holds a training already; go on with it by --ckpt_path {tmp_path / 'last.ckpt'}"
                in sentence
            )
            assert "--overwrite" in sentence
        assert {path.name: path.read_bytes() for path in tmp_path.glob("*.ckpt")} == before

    def test_of_another_training_is_kept_when_one_is_resumed(
        self, fit_tiny: Fit, refused: Callable[..., str], checkpoint: Path, tmp_path: Path
    ) -> None:
        fit_tiny(tmp_path)
        assert "holds a training already" in refused(tmp_path, f"--ckpt_path={checkpoint}")

    def test_is_replaced_where_that_is_asked_for(self, fit_tiny: Fit, tmp_path: Path) -> None:
        fit_tiny(tmp_path)
        fit_tiny(tmp_path, "--trainer.max_epochs=1", "--overwrite")
        assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 0

    def test_is_said_once(self, fit_tiny: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Everything that a training writes lies in its folder."""
        monkeypatch.chdir(tmp_path)
        fit_tiny(Path("run"))
        assert os.listdir(tmp_path) == ["run"]
        assert {"best.ckpt", "last.ckpt", "csv", "tensorboard"} <= {*os.listdir("run")}


def test_where_nothing_is_chosen_the_last_weights_are_the_result(fit_tiny: Fit, tmp_path: Path) -> None:
    fit_tiny(tmp_path, "--data.source.validation=none")
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["last.ckpt"]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 8  # 12 faces, 3 a step


class Failing(Dataset[int]):
    """Fails as soon as a loader's process reads from it."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise DatasetError("photos/a.jpg: expected a picture, this one cannot be decoded")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("broken", "photos/a.jpg: expected a picture, this one cannot be decoded"),
        ("killed", "a process that loads faces was killed, most often because the memory is full; set fewer"),
    ],
)
def test_what_happens_in_a_loader_is_one_sentence(how: str, sentence: str) -> None:
    with pytest.raises((DatasetError, RuntimeError)) as error:
        list(DataLoader(Failing(how), num_workers=1))
    said = told(error.value)
    assert said is not None
    assert said.startswith(sentence)
    assert "\n" not in said


class TestCommands:
    @pytest.mark.parametrize("command", ["validate", "test"])
    def test_that_judge_a_checkpoint_need_one(self, command: str, w300: Path) -> None:
        options = [
            *("--data.source=train.datasets.W300", f"--data.source.root={w300}"),
            *("--model.net=train.models.edge.EdgeHourglass", "--model.objective=train.objectives.Structured"),
        ]
        with pytest.raises(SystemExit, match=f"train.run: {command} needs a checkpoint: add --ckpt_path"):
            run(command, *options)

    def test_validate_needs_nothing_but_the_checkpoint(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run("validate", f"--ckpt_path={checkpoint}", "--trainer.accelerator=cpu", "--trainer.logger=false")
        assert "val_nme" in capsys.readouterr().out

    def test_what_the_cluster_asks_for_and_lightning_cannot_do(
        self, refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SLURM's --ntasks, as most batch scripts have it."""
        for name, value in {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "edge68", "SLURM_NTASKS": "2"}.items():
            monkeypatch.setenv(name, value)
        assert "Use `--ntasks-per-node=2` instead" in refused(tmp_path)

    def test_a_report_that_cannot_be_written_is_known_before_the_work(
        self, checkpoint: Path, w300: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        shutil.copytree(w300 / "afw", tmp_path / "300w/lfpw/testset")
        with pytest.raises(SystemExit, match=r"train.run: --report.folder .*/file/report: cannot be written: Not a"):
            run(
                "test",
                f"--ckpt_path={checkpoint}",
                *(f"--data.source.root={tmp_path / '300w'}", "--data.source.test_split=lfpw"),
                *("--trainer.accelerator=cpu", "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}"),
                f"--report.folder={tmp_path / 'file/report'}",
            )

    def test_predict_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as end:
            run("predict")
        assert end.value.code == 2
        assert "predict" in capsys.readouterr().err
