"""python -m train.run fit --config configs/train/edge68.yaml

Lightning's command line with the commands fit, validate and test; every option of the task, the data and the trainer
can be set in a YAML file or on the command line. `trainer.default_root_dir` is the training's folder: it gets best.ckpt
(the least validation error), last.ckpt, config.yaml and the logs. `fit --ckpt_path runs/edge68/last.ckpt` resumes,
`test --ckpt_path runs/edge68/best.ckpt --report.folder out/test` reports on the test faces.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, WeightAveraging
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from train.averaging import WeightAverage
from train.checkpoint_io import AtomicCheckpointIO, CheckpointWriteError
from train.data import FaceData
from train.datasets.sample import DatasetError
from train.pause import PauseWhileFileExists
from train.report import Report
from train.task import LandmarkTask, SetupError
from train.throughput import Throughput


class TrainingCLI(LightningCLI):
    """LightningCLI with what every training of this project shares.

    The crop's size and the views of a face are set once, for the data and the task, and the seed once for all. A
    training keeps everything in `trainer.default_root_dir`: loggers, checkpoints and the average of the weights are set
    up there, unless the configuration names its own.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(WeightAverage, "average")
        parser.add_lightning_class_args(Report, "report")
        parser.set_defaults({"report.folder": "out/test", "trainer.default_root_dir": "runs/training"})
        parser.link_arguments("data.size", "model.size")
        parser.link_arguments("data.views", "model.views")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        try:
            super().parse_arguments(parser, args)
        except UnicodeDecodeError:
            parser.error("--config expected a YAML file, got one that is no text")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        options = self._get(self.config_init, "trainer")
        folder = Path(options.default_root_dir)
        given = options.callbacks if isinstance(options.callbacks, list) else [options.callbacks]
        callbacks: list[Callback] = [self._get(self.config_init, "report"), *filter(None, given)]
        logger = options.logger
        if self.subcommand in (None, "fit"):
            if logger is None:
                logger = [TensorBoardLogger(folder, "tensorboard"), CSVLogger(folder, "csv")]
            average = self._get(self.config_init, "average")
            callbacks += _callbacks_of_a_training(folder, average, callbacks, logs=bool(logger), keep=options)
        plugins = [*(options.plugins or []), AtomicCheckpointIO()]
        config = {**options, "callbacks": callbacks, "logger": logger, "plugins": plugins, **kwargs}
        return self._instantiate_trainer(config, [])


def _callbacks_of_a_training(
    folder: Path, average: WeightAverage, given: list[Callback], logs: bool, keep: Any
) -> list[Callback]:
    """The average, the checkpoints and the log's figures, where the configuration does not bring its own."""
    made: list[Callback] = [PauseWhileFileExists(folder / "pause")]
    if not any(isinstance(callback, WeightAveraging) for callback in given):
        made.append(average)
    if keep.enable_checkpointing is not False and not any(isinstance(c, ModelCheckpoint) for c in given):
        made.append(ModelCheckpoint(folder, "best", monitor="val_nme", enable_version_counter=False))
        # save_last would write only when the best changes
        made.append(ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False))
    if logs:
        made += [LearningRateMonitor(), Throughput()]
    return made


def main() -> None:
    """Run the command line; data or weights that are not as expected end it with one sentence."""
    try:
        with warnings.catch_warnings():
            # A training's folder holds its configuration and logs, and when it is resumed its checkpoints
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            TrainingCLI(
                LandmarkTask,
                FaceData,
                seed_everything_default=1,
                parser_kwargs={"allow_abbrev": False},
                save_config_kwargs={"overwrite": True},  # a resumed run writes into the same folder
            )
    except (DatasetError, SetupError, CheckpointWriteError) as error:
        sys.exit(f"train.run: {error}")


if __name__ == "__main__":
    main()
