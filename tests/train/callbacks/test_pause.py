"""A training waits while its pause file is there, and its result is the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from train.callbacks import pause


def test_waits_and_ends_at_the_same_weights(
    fit_tiny: Callable[..., None], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause, "POLL_S", 0.01)
    (tmp_path / "pause").touch()
    done = threading.Timer(1.0, (tmp_path / "pause").unlink)
    begin = time.monotonic()
    done.start()
    fit_tiny(tmp_path)
    assert time.monotonic() - begin > 1.0
    paused, straight = (torch.load(path, weights_only=True) for path in (tmp_path / "last.ckpt", checkpoint))
    torch.testing.assert_close(paused["state_dict"], straight["state_dict"], rtol=0, atol=0)
