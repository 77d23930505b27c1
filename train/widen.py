"""python -m train.widen --checkpoint A --channels [128,192,256,256] --output B: a wider net that answers as A's does.

The old channels keep their weights and do not read the new ones, which begin at random: so the points are the same
until the training goes on (Chen et al., "Net2Net", ICLR 2016, with new channels instead of copies).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from landmark_tracker import refuse_shadowed
from train.extras import needs_extra

refuse_shadowed(__name__, "train.widen")

with needs_extra(__name__, "train.widen", "train", "torch", "lightning"):
    import torch
    from torch import Tensor

    from tracker.cli.command import run_command
    from tracker.errors import TrackerError
    from tracker.system.files import is_same
    from train.checkpoint_io import save_weights
    from train.checkpoints import CheckpointError, build, load_weights, read_checkpoint
    from train.errors import check_seed
    from train.task import LandmarkTask


def main() -> int:
    """Run the command line."""
    return run_command(widen, "train.widen")


def widen(checkpoint: Path, channels: tuple[int, ...], output: Path, seed: int = 1, trust: str = "") -> None:
    """Write a checkpoint of a wider EdgeHourglass whose points are those of a narrower one.

    The result can be exported, tested and started from (model.start), but a training cannot be resumed from it.

    Args:
        checkpoint: that train.run wrote.
        channels: of the wider net, by level of the hourglass; at least those of the checkpoint, and equal in
            neighbouring levels where those are.
        output: the .ckpt file to write.
        seed: of the new channels' weights.
        trust: packages, separated by commas, whose classes the checkpoint may name besides those of train.

    Raises:
        TrackerError: if the file is no checkpoint of an EdgeHourglass, a level would be narrower, neighbouring levels
            would become equal or unequal, the seed is none, or the output cannot be written.
    """
    if is_same(output, checkpoint):
        raise TrackerError(f"--output: expected another file than the checkpoint that is read, got {output}")
    check_seed("--seed", seed)
    source = read_checkpoint(checkpoint, trust)
    parameters = copy.deepcopy(source["hyper_parameters"])
    settings = parameters["net"].get("init_args", {})
    own = [*settings.get("channels", ())]
    if not parameters["net"]["class_path"].endswith("EdgeHourglass") or not own or settings.get("cell_head"):
        raise CheckpointError(f"{checkpoint}: expected an EdgeHourglass with channels and without a cell_head")
    if len(own) != len(channels) or any(new < old for new, old in zip(channels, own)):
        raise TrackerError(
            f"--channels: expected {len(own)} numbers, none below those of {checkpoint}, {own}; got {[*channels]}"
        )
    _expect_same_layers(own, channels)
    narrow = build(LandmarkTask, source, checkpoint)
    load_weights(narrow, source, checkpoint)
    settings["channels"] = [*channels]
    torch.manual_seed(seed)
    wide = build(LandmarkTask, {**source, "hyper_parameters": parameters}, checkpoint, larger=True)
    weights = wide.state_dict()
    for name, value in narrow.state_dict().items():
        weights[name] = _widened(value, weights[name])
    save_weights({**source, "hyper_parameters": parameters, "state_dict": weights}, output)
    print(f"{output}: {checkpoint} with the channels {[*channels]}")


def _expect_same_layers(own: Sequence[int], channels: Sequence[int]) -> None:
    """Raise TrackerError if neighbouring levels become equal or unequal: a convolution joins unequal ones."""
    for level, (old, new) in enumerate(zip(pairwise(own), pairwise(channels)), start=1):
        if (old[0] == old[1]) != (new[0] == new[1]):
            wanted = "equal" if old[0] == old[1] else "different"
            raise TrackerError(
                f"--channels: expected {wanted} numbers for the levels {level} and {level + 1}, which have {old[0]} "
                f"and {old[1]} in the checkpoint; got {new[0]} and {new[1]}"
            )


def _widened(old: Tensor, new: Tensor) -> Tensor:
    """Return the wide tensor with the narrow one in its first channels, which read none of the new channels."""
    result = new.clone()
    if old.dim() > 1:
        result[: old.shape[0], old.shape[1] :] = 0
    result[tuple(slice(0, side) for side in old.shape)] = old
    return result


if __name__ == "__main__":
    sys.exit(main())
