"""python -m benchmarks.browser: compares the page of demos/browser in Chromium with Python on the same frames."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._lib.browser import (
    build_page,
    compressed_bytes,
    distances_px,
    drive,
    find_missing,
    serve,
    track_in_python,
    write_y4m,
)
from benchmarks._lib.machine import machine, versions
from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.sources.demo import DemoClip

RATE = 30
BARS = {  # name: the least or the most that is wanted
    "median_px": ("at most", 0.3),
    "p99_px": ("at most", 1.0),
    "p95_step_ms": ("below", 33.0),
    "camera_frames_per_s": ("at least", 25.0),
    "compressed_mb": ("at most", 8.0),
}


def main() -> int:
    """Run the command line."""
    return run_command(browser, "benchmarks.browser")


def browser(seconds: float = 10.0, report: Path = Path("runs/browser.json"), screenshot: Path | None = None) -> None:
    """Feed the demo clip to the page, first frame by frame, then as its camera, and compare with Python.

    Args:
        seconds: length of the demo clip, and of the time with the camera.
        report: the .json file to write.
        screenshot: a .png file to write, of the page with the clip as its camera.
    """
    check_report(report)
    if missing := find_missing():
        raise TrackerError(f"this benchmark {missing}")
    about = {"machine": machine(), "versions": versions()}
    clip = DemoClip(seconds=seconds, fps=RATE)
    expected = track_in_python(clip)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = build_page(folder / "page")
        camera = write_y4m(folder / "clip.y4m", map(clip.picture, range(clip.count)), RATE)
        with serve(page, clip.picture) as host:
            fed = drive("frames", host.url, count=clip.count, rate=RATE)
            picture = {"screenshot": str(screenshot.resolve())} if screenshot else {}
            live = drive("camera", host.url, clip=str(camera), seconds=seconds, **picture)
        size = compressed_bytes(page)
    away = distances_px(fed["results"], expected)
    ours, theirs = [r["stepMs"] for r in fed["results"]], [1000 * r.stage_s["step"] for r in expected]
    figures = {
        "median_px": float(np.median(away)),
        "p99_px": float(np.percentile(away, 99)),
        "largest_px": float(away.max()),
        "median_step_ms": float(np.median(ours)),
        "p95_step_ms": float(np.percentile(ours, 95)),
        "python_median_step_ms": float(np.median(theirs)),
        "python_p95_step_ms": float(np.percentile(theirs, 95)),
        "median_ratio": float(np.median(ours) / np.median(theirs)),
        "p95_ratio": float(np.percentile(ours, 95) / np.percentile(theirs, 95)),
        **camera_figures(live),
        "compressed_mb": size / 1e6,
    }
    record = {**about, "chromium": fed["version"], **{name: round(value, 3) for name, value in figures.items()}}
    write_report(report, record)
    print(table(record), f"report: {report}", sep="\n")


def camera_figures(live: dict[str, Any]) -> dict[str, float]:
    """Return frames per second, steps and dropped frames while the clip was the camera."""
    seen = live["seen"]
    steps = [each["stepMs"] for each in seen]
    return {
        "camera_frames_per_s": (len(seen) - 1) / (seen[-1]["nowS"] - seen[0]["nowS"]),
        "camera_p95_step_ms": float(np.percentile(steps, 95)),
        "camera_frames": len(seen),
        "camera_dropped": seen[-1]["dropped"],
    }


def table(record: dict[str, Any]) -> str:
    """Format the figures, one per line, with the limit of those that have one."""
    return "\n".join(f"{name:24}{value}{verdict(name, value)}" for name, value in record.items())


def verdict(name: str, value: Any) -> str:
    """Return the limit of a figure that has one, and whether it is met."""
    if name not in BARS:
        return ""
    how, limit = BARS[name]
    return f"  ({how} {limit}: {'yes' if meets(value, BARS[name]) else 'NO'})"


def meets(value: float, bar: tuple[str, float]) -> bool:
    """Tell whether a figure meets its limit."""
    how, limit = bar
    return value >= limit if how == "at least" else value < limit if how == "below" else value <= limit


if __name__ == "__main__":
    sys.exit(main())
