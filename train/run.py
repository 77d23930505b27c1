"""python -m train.run fit --config configs/train/edge68.yaml

Lightning's command line: fit, validate; every option of the task, the data and the trainer can be set in the
YAML or on the command line. `--ckpt_path runs/edge68/last.ckpt` resumes.
"""

from __future__ import annotations

import sys

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from train.data import W300Data
from train.datasets.sample import DatasetError
from train.task import LandmarkTask


class TrainingCLI(LightningCLI):
    """LightningCLI in which the crop's size is set once, for the data and the task."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.size", "model.size")


def main() -> None:
    """Run the command line; a data set that is not as expected ends it with one sentence."""
    try:
        TrainingCLI(
            LandmarkTask,
            W300Data,
            seed_everything_default=1,
            parser_kwargs={"allow_abbrev": False},
            save_config_kwargs={"overwrite": True},  # a resumed run writes into the same folder
        )
    except DatasetError as error:
        sys.exit(f"train.run: {error}")


if __name__ == "__main__":
    main()
