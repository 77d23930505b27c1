"""Copies the sound of a video to a new video, with the ffmpeg program if it is installed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from tracker.errors import TrackerError
from tracker.system.ffmpeg import find_ffmpeg, run_ffmpeg


def add_sound(pictures: Path, source: Path, seconds: float, target: Path) -> bool:
    """Combine the pictures of one file with the sound of another one.

    The first picture is shown when the first picture of the source is. Streams are copied; sound that the target's
    container cannot hold is encoded again.

    Args:
        pictures: video file, whose first video stream is copied.
        source: video file, whose audio streams are copied.
        seconds: duration of the pictures; the sound ends with them.
        target: file to write.

    Returns:
        Whether the source has sound; otherwise nothing is written.

    Raises:
        TrackerError: ffmpeg is not installed or fails; the target may be incomplete then.
    """
    program = find_ffmpeg()
    if program is None:
        raise TrackerError("ffmpeg is not installed")
    if _first_s(program, source, "a", "-c", "copy") is None:
        return False
    late_s = _first_s(program, source, "v") or Fraction(0)  # decoded, because an edit list may hide packets
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
    """Return the time of the first packet of the first such stream, from the file's start; None if there is none."""
    form = ("-frames", "1", *options, "-f", "framecrc", "-")
    done = run_ffmpeg(program, "-i", f"file:{source}", "-map", f"0:{kind}:0", *form)
    lines = done.stdout.splitlines()
    packets = [line.split(",") for line in lines if not line.startswith("#")]
    try:
        units = [Fraction(line.split()[-1]) for line in lines if line.startswith("#tb 0:")]
        return int(packets[0][2]) * units[0] if packets else None
    except (ValueError, IndexError, ArithmeticError):
        raise TrackerError(f"ffmpeg does not say when the streams of {source} begin") from None
