"""python -m train.run fit --config configs/train/edge68.yaml

Lightning's command line: fit, validate, test; every option of the task, the data and the trainer can be set in the
YAML or on the command line. `fit --ckpt_path runs/edge68/last.ckpt` resumes, `test --ckpt_path runs/edge68/best.ckpt
--report.folder out/test` reports on the test faces.
"""

from __future__ import annotations

import sys

from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from train.data import FaceData
from train.datasets.sample import DatasetError
from train.report import Report
from train.task import LandmarkTask, SetupError


class TrainingCLI(LightningCLI):
    """LightningCLI in which the crop's size and the views of a face are set once, for the data and the task, and the
    seed once for all."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(Report, "report")
        parser.set_defaults({"report.folder": "out/test"})
        parser.link_arguments("data.size", "model.size")
        parser.link_arguments("data.views", "model.views")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        try:
            super().parse_arguments(parser, args)
        except UnicodeDecodeError:
            parser.error("--config expected a YAML file, got one that is no text")


def main() -> None:
    """Run the command line; data or weights that are not as expected end it with one sentence."""
    try:
        TrainingCLI(
            LandmarkTask,
            FaceData,
            seed_everything_default=1,
            parser_kwargs={"allow_abbrev": False},
            save_config_kwargs={"overwrite": True},  # a resumed run writes into the same folder
        )
    except (DatasetError, SetupError) as error:
        sys.exit(f"train.run: {error}")


if __name__ == "__main__":
    main()
