"""python -m train.mix --first A --second B --share 0.6 --output C: the weighted mean of two checkpoints' weights.

If B was trained from A, the mean is often better than both: it keeps most of what B has learned, and loses less of what
A knew (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, section 3).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmark_tracker import refuse_shadowed
from train.extras import needs_extra

refuse_shadowed(__name__, "train.mix")

with needs_extra(__name__, "train.mix", "train", "torch", "lightning"):
    from tracker.cli.command import run_command
    from tracker.errors import TrackerError
    from tracker.system.files import is_same
    from train.checkpoint_io import save_weights
    from train.checkpoints import CheckpointError, build, load_weights, read_checkpoint
    from train.task import LandmarkTask


def main() -> int:
    """Run the command line."""
    return run_command(mix, "train.mix")


def mix(first: Path, second: Path, output: Path, share: float = 0.5, trust: str = "") -> None:
    """Write the mean of the averaged weights of two checkpoints, with the configuration of the second.

    The result can be exported, tested and started from (model.start), but a training cannot be resumed from it.

    Args:
        first: a checkpoint that train.run wrote.
        second: another one, of the same net and kind of objective, usually trained on from the first.
        output: the .ckpt file to write.
        share: of the second's weights, from 0 to 1; the first's have the rest.
        trust: packages, separated by commas, whose classes the checkpoints may name besides those of train.

    Raises:
        TrackerError: if a file is no checkpoint or damaged, their weights do not mean the same, or the output cannot be
            written.
    """
    if not 0 <= share <= 1:
        raise TrackerError(f"--share: expected a number from 0 to 1, got {share}")
    if any(is_same(output, each) for each in (first, second)):
        raise TrackerError(f"--output: expected another file than the checkpoints that are read, got {output}")
    one, other = read_checkpoint(first, trust), read_checkpoint(second, trust)
    task = build(LandmarkTask, other, second)
    meant, got = _meaning(build(LandmarkTask, one, first), one), _meaning(task, other)
    for name in meant:
        if name in got and meant[name] != got[name]:
            raise CheckpointError(
                f"{second}: expected weights that mean the same as those of {first}, whose {name} is {meant[name]}, "
                f"got {got[name]}; mix checkpoints of one net and objective"
            )
    load_weights(task, one, first)  # into the second's net: a setting that one of them leaves out may differ
    load_weights(task, other, second)
    weights, others = one["state_dict"], other["state_dict"]
    mixed = {
        name: (1 - share) * weights[name] + share * value if value.is_floating_point() else value
        for name, value in others.items()
    }
    mixed_from = {"share": share, "first_sha256": _digest(first), "second_sha256": _digest(second)}
    save_weights({**other, "state_dict": mixed, "mixed": mixed_from}, output)
    print(f"{output}: {1 - share:g} of {first} and {share:g} of {second}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _meaning(task: LandmarkTask, raw: Mapping[str, Any]) -> dict[str, object]:
    """Return the settings that decide what the weights mean, by name; not those of their training."""
    settings = raw["hyper_parameters"]["net"].get("init_args", {})
    return {
        "size": task.size,
        "scheme": task.scheme.name,
        "objective": type(task.objective).__name__,
        "net": type(task.net).__name__,
        **{f"net.{name}": value for name, value in settings.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
