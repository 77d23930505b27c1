"""A training that waits while a file is there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.utilities import rank_zero_info

POLL_S = 1.0


class PauseWhileFileExists(lightning.Callback):
    """Lets the training wait, between two steps, for as long as a file exists: `touch runs/edge68/pause`.

    While it waits it uses no processor time, so that something else can be measured on the same machine. It changes
    nothing of the result. Every process of a distributed training waits for the same file.

    Args:
        file: The file to look for after each step.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_batch_end(self, *_: Any) -> None:
        """Wait while the file exists."""
        if not os.path.exists(self.file):
            return
        rank_zero_info(f"paused; remove {self.file} to go on")
        while os.path.exists(self.file):
            time.sleep(POLL_S)
        rank_zero_info("going on")
