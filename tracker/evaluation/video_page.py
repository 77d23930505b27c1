"""The HTML page of a report on videos."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tracker.evaluation.clip_metrics import ClipFigures
from tracker.evaluation.page import Row, definitions, heading, image, number, page, paragraph, table
from tracker.evaluation.plots import ced_svg, timeline_png
from tracker.evaluation.terms import ACCURACY, HOW, STABILITY, TITLES, TRACKING
from tracker.evaluation.video import MODES, SMOOTH

log = logging.getLogger(__name__)

Record = Mapping[str, Any]
Groups = Mapping[str, Sequence[ClipFigures]]


def video_page(record: Record, clips: Sequence[ClipFigures], groups: Groups) -> bytes:
    """Return the complete page.

    Args:
        record: the report as it is written to JSON.
        clips: their metrics, for the plots.
        groups: the same by category.
    """
    title = f"{TITLES[record['dataset']]}: {record['model']['name']}"
    body = [*_head(record, title), *_accuracy(record), *_ced(groups), *_stability(record), *_tracking(record)]
    return page(title, [*body, *_clips(record, clips), *_how()])


def _head(record: Record, title: str) -> Iterator[str]:
    frames = sum(clip["frames"] for clip in record["by_clip"].values())
    model = record["model"]
    sha256 = f"sha256 {model['sha256'][:12]}, " if model["sha256"] else ""
    yield heading(title, 1)
    clips = len(record["by_clip"])
    yield paragraph(
        f"{clips} clip{'s' if clips > 1 else ''}, {frames} frames compared; detector {record['detector']}; model "
        f"{model['name']}, {sha256}commit {model['commit'] or 'unknown'}",
        "about",
    )
    if record["missing_clips"]:
        yield paragraph(
            f"Not the official figures: {len(record['missing_clips'])} clips of the split are missing: "
            f"{', '.join(record['missing_clips'])}.",
            "notice",
        )
    for name, problems in record["problems"].items():
        yield paragraph(f"Clip {name}: {'; '.join(problems)}.", "notice")


def _accuracy(record: Record) -> Iterator[str]:
    yield heading("Accuracy")
    sets = list(next(iter(record["categories"].values()))["accuracy"][SMOOTH])
    head = ["", "", "found %", *([label for _ in sets for label in ACCURACY.values()])]
    over = [("", 3), *((f"{points} points", len(ACCURACY)) for points in sets)]
    averages = {"per_frame": "Mean over all frames", "per_video": "Mean over videos"}
    if len(record["by_clip"]) == 1:
        del averages["per_video"]
    for average, title in averages.items():
        rows = []
        for label, mode, accuracy in _by_mode(record, "accuracy"):
            figures = [by_average[average] for by_average in accuracy.values()]
            cells = [_cell(one, key) for one in figures for key in ACCURACY]
            rows.append([label, mode, _cell(figures[0], "found_percent"), *cells])
        yield heading(title, 3) + table(head, rows, 2, over)


def _ced(groups: Groups) -> Iterator[str]:
    yield heading("Cumulative error")
    titled = {TITLES.get(name, name): clips for name, clips in groups.items()}
    try:
        for points in next(iter(groups.values()))[0].errors[SMOOTH]:
            yield heading(f"{points} points", 3)
            yield image("svg+xml", ced_svg(titled, points), f"cumulative error distributions, {points} points")
    except ImportError as error:
        log.warning("no plot is drawn: %s", error)
        yield paragraph(f"No plot is drawn: {error}.", "notice")


def _stability(record: Record) -> Iterator[str]:
    yield heading("Stability")
    yield paragraph("Means over videos, of the frames in which the face was measured, neither held nor lost.", "about")
    rows = [
        [label, mode, *(_cell(figures, key) for key in STABILITY)]
        for label, mode, figures in _by_mode(record, "stability")
    ]
    own = sum(not key.startswith("fhr_") for key in STABILITY)
    over = [("", 2 + own), ("FHR", len(STABILITY) - own)]
    yield table(["", "", *STABILITY.values()], rows, 2, over)


def _tracking(record: Record) -> Iterator[str]:
    yield heading("Tracking")
    groups = record["categories"].items()
    rows = [[TITLES.get(name, name), *(_cell(g["tracking"], key) for key in TRACKING)] for name, g in groups]
    yield table(["", *TRACKING.values()], rows, 1)


def _clips(record: Record, clips: Sequence[ClipFigures]) -> Iterator[str]:
    yield heading("Clips")
    head = ["clip", "category", "frames", *MODES, "FR %", "AUC", "acceleration error %", "lost %", "losses"]
    over = [("", 3), ("NME %", len(MODES)), (SMOOTH, 5)]
    yield table(head, [_clip_row(name, clip) for name, clip in record["by_clip"].items()], 2, over)
    yield heading("Error over time")
    yield paragraph(
        "Shaded: the tracker had lost the face; gaps: frames not compared; dotted: the failure threshold.", "about"
    )
    with suppress(ImportError):
        for clip in clips:
            yield heading(f"Clip {clip.name}", 3)
            yield image("png", timeline_png(clip), f"error over time of clip {clip.name}")


def _clip_row(name: str, clip: Record) -> Row:
    by_mode = {mode: next(iter(sets.values()))["per_frame"] for mode, sets in clip["accuracy"].items()}
    smooth, steady, tracking = by_mode[SMOOTH], clip["stability"][SMOOTH], clip["tracking"]
    shown = [(smooth, "failure_percent"), (smooth, "auc"), (steady, "acceleration_error_percent")]
    shown += [(tracking, "lost_percent"), (tracking, "losses")]
    errors = [_cell(by_mode[mode], "nme_percent") for mode in MODES]
    return [name, clip["category"], clip["frames"], *errors, *(_cell(figures, key) for figures, key in shown)]


def _by_mode(record: Record, part: str) -> Iterator[tuple[str, str, Record]]:
    """Yield the category (only with its first mode), the mode, and that part of their metrics."""
    for name, group in record["categories"].items():
        for mode in MODES:
            yield TITLES.get(name, name) if mode == MODES[0] else "", mode, group[part][mode]


def text(record: Record) -> str:
    """Format the main metrics for the terminal: over all frames, for the largest set of points."""
    head = ["", "", "points", "NME %", "FR %", "AUC", "acceleration error %", "lag, frames"]
    rows = [head]
    for (name, mode, accuracy), (_, _, steady) in zip(_by_mode(record, "accuracy"), _by_mode(record, "stability")):
        points, averages = next(iter(accuracy.items()))
        cells = [_cell(averages["per_frame"], key) for key in ACCURACY]
        steadiness = [_cell(steady, key) for key in ("acceleration_error_percent", "lag_frames")]
        rows.append([name, mode, str(points), *cells, *steadiness])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(map(_padded, row, widths, range(len(row)))) for row in rows)


def _padded(cell: str, width: int, place: int) -> str:
    return cell.ljust(width) if place < 2 else cell.rjust(width)


def _cell(figures: Record, key: str) -> str:
    return number(figures[key], 3 if key == "auc" else 2)


def _how() -> Iterator[str]:
    yield heading("How it is measured")
    yield definitions(HOW)
