"""Lightning's tips to install other packages of its makers are not part of a training's output."""

from __future__ import annotations

import logging

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero

from train.run import is_no_advert


def test_the_tip_of_the_installed_lightning_is_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger(rank_zero.__name__)
    monkeypatch.setattr(logger, "filters", [])  # a training of another test has left it out already
    with caplog.at_level(logging.INFO, logger.name):
        Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        assert "litlogger" in caplog.text
        caplog.clear()
        logger.addFilter(is_no_advert)
        Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        rank_zero.rank_zero_info("42 steps")
    assert "litlogger" not in caplog.text and "seamless" not in caplog.text and "42 steps" in caplog.text
