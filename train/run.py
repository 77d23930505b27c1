"""python -m train.run fit --config configs/train/edge68.yaml

Lightning's command line: fit, validate; every option of the task, the data and the trainer can be set in the YAML
or on the command line. `--ckpt_path runs/edge68/last.ckpt` resumes.
"""

from __future__ import annotations

from lightning.pytorch.cli import LightningCLI

from train.data import W300Data
from train.task import LandmarkTask


def main() -> None:
    """Run the command line."""
    LightningCLI(LandmarkTask, W300Data, seed_everything_default=1, parser_kwargs={"allow_abbrev": False})


if __name__ == "__main__":
    main()
