"""python -m benchmarks.figures heatmaps | smoothing | ellipses | variance | compare: the pictures of the papers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from benchmarks.figures.compare import compare
from benchmarks.figures.ellipses import ellipses
from benchmarks.figures.heatmaps import heatmaps
from benchmarks.figures.smoothing import smoothing
from benchmarks.figures.variance import variance
from tracker.cli.command import USER_ERROR, run_command
from tracker.cli.suggestions import suggest

COMMANDS: Mapping[str, Callable[..., None]] = {
    "heatmaps": heatmaps,
    "smoothing": smoothing,
    "ellipses": ellipses,
    "variance": variance,
    "compare": compare,
}


def main() -> int:
    """Run the command line."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        hint = suggest(name, COMMANDS)
        expected = ", ".join(COMMANDS)
        print(f"benchmarks.figures: expected one of {expected}, got {name or 'nothing'}{hint}", file=sys.stderr)
        return USER_ERROR
    return run_command(COMMANDS[name], f"benchmarks.figures {name}", arguments)


if __name__ == "__main__":
    sys.exit(main())
