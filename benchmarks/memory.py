"""python -m benchmarks.memory: memory and time of importing tracker and of one step."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._lib.machine import machine, versions
from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.sources.demo import DemoClip

REPOSITORY = Path(__file__).resolve().parents[1]
STATUS = Path("/proc/self/status")

# The parts of a program, each run in a fresh process together with those before it.
PARTS = {
    "Python": "import sys",
    "NumPy and OpenCV": "import numpy, cv2",
    "import tracker": "import tracker",
    "Tracker()": "tracker_ = tracker.Tracker(model=sys.argv[2] or None)",
    "one step": "faces = tracker_.step(tracker.Frame(numpy.load(sys.argv[1]), 0.0, 0)).faces; assert faces",
}
ASK = """
import json
lines = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(json.dumps([int(lines[name].split()[0]) / 1024 for name in ('VmRSS', 'VmHWM')]))
"""


def main() -> int:
    """Run the command line."""
    return run_command(memory, "benchmarks.memory")


def memory(model: Path | None = None) -> None:
    """Print resident memory after each part of a program's start, and the time to the first result.

    Args:
        model: a landmark model (.onnx); the packaged one if not given.
    """
    if not STATUS.exists():
        raise TrackerError(f"memory is read from {STATUS}, which Linux has and {sys.platform} has not")
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder) / "frame.npy"
        np.save(frame, DemoClip().picture(0))
        arguments = [str(frame), str(model.resolve()) if model else ""]
        print(f"{'MiB resident':18}{'now':>8}{'peak':>8}{'peak - Python':>15}")
        bare = 0.0
        for count, name in enumerate(PARTS, 1):
            now, peak = json.loads(run([*list(PARTS.values())[:count], ASK], arguments))
            bare = bare or peak
            print(f"{name:18}{now:8.1f}{peak:8.1f}{peak - bare:15.1f}")
        for start in ("first", "second"):
            begun = time.perf_counter()
            run(list(PARTS.values()), arguments)
            elapsed_s = time.perf_counter() - begun
            print(f"{start} start: {elapsed_s:.2f} s from launching Python to the first result")
    print(machine(), versions(), sep="\n")


def run(code: list[str], arguments: list[str]) -> str:
    """Return the output of a new Python process; raise TrackerError with its last message if it fails."""
    command = [sys.executable, "-c", "\n".join(code), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TrackerError(f"the measured program failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
