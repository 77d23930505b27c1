"""A video's sound beside new pictures, by the ffmpeg program where that is installed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from tracker.errors import TrackerError
from tracker.system.ffmpeg import find_ffmpeg, run_ffmpeg


def add_sound(pictures: Path, source: Path, seconds: float, target: Path) -> bool:
    """Write the first video stream of pictures with all sound of source. False, and nothing written, if it has none.

    Picture 0 is shown when the first picture of source is. seconds: how long the pictures last; the sound ends with
    them. Both are copied as they are; sound that the target's container cannot hold is encoded anew.

    Raises TrackerError where ffmpeg is not installed or fails; target may then be there in part.
    """
    program = find_ffmpeg()
    if program is None:
        raise TrackerError("ffmpeg is not installed")
    if _first_s(program, source, "a", "-c", "copy") is None:
        return False
    late_s = _first_s(program, source, "v") or Fraction(0)  # decoded: an edit list hides packets
    command = ["-y", "-itsoffset", f"{float(late_s):.6f}", "-i", f"file:{pictures}", "-i", f"file:{source}"]
    command += ["-map", "0:v:0", "-map", "1:a", "-t", f"{float(late_s) + seconds:.6f}", "-c:v", "copy"]
    done = run_ffmpeg(program, *command, "-c:a", "copy", f"file:{target}")
    if done.returncode:
        done = run_ffmpeg(program, *command, f"file:{target}")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise TrackerError(f"ffmpeg: {said[-1]}")
    return True


def _first_s(program: str, source: Path, kind: str, *options: str) -> Fraction | None:
    """When the first packet of the first such stream is due, in seconds from the file's start; None: no such stream."""
    form = ("-frames", "1", *options, "-f", "framecrc", "-")
    done = run_ffmpeg(program, "-i", f"file:{source}", "-map", f"0:{kind}:0", *form)
    lines = done.stdout.splitlines()
    packets = [line.split(",") for line in lines if not line.startswith("#")]
    try:
        units = [Fraction(line.split()[-1]) for line in lines if line.startswith("#tb 0:")]
        return int(packets[0][2]) * units[0] if packets else None
    except (ValueError, IndexError, ArithmeticError):
        raise TrackerError(f"ffmpeg does not say when the streams of {source} begin") from None
