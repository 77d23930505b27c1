"""The command line of the trainer: Lightning's, with what every training of this project shares."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, WeightAveraging
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from tracker.cli.config_files import guard_loader
from tracker.errors import TrackerError
from tracker.system.files import held_folder
from train.callbacks.averaging import WeightAverage
from train.callbacks.pause import PauseWhileFileExists
from train.callbacks.throughput import Throughput
from train.checkpoint_io import AtomicCheckpointIO, CheckpointWriteError
from train.checkpoints import expect_no_larger, expect_state, load_weights, read_checkpoint
from train.errors import SetupError
from train.exported import expect_start
from train.loaders import FaceData
from train.objectives.base import READING
from train.option_errors import TrainingParser
from train.packaged_configs import with_found_configs
from train.report import Report
from train.task import LandmarkTask

LINKED = ("size", "views", "seed")  # options of the task that follow from others
ANSWER = ("net", "objective", "scheme", "size")  # options of the task that decide what a checkpoint answers
FREE = {f"objective.{name}" for name in READING}  # of them those that may change when it is tested


class TrainingCLI(LightningCLI):
    """LightningCLI with what every training of this project shares.

    The crop's size and the views of a face are set once, for the data and the task, and the seed once for all. A
    training keeps everything in `trainer.default_root_dir`: loggers, checkpoints and the average of the weights are set
    up there, unless the configuration names its own.
    """

    @classmethod
    def run(cls, **options: Any) -> TrainingCLI:
        """Run the command line of LandmarkTask and FaceData.

        Args:
            **options: of LightningCLI, such as args in place of sys.argv.
        """
        guard_loader()
        return cls(
            LandmarkTask,
            FaceData,
            seed_everything_default=1,
            parser_class=TrainingParser,
            parser_kwargs={"allow_abbrev": False},
            save_config_kwargs={"overwrite": True},  # a resumed run writes into the same folder
            **options,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return fit, validate and test, with the options that Lightning skips."""
        skipped = LightningCLI.subcommands()
        return {name: skipped[name] | {"weights_only"} for name in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of this project, and link those that are set once."""
        parser.add_argument("--overwrite", action="store_true", help="replace the training in the same folder")
        parser.add_argument("--trust", help="packages besides train whose classes a checkpoint may name: a,b")
        parser.add_lightning_class_args(WeightAverage, "average")
        parser.add_lightning_class_args(Report, "report")
        parser.set_defaults({"report.folder": "out/test", "trainer.default_root_dir": "runs/training"})
        parser.link_arguments("data.size", "model.size")
        parser.link_arguments("data.views", "model.views")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the options. Where a checkpoint is given, its own options stand unless the user gives others.

        Raises:
            CheckpointError: the checkpoint cannot be used.
            SetupError: no checkpoint is given where one is needed, or options contradict it.
        """
        arguments = sys.argv[1:] if args is None else args
        try:
            if not isinstance(arguments, list):
                self.config = parser.parse_object(arguments)
                return
            arguments = with_found_configs(arguments, "train")
            path, command = _options(arguments).ckpt_path, None
            if path is None:
                self.config = parser.parse_args(arguments)
                if command := self.config.get("subcommand"):
                    path = self.config[command].ckpt_path  # one that a configuration names
            if path is not None:
                self._parse_over_checkpoint(parser, arguments, path)
            elif command in ("validate", "test"):
                raise SetupError(f"{command} needs a checkpoint: add --ckpt_path, such as runs/edge68/best.ckpt")
        except UnicodeDecodeError:
            parser.error("--config expected a YAML file, got one that is not text")

    def _parse_over_checkpoint(self, parser: LightningArgumentParser, arguments: Sequence[str], path: str) -> None:
        """Parse the options on top of those that the checkpoint was trained with."""
        at = next((i for i, argument in enumerate(arguments) if argument in self.subcommands()), None)
        if at is None:
            parser.parse_args(arguments)  # says what is wrong, and ends
        assert at is not None
        command = arguments[at]
        self.checkpoint = read_checkpoint(path, _options(arguments).trust or "", resume=command == "fit")
        model, data = (
            _plain({name: value for name, value in self.checkpoint[part].items() if name != "_instantiator"})
            for part in ("hyper_parameters", "datamodule_hyper_parameters")
        )
        base = {"model": {name: model[name] for name in model if name not in LINKED}, "data": data}
        base["data"].pop("seed", None)
        base["seed_everything"] = model.get("seed")
        whole = [*arguments[: at + 1], "--config", yaml.safe_dump(base), *arguments[at + 1 :]]
        self.config = parser.parse_args(whole)
        asked = _flat(_plain(self.config[command].model.as_dict()))
        for name, trained in sorted(_flat(model).items()):
            binding = command == "fit" or (name.partition(".")[0] in ANSWER and name not in FREE)
            if binding and name != "start" and asked.get(name) != trained:
                raise SetupError(
                    f"{path} was trained with model.{name} = {trained}, the options say {asked.get(name)}; leave the "
                    f"option out, or begin a new training from its weights by --model.start {path}"
                )
        expect_no_larger(LandmarkTask, self.checkpoint, path)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would replace the user's options by the checkpoint's here, without a word."""

    def before_fit(self) -> None:
        """Check what a training goes on from, and refuse to write over another one.

        Raises:
            CheckpointError: the checkpoint's weights do not fit the net.
            SetupError: the training's folder holds checkpoints that it does not go on from.
        """
        path, folders = self._get(self.config, "ckpt_path"), set()
        if path is None and self.model.start is not None:
            expect_start(self.model.start)
        for callback in self.trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath:
                folders.add(Path(os.path.realpath(callback.dirpath)))
        if path is not None:
            load_weights(self.model, self.checkpoint, path)
            expect_state(self.model, self.checkpoint, path)
            folders.discard(Path(os.path.realpath(path)).parent)
        for folder in sorted(folders):
            found = sorted(each for each in folder.glob("*.ckpt") if not each.name.startswith("."))
            if found and not self._get(self.config, "overwrite"):
                raise SetupError(
                    f"{folder} holds a training already; go on with it by --ckpt_path {found[-1]}, choose another "
                    "folder by --trainer.default_root_dir, or replace it by --overwrite"
                )

        self._hold(Path(self.trainer.default_root_dir))

    def _run_subcommand(self, subcommand: str) -> None:
        with ExitStack() as self._held:
            super()._run_subcommand(subcommand)

    def _hold(self, folder: Path) -> None:
        """Keep other trainings out of the folder until this one ends, where the system can lock folders."""
        if not self.trainer.is_global_zero:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._held.enter_context(held_folder(folder))
        except OSError as error:
            raise SetupError(f"{folder}: cannot write a training there: {error.strerror}") from None

    def before_validate(self) -> None:
        """Check that the checkpoint's weights fit the net; raise CheckpointError if they do not."""
        load_weights(self.model, self.checkpoint, self._get(self.config, "ckpt_path"))

    before_test = before_validate

    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:
            raise SetupError(f"seed_everything: {error}") from None

    def instantiate_classes(self) -> None:
        """Build the net, the data and the trainer; raise SetupError if values do not fit."""
        try:
            super().instantiate_classes()
        except TrackerError:
            raise
        except (MisconfigurationException, ModuleNotFoundError, RuntimeError, TypeError, ValueError) as error:
            raise SetupError(" ".join(str(error).split())) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer, with the loggers, callbacks and plugins that every training has."""
        options = self._get(self.config_init, "trainer")
        folder, logger = Path(options.default_root_dir), options.logger
        callbacks: list[Callback] = [self._get(self.config_init, "report"), *_as_list(options.callbacks)]
        if self.subcommand in (None, "fit"):
            if logger is None:
                logger = [TensorBoardLogger(folder, "tensorboard"), CSVLogger(folder, "csv")]
            callbacks.append(PauseWhileFileExists(folder / "pause"))
            if not any(isinstance(callback, WeightAveraging) for callback in callbacks):
                callbacks.append(self._get(self.config_init, "average"))
            if options.enable_checkpointing is not False and not any(isinstance(c, ModelCheckpoint) for c in callbacks):
                callbacks += _checkpoints(folder, self.datamodule.source.chooses)
            if logger:
                callbacks += [LearningRateMonitor(), Throughput()]
        else:
            options.enable_checkpointing = False
        plugins = [*_as_list(options.plugins), AtomicCheckpointIO()]
        config = {**options, "callbacks": callbacks, "logger": logger, "plugins": plugins, **kwargs}
        return self._instantiate_trainer(config, [])


def told(error: Exception) -> str | None:
    """Return what a user is told of an error in the middle of a training; None for a defect of the program.

    An error in a loader's process comes with that process's traceback: its end says what happened.

    Args:
        error: that was raised.
    """
    if isinstance(error, (TrackerError, CheckpointWriteError)):
        sentence = str(error).rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2]
        return " ".join(sentence.split())
    if _is_of_restoring(error):
        return (
            f"the checkpoint of --ckpt_path is damaged ({' '.join(str(error).split())[:200] or type(error).__name__}); "
            "begin a new training from its weights by --model.start"
        )
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU has not enough memory; set a smaller data.batch"
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        return (
            "a process that loads faces was killed, most often because the memory is full; set fewer data.workers or a "
            "smaller data.keep_gb, and go on from the last checkpoint with --ckpt_path"
        )
    return None


def _is_of_restoring(error: Exception) -> bool:
    """Tell whether it was raised while Lightning put the state of a checkpoint back, which is data of any kind."""
    return any(
        frame.f_code.co_name.startswith("restore") and Path(frame.f_code.co_filename).stem == "checkpoint_connector"
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _checkpoints(folder: Path, choose: bool) -> list[Callback]:
    """Return the callback for last.ckpt, and that for best.ckpt if weights are chosen by the validation error."""
    # save_last would write only when the best changes
    last = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    best = ModelCheckpoint(folder, "best", monitor="val_nme", enable_version_counter=False)
    return [best, last] if choose else [last]


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the options that are needed before the others can be parsed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("--trust")
    try:
        return parser.parse_known_args(arguments)[0]
    except argparse.ArgumentError:  # an option without its value, which the real parser reports
        return argparse.Namespace(ckpt_path=None, trust=None)


def _as_list(value: Any) -> list[Any]:
    return [*value] if isinstance(value, (list, tuple)) else [value] if value is not None else []


def _plain(value: Any) -> Any:
    """Return the value as YAML has it."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of a nested table by their dotted names, without the words class_path and init_args."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        dotted = above if name in ("class_path", "init_args") and above else f"{above}.{name}" if above else name
        flat.update(_flat(value, dotted) if isinstance(value, Mapping) else {dotted: value})
    return flat
