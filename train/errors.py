"""What is wrong with a training's options."""

from __future__ import annotations

import math

from tracker.errors import TrackerError

LARGEST_SEED = (1 << 32) - 1
"""The largest seed that NumPy, torch and Lightning all accept."""


class SetupError(TrackerError, ValueError):
    """A training or a command cannot run as it is configured. The message is one sentence."""


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


def check_seed(name: str, seed: int) -> None:
    """Check that a seed is one; see check_range."""
    check_range(name, seed, 0, LARGEST_SEED)
