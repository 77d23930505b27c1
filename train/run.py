"""The trainer: python -m train.run fit --config configs/train/edge68.yaml.

The commands are fit, validate and test. Every option of the task, the data and the trainer can be set in a YAML file or
on the command line. `trainer.default_root_dir` is the training's folder: it gets best.ckpt (the least validation
error), last.ckpt, config.yaml and the logs. `fit --ckpt_path runs/edge68/last.ckpt` resumes a training with the options
it was started with; `test --ckpt_path runs/edge68/best.ckpt --report.folder out/test` reports on the test faces. While
a file named pause lies in the training's folder, the training waits.
"""

from __future__ import annotations

import logging
import sys
import warnings

from landmark_tracker import refuse_shadowed
from train.extras import needs_extra

NAME = "train.run"
HARMLESS = (
    "Checkpoint directory .* exists and is not empty",  # it holds the configuration and the logs
    "Be aware that when using `ckpt_path`, callbacks",  # those of a training are not needed to judge it
)


def main() -> None:
    """Run the command line.

    A user's mistake ends it with one sentence and status 1; wrong options and missing packages with 2. Ctrl-C ends it
    with status 130, SIGTERM with 143, SIGHUP with 129; the checkpoints of the epochs before stay.
    """
    refuse_shadowed(__name__, NAME)
    with needs_extra(__name__, NAME, "train"):
        from tracker.system.process import EXIT_SIGPIPE, INTERRUPTED, Ended, ending_signals, standard_streams
    ended: list[Ended] = []
    try:
        with standard_streams(), ending_signals() as ended:
            _train()
    except SystemExit as stop:  # Lightning's, too, which catches KeyboardInterrupt
        if ended:
            sys.exit(ended[0].status)
        if isinstance(stop.__context__, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        raise
    except KeyboardInterrupt:
        sys.exit(ended[0].status if ended else INTERRUPTED)
    except BrokenPipeError:
        sys.exit(EXIT_SIGPIPE)


def is_no_advert(record: logging.LogRecord) -> bool:
    """Tell whether a message of Lightning is about the training, not a tip to install its makers' other packages."""
    return "Tip: For seamless cloud" not in record.getMessage()


def _train() -> None:
    with needs_extra(__name__, NAME, "train"):
        from tracker.system.process import command_name
        from train.command_line import TrainingCLI, told
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(is_no_advert)
    with warnings.catch_warnings():
        for harmless in HARMLESS:
            warnings.filterwarnings("ignore", message=harmless)
        try:
            TrainingCLI.run()
        except Exception as error:
            if isinstance(error, BrokenPipeError) or (sentence := told(error)) is None:
                raise
            sys.exit(f"{command_name(NAME)}: {sentence}")


if __name__ == "__main__":
    main()
