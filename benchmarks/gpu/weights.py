"""Makes a checkpoint from the weights of a training on a GPU.

python -m benchmarks.gpu.weights --folder RESULTS --root 300W --output runs/hourglass.ckpt
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import lightning
import torch

from benchmarks._lib.gpu.nets import HOURGLASS, configured
from benchmarks._lib.gpu.training import RECIPE
from benchmarks._lib.gpu.weights import is_unused, read_halves
from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.system.files import write_whole


def join(folder: Path, root: Path, output: Path, options: list[str] | None = None) -> None:
    """Make a checkpoint, as train.run writes them, of the weights that a training on a GPU brought back.

    Args:
        folder: the results, with weights.0.pt and so on.
        root: 300W, whose validation faces export.run verifies the checkpoint on.
        output: the .ckpt file to write.
        options: those of train.run that the training had besides its recipe; none if it was not rehearsed.
    """
    weights, epoch = read_halves(folder)
    more = (f"--config={RECIPE}", f"--data.source.init_args.root={root}", *(options or ()))
    task, data = configured(HOURGLASS, *more)
    own = task.state_dict()
    if missing := sorted(own.keys() - weights.keys() - {name for name in own if is_unused(name, own)}):
        raise TrackerError(f"{folder}: the weights lack {missing[0]}; they are of another net")
    try:
        task.load_state_dict({**own, **weights})
    except RuntimeError as error:
        raise TrackerError(f"{folder}: the weights are of another net: {str(error).splitlines()[-1].strip()}") from None
    content = io.BytesIO()
    torch.save(
        {
            "epoch": epoch,
            "global_step": 0,
            "pytorch-lightning_version": lightning.__version__,
            "state_dict": task.state_dict(),
            task.CHECKPOINT_HYPER_PARAMS_KEY: dict(task.hparams),
            data.CHECKPOINT_HYPER_PARAMS_KEY: dict(data.hparams),
        },
        content,
    )
    try:
        write_whole(output, content.getvalue())
    except OSError as error:
        raise TrackerError(f"{output}: cannot write the checkpoint: {error.strerror}") from None
    print(f"{output}: epoch {epoch}; now `python -m export.run --checkpoint {output} ...`")


def main() -> int:
    """Run the command line."""
    return run_command(join, "benchmarks.gpu.weights")


if __name__ == "__main__":
    sys.exit(main())
