"""Plots of a report on videos. Each function raises ImportError if matplotlib is not installed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tracker.evaluation.clip_metrics import ClipFigures
from tracker.evaluation.groups import THRESHOLD
from tracker.evaluation.video import RAW, SMOOTH, TRUE_BOXES
from tracker.face.geometry import Array
from tracker.metrics.nme import auc, ced
from tracker.system.extras import describe_missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {TRUE_BOXES: ("#777777", 1.2), RAW: ("#e69f00", 1.0), SMOOTH: ("#0072b2", 1.6)}
"""Colour and width of each mode's line; the colours can be distinguished by colour-blind readers."""
_TOP_PERCENT = 20.0  # timelines end here
_LOST = "#d55e00"


def ced_svg(panels: Mapping[str, Sequence[ClipFigures]], points: int) -> bytes:
    """Plot cumulative error distributions up to 8 % over all frames, with a panel per group and a curve per mode.

    Args:
        panels: clips by the title of the panel.
        points: which set of points, by their number.

    Returns:
        The content of an SVG file.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    figure = _figure(3.4 * max(len(panels), 1.4), 3.1)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, clips) in zip(row, panels.items()):
        for mode, (colour, width) in STYLES.items():
            errors = np.concatenate([clip.errors[mode][points] for clip in clips])
            compared = errors[~np.isnan(errors)]
            thresholds, shares = ced(compared, THRESHOLD)
            label = f"{mode}, AUC {auc(compared, THRESHOLD):.3f}"
            axes.plot(100 * thresholds, 100 * shares, color=colour, linewidth=width, label=label)
        axes.set_title(title, fontsize=9)
        axes.set(xlim=(0, 100 * THRESHOLD), ylim=(0, 100))
        axes.set_xlabel("NME, % of the outer-eye distance", fontsize=8)
        _plain(axes)
        axes.legend(loc="lower right", fontsize=6.5, frameon=False)
    row[0].set_ylabel("frames at or below, %", fontsize=8)
    return _saved(figure, "svg")


def timeline_png(clip: ClipFigures) -> bytes:
    """Plot the error of one clip over time by mode, for its largest set of points; losses of track are shaded.

    Args:
        clip: its metrics.

    Returns:
        The content of a PNG file.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    figure = _figure(9.0, 1.9)
    axes = figure.subplots()
    for mode, errors in clip.errors.items():
        series = next(iter(errors.values()))
        seconds = np.arange(len(series)) / clip.fps
        colour, width = STYLES[mode]
        axes.plot(seconds, _without_holes(series), color=colour, linewidth=0.6 * width, label=mode)
    axes.fill_between(seconds, 0, 1, clip.lost, transform=axes.get_xaxis_transform(), color=_LOST, alpha=0.25, lw=0)
    axes.axhline(100 * THRESHOLD, color="black", linewidth=0.6, linestyle=":")
    axes.set(xlim=(0, len(seconds) / clip.fps), ylim=(0, _top(clip)))
    axes.set_xlabel("seconds", fontsize=8)
    axes.set_ylabel("NME, %", fontsize=8)
    _plain(axes)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, frameon=False, ncols=3, borderpad=0)
    return _saved(figure, "png")


def _without_holes(errors: Array) -> Array:
    """Return percent; NaN, which is not drawn, if there is no face."""
    return np.where(np.isfinite(errors), 100 * errors, np.nan)


def _top(clip: ClipFigures) -> float:
    """Return the end of the scale in percent, by the worst frame and within limits."""
    worst = [np.max(e[np.isfinite(e)], initial=0) for sets in clip.errors.values() for e in sets.values()]
    return float(np.clip(115 * max(worst), 110 * THRESHOLD, _TOP_PERCENT))


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"drawing it {describe_missing('matplotlib', 'report', error)}") from None
    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _saved(figure: Figure, kind: str) -> bytes:
    figure.savefig(content := io.BytesIO(), format=kind)
    return content.getvalue()
