"""python -m train.run fit --config configs/train/edge68.yaml

The commands are fit, validate and test. Every option of the task, the data and the trainer can be set in a YAML file or
on the command line. `trainer.default_root_dir` is the training's folder: it gets best.ckpt (the least validation
error), last.ckpt, config.yaml and the logs. `fit --ckpt_path runs/edge68/last.ckpt` resumes a training with the options
it was started with; `test --ckpt_path runs/edge68/best.ckpt --report.folder out/test` reports on the test faces. While
a file named pause lies in the training's folder, the training waits.
"""

from __future__ import annotations

import sys
import warnings

from tracker.errors import TrackerError
from train.checkpoint_io import CheckpointWriteError
from train.command_line import TrainingCLI
from train.data import FaceData
from train.datasets.sample import DatasetError
from train.task import LandmarkTask, SetupError


def main() -> None:
    """Run the command line; data or weights that are not as expected end it with one sentence."""
    try:
        with warnings.catch_warnings():
            for harmless in (
                "Checkpoint directory .* exists and is not empty",  # it holds the configuration and the logs
                "Be aware that when using `ckpt_path`, callbacks",  # those of a training are not needed to judge it
            ):
                warnings.filterwarnings("ignore", message=harmless)
            TrainingCLI(
                LandmarkTask,
                FaceData,
                seed_everything_default=1,
                parser_kwargs={"allow_abbrev": False},
                save_config_kwargs={"overwrite": True},  # a resumed run writes into the same folder
            )
    except (DatasetError, SetupError, CheckpointWriteError, TrackerError) as error:
        sys.exit(f"train.run: {error}")


if __name__ == "__main__":
    main()
