"""python -m benchmarks.figures heatmaps | smoothing | ellipses | variance | compare: the pictures of the papers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from benchmarks.figures.compare import compare
from benchmarks.figures.ellipses import ellipses
from benchmarks.figures.heatmaps import heatmaps
from benchmarks.figures.smoothing import smoothing
from benchmarks.figures.variance import variance
from tracker.cli.command import run_commands

COMMANDS: Mapping[str, Callable[..., None]] = {
    "heatmaps": heatmaps,
    "smoothing": smoothing,
    "ellipses": ellipses,
    "variance": variance,
    "compare": compare,
}


def main() -> int:
    """Run the command line."""
    return run_commands(COMMANDS, "benchmarks.figures")


if __name__ == "__main__":
    sys.exit(main())
