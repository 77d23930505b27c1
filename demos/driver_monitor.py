"""Draws eyes, PERCLOS, blinks and long closures of the nearest face beside the picture. Not a safety device.

python demos/driver_monitor.py [CLIP or camera's number] [--show] [--output out/driver_monitor.mp4]
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import cv2
import numpy as np

from tracker import EyeMonitor, EyeReport, Tracker, TrackerError, draw_landmarks
from tracker.sinks import OverlayVideo
from tracker.sources import FALLBACK_FPS, open_source

HEIGHT, PANEL = 480, 300
COLOURS = {"open": (45, 200, 120), "closed": (235, 70, 60), "untold": (255, 176, 32), "unknown": (150, 150, 150)}  # RGB
WORDS = {"open": "OPEN", "closed": "CLOSED", "untold": "CLOSED OR DOWN", "unknown": "UNKNOWN"}
WHITE, GREY, BACK = (240, 244, 244), (150, 160, 165), (18, 24, 30)
LONG_S = 1.0
"""Lids that are down for so long are shown in a red frame, closed or not: the eyes are off the road."""


def main(arguments: list[str] | None = None) -> int:
    """Show or write the display, one line on the terminal for each closure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="0", help="a clip, a stream's URL or a camera's number")
    parser.add_argument("--output", type=Path, default=Path("out/driver_monitor.mp4"), help="the video to write, .mp4")
    parser.add_argument("--show", action="store_true", help="open a window; q ends it")
    parser.add_argument("--window", type=float, default=60.0, help="seconds that PERCLOS looks back")
    options = parser.parse_args(arguments)
    try:
        watch(options.source, options.output, options.show, options.window)
    except TrackerError as error:
        print(f"driver_monitor: {error}", file=sys.stderr)
        return 2
    print(f"written: {options.output}")
    return 0


def watch(source: str, output: Path, show: bool = False, window_s: float = 60.0) -> None:
    """Run the tracker over a source and draw the display of every frame."""
    output.parent.mkdir(parents=True, exist_ok=True)
    tracker, monitor, watched = Tracker(max_faces=1), EyeMonitor(window_s), None
    trace: list[tuple[float, str]] = []
    opened = open_source(int(source) if source.isdecimal() else source)
    with opened, OverlayVideo(output, opened.fps or FALLBACK_FPS) as video:
        for frame in opened:
            picture, report = frame.image_rgb, None
            for face in tracker.step(frame).faces:
                if face.id != watched:
                    watched, monitor = face.id, EyeMonitor(window_s)
                report = monitor.step(face, picture, frame.timestamp_s)
                picture = draw_landmarks(picture, face.landmarks)
                if report.blink:
                    kind = "closure" if report.blink.told else "closed or looking down"
                    print(f"{kind} at {report.blink.start_s:.2f} s for {report.blink.duration_s:.2f} s")
            trace = [*trace[1 - PANEL + 40 :], (report.opening, report.state) if report else (math.nan, "unknown")]
            display = draw_display(picture, report, trace)
            video.write(display, frame.timestamp_s)
            if show:
                cv2.imshow("driver monitor", display[..., ::-1])
                if cv2.waitKey(1) & 255 == ord("q"):
                    break


def draw_display(picture: np.ndarray, report: EyeReport | None, trace: list[tuple[float, str]]) -> np.ndarray:
    """The picture, HEIGHT pixels high, with a panel of PANEL pixels at its right, RGB.

    Args:
        picture: (H, W, 3) uint8 RGB.
        report: of the frame; None without a face.
        trace: opening and state of the last frames, the newest last.
    """
    height, width = picture.shape[:2]
    left = cv2.resize(picture, (round(width * HEIGHT / height / 2) * 2, HEIGHT), interpolation=cv2.INTER_AREA)
    panel = np.full((HEIGHT, PANEL, 3), BACK, np.uint8)
    state = report.state if report else "unknown"
    cv2.rectangle(panel, (0, 0), (PANEL, 74), COLOURS[state], -1)
    _write(panel, WORDS[state], (16, 36), 0.85, (255, 255, 255), 2)
    if report is None:
        _write(panel, "no face", (16, 62), 0.55, (255, 255, 255))
    elif report.reason:
        _write(panel, report.reason, (16, 62), 0.55, (255, 255, 255))
    if report:
        span = "-" if math.isnan(report.perclos) else f"{100 * report.perclos:.0f} %"
        if report.perclos_most > report.perclos:
            span = f"{100 * report.perclos:.0f} to {100 * report.perclos_most:.0f} %"
        rows = (
            ("PERCLOS", span),
            ("blinks a minute", _number(report.blinks_per_minute, "{:.0f}")),
            ("mean blink", _number(report.blink_s, "{:.2f} s")),
            ("longest closure", f"{report.longest_closure_s:.1f} s"),
            ("longest untold", f"{report.longest_untold_s:.1f} s"),
            ("judged / unknown", f"{report.judged_s:.0f} / {report.unknown_s:.0f} s"),
        )
        for row, (name, value) in enumerate(rows):
            _write(panel, name, (16, 108 + 38 * row), 0.5, GREY)
            _write(panel, value, (158, 108 + 38 * row), 0.6, WHITE)
    _draw_trace(panel, trace)
    if report and report.down_s >= LONG_S:
        cv2.rectangle(left, (0, 0), (left.shape[1] - 1, HEIGHT - 1), COLOURS["closed"], 12)
        cv2.rectangle(left, (12, 12), (440, 66), BACK, -1)
        _write(left, f"EYES OFF THE ROAD {report.down_s:.1f} s", (24, 48), 0.9, COLOURS["closed"], 2)
    return np.hstack([left, panel])


def _draw_trace(panel: np.ndarray, trace: list[tuple[float, str]]) -> None:
    """Draw the opening of the eyes over the frames, in the colour of their state."""
    low, high = HEIGHT - 18, HEIGHT - 118
    _write(panel, "opening: 1 as usual, 0.5 closed", (16, high - 8), 0.45, GREY)
    for share in (0.5, 1.0):
        y = round(low + (high - low) * share / 1.3)
        cv2.line(panel, (16, y), (PANEL - 16, y), (60, 68, 74), 1)
    for at, (opening, state) in enumerate(trace):
        if not math.isnan(opening):
            y = round(low + (high - low) * min(max(opening, 0), 1.3) / 1.3)
            cv2.circle(panel, (16 + at, y), 1, COLOURS[state], -1, cv2.LINE_AA)


def _write(
    image: np.ndarray, text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int], thick: int = 1
) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def _number(value: float, shape: str) -> str:
    return "-" if math.isnan(value) else shape.format(value)


if __name__ == "__main__":
    sys.exit(main())
