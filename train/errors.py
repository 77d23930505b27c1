"""What is wrong with a training's options."""

from __future__ import annotations

import math


class SetupError(ValueError):
    """A training cannot run as it is configured. The message is one sentence."""


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Check that a number is in a range.

    Args:
        name: of the option, for the message.
        value: the number.
        low: the least valid number.
        high: the largest valid number, infinity if there is none.

    Raises:
        SetupError: if it is not, or is infinite.
    """
    if not low <= value <= high or math.isinf(value):
        limits = f"from {low} to {high}" if math.isfinite(high) else f"of at least {low}"
        raise SetupError(f"{name}: expected a number {limits}, got {value}")
