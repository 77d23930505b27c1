"""Writes and reads checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from tracker.errors import TrackerError
from tracker.system.files import whole_file

TRAINING = ("optimizer_states", "lr_schedulers", "current_model_state", "loops", "callbacks")


class CheckpointWriteError(OSError):
    """A checkpoint could not be written; the former one is as it was."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint in one step: readers, a crash and a full disk find the former one or the new one whole.

    A link stays, and the file that it leads to is replaced; a device is not. Only local files are read, and only data
    from them: no code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write beside the target, flush to the disk, then rename.

        Raises:
            CheckpointWriteError: the disk is full, the folder cannot be written to, or the target is a folder, a
                device or a pipe, or is being written by another run. Nothing is left behind.
        """
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target) as part, part.open("wb") as stream:
                torch.save(checkpoint, stream)
        except (OSError, RuntimeError) as error:  # torch's archive writer turns a full disk into a RuntimeError
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
            kept = "; the one that is there is kept" if os.path.exists(target) else ""
            raise CheckpointWriteError(f"cannot write the checkpoint {target}: {reason}{kept}") from error
        except TrackerError as error:
            raise CheckpointWriteError(f"cannot write the checkpoint {target}: {error}") from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a local checkpoint as data, whatever `weights_only` says."""
        checkpoint: dict[str, Any] = torch.load(Path(path), map_location=map_location, weights_only=True)
        return checkpoint


def save_weights(checkpoint: Mapping[str, Any], output: Path) -> None:
    """Write a checkpoint without what a training would go on from.

    Args:
        checkpoint: as Lightning lays it out.
        output: the .ckpt file to write.

    Raises:
        TrackerError: if it cannot be written.
    """
    kept = {key: value for key, value in checkpoint.items() if key not in TRAINING}
    try:
        AtomicCheckpointIO().save_checkpoint(kept, output)
    except CheckpointWriteError as error:
        raise TrackerError(str(error)) from None
