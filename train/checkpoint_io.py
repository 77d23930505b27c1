"""How checkpoints get onto the disk and back."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO


class CheckpointWriteError(OSError):
    """A checkpoint could not be written; the former one is as it was."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint in one step: readers, a crash and a full disk find the former one or the new one whole.

    Only local files are read, and only data from them: no code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write beside the target, flush to the disk, then rename.

        Raises:
            CheckpointWriteError: the disk is full, or the folder cannot be written to. Nothing is left behind.
        """
        target = Path(path)
        part = target.with_name(f".{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except (OSError, RuntimeError) as error:  # torch's archive writer turns a full disk into a RuntimeError
            with contextlib.suppress(OSError):
                part.unlink()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
            kept = "; the one that is there is kept" if os.path.exists(target) else ""
            raise CheckpointWriteError(f"cannot write the checkpoint {target}: {reason}{kept}") from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a local checkpoint as data, whatever `weights_only` says."""
        checkpoint: dict[str, Any] = torch.load(Path(path), map_location=map_location, weights_only=True)
        return checkpoint
