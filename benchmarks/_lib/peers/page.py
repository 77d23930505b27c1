"""The page of benchmarks.peers, from its record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

Record = Mapping[str, Any]

BUSY = 0.5
"""Load of the machine before the run from which on times are not published."""


@dataclass(frozen=True)
class Column:
    """A figure in the tables; the smaller, the better.

    Attributes:
        key: in the record.
        title: in the tables.
        digits: after the point.
        timed: whether a busy machine spoils it.
    """

    key: str
    title: str
    digits: int = 2
    timed: bool = False

    def value(self, figures: Record, busy: bool) -> float | None:
        """The figure as it is printed, without a sign; None if there is none."""
        value = None if busy and self.timed else figures.get(self.key)
        return None if value is None else abs(round(value, self.digits))

    def cell(self, figures: Record, busy: bool) -> str:
        """The figure as text."""
        if self.value(figures, busy) is None:
            return ""
        text = f"{round(figures[self.key], self.digits) + 0.0:.{self.digits}f}"  # + 0.0: no -0.00
        if self.key == "lost":
            return f"{text} ({figures['no_face']}, {figures['wrong_face']})"
        if self.key == "ms_p50":
            least, largest = figures["ms_p50_by_turn"]
            return f"{text} ({least:.{self.digits}f} to {largest:.{self.digits}f})"
        return text


COLUMNS = (
    Column("lost", "lost (no face, wrong face)", 0),
    Column("nme_percent", "NME, %"),
    Column("offset_removed_percent", "offset removed, %"),
    Column("acceleration_error_percent", "acceleration error, %"),
    Column("lag_frames", "lag, frames"),
    Column("ms_p50", "ms a frame", timed=True),
    Column("ms_p95", "p95, ms", timed=True),
)


VERDICTS = ("won", "**lost**", "drawn")


def page(record: Record) -> str:
    """Format the record as a page in Markdown."""
    return "\n".join(_wrapped(_lines(record))) + "\n"


def table(figures: Mapping[str, Record], marks: Mapping[str, str], missing: Sequence[str], busy: bool) -> list[str]:
    """A table of systems; the best figure of a column is bold where not all are equal.

    Args:
        figures: by system.
        marks: what is put behind a system's name.
        missing: systems that are not measured.
        busy: leave out times.
    """
    every = figures.values()
    columns = [column for column in COLUMNS if any(column.value(each, busy) is not None for each in every)]
    lines = _head("", *(column.title for column in columns))
    best = {column.key: _best(column, figures.values(), busy) for column in columns}
    for name, each in figures.items():
        cells = [column.cell(each, busy) for column in columns]
        bold = [column.value(each, busy) == best[column.key] is not None for column in columns]
        shown = [f"**{cell}**" if cell and is_best else cell for cell, is_best in zip(cells, bold)]
        lines.append(_row(name + marks.get(name, ""), *shown))
    lines += [_row(name, "not measured", *("" for _ in columns[1:])) for name in missing]
    return lines


@dataclass(frozen=True)
class Comparison:
    """Ours and the best peer in one column of one table.

    Attributes:
        where: the set of frames, the points and the column.
        peer: the name of the best peer.
        best: its figure.
        ours: our figures, by output.
        verdicts: won, lost or drawn, by output, as the figures are printed.
    """

    where: str
    peer: str
    best: str
    ours: dict[str, str]
    verdicts: dict[str, str]


def comparisons(record: Record) -> Iterator[Comparison]:
    """Compare our models that may be shipped with the best peer, in each column of each table."""
    busy = is_busy(record)
    models = tuple(name for name, about in record["systems"].items() if about["ours"] and about["shippable"])
    peers = [name for name, about in record["systems"].items() if not about["ours"]]
    for set_name, frames in record["sets"].items():
        for number, figures in frames["tables"].items():
            for column in COLUMNS:
                values = {name: value for name in figures if (value := column.value(figures[name], busy)) is not None}
                rivals = [name for name in peers if name in values]
                outputs = [name for name in values if models and name.startswith(models)]
                if rivals and outputs:
                    best = min(rivals, key=lambda name: values[name])
                    yield Comparison(
                        f"{set_name}, {number} points: {column.title}",
                        best,
                        column.cell(figures[best], busy),
                        {name: column.cell(figures[name], busy) for name in outputs},
                        {name: _verdict(values[name], values[best]) for name in outputs},
                    )


def is_busy(record: Record) -> bool:
    """Tell whether the machine was too busy for times."""
    return bool(record["machine"]["load"] > BUSY)


def _lines(record: Record) -> Iterator[str]:
    about, busy = record["machine"], is_busy(record)
    marks = {name: " †" if each["shippable"] is False else "" for name, each in record["systems"].items()}
    command = wrap(record["command"], 110, break_long_words=False, break_on_hyphens=False)
    yield from ("# Peers on one page", "", "```sh", " \\\n    ".join(command), "```", "")
    yield (
        f"{record['date']}, {about['cpu']}, {about['cores']} cores, all systems on one of them; load before the run "
        f"{about['load']}. Every figure is from this one run; the smallest is the best and bold. † may not be part of "
        "a product."
    )
    if busy:
        yield from ("", "**The machine was busy: times are left out. Run the command on an idle one.**")
    yield ""
    yield from INTRODUCTION
    for name, frames in record["sets"].items():
        yield from ("", f"## {name}", frames["about"])
        for number, figures in frames["tables"].items():
            missing = [name for name in frames["not_measured"] if number == next(iter(frames["tables"]))]
            yield from ("", _scope(number, figures, frames["still"]), "", *table(figures, marks, missing, busy))
        for reason in frames["not_measured"].values():
            yield from ("", f"Not measured: {reason}.")
    yield from _against_peers(record, marks)
    yield from ("", "## Versions and licences", "")
    yield from _head("", "code and weights", "versions", "SHA-256 of the weights")
    for name, each in record["systems"].items():
        yield _row(name + marks[name], each["licence"], _pairs(each["versions"]), _pairs(each["sha256"], 8))
    yield from ("", *NOT_COMPARABLE)


def _scope(number: str, figures: Mapping[str, Record], still: bool) -> str:
    """Say what a table is about."""
    frames = max(each["frames"] for each in figures.values())
    common = max((each.get("common", 0) for each in figures.values()), default=0)
    own = next((value for each in figures.values() if (value := each.get("truth_acceleration_percent"))), None)
    return (
        f"{number} points, {frames} {'pictures' if still else 'frames'}, errors over the {common} in which all have "
        f"the face{'' if own is None else f'; the own acceleration of the labels is {own:.2f} %'}:"
    )


def _against_peers(record: Record, marks: Mapping[str, str]) -> Iterator[str]:
    found = list(comparisons(record))
    outputs = list(dict.fromkeys(name for each in found for name in each.ours))
    yield from ("", "## Ours against the best peer", "")
    yield "Our models that may be shipped, against whichever peer is best in that column, as the figures are printed:"
    yield ""
    for name in outputs:
        won, lost, drawn = (sum(each.verdicts.get(name) == verdict for each in found) for verdict in VERDICTS)
        yield f"- {name}: {won} won, {lost} lost, {drawn} drawn."
    yield ""
    yield from _head("", *outputs, "best peer")
    for each in found:
        cells = [f"{each.ours[name]}, {each.verdicts[name]}" if name in each.ours else "" for name in outputs]
        yield _row(each.where, *cells, f"{each.best}, {each.peer}{marks[each.peer]}")


def _verdict(ours: float, best: float) -> str:
    won, lost, drawn = VERDICTS
    return drawn if ours == best else won if ours < best else lost


def _best(column: Column, figures: Iterable[Record], busy: bool) -> float | None:
    values = [value for each in figures if (value := column.value(each, busy)) is not None]
    return min(values) if len(set(values)) > 1 else None


def _pairs(values: Mapping[str, str], length: int | None = None) -> str:
    return ", ".join(f"{key} {value[:length]}" for key, value in values.items())


def _head(*cells: str) -> list[str]:
    return [_row(*cells), _row(*("---" for _ in cells))]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _wrapped(lines: Iterator[str]) -> Iterator[str]:
    """Break paragraphs at 120 characters; headings, tables and code stay."""
    for line in lines:
        if not line or line.startswith(("#", "|", "```", "python")):
            yield line
        else:
            yield from wrap(
                line,
                120,
                subsequent_indent="  " * line.startswith("- "),
                break_long_words=False,
                break_on_hyphens=False,
            )


INTRODUCTION = (
    "- Lost: the system gives no face, or a wrong one, whose points lie on average farther from the labels than 10 % "
    "of the face's size, the square root of the area of the labels' extent. The errors are over the frames in which "
    "all have the face; a system that lost it in more than half of them has no errors and does not count there.",
    "- NME: the mean distance of the points to the labels, in percent of the distance between the outer eye corners. "
    "Offset removed: without each point's constant difference from the labels, which is a matter of definition.",
    "- Acceleration error: jitter, the second difference of the error from frame to frame, in percent of the same "
    "distance. Lag: against the labels, in frames; the best is the nearest to 0.",
    "- ms a frame: the median, in brackets the least and the largest median of a turn. Each system has its own process "
    "and is given the same decoded frames, 25 at a time, in turns whose order changes; the first 25 are given once "
    "before, to warm up. Timed is the call from the decoded picture to the points, the detector included.",
)
NOT_COMPARABLE = (
    "## What is not comparable",
    "- MediaPipe and OpenSeeFace have the jaw at fixed places of the head, iBUG's labels at the visible contour: of "
    "the jaw only the chin is compared with them. MediaPipe's points are the vertices of "
    "[the table](../docs/guides/moving.md#indices); other vertices beside them change its NME by some tenths, and the "
    "figure with offsets removed by a few hundredths. Its coordinates are counted from the picture's edge; they were "
    "moved by half a pixel, to pixel centres at integers.",
    "- The README and [Talking face](talking_face.md) have other times and other errors of FaceMesh: they are of "
    "another run, and take other vertices for some of the points.",
    "- NME says whose definition of the points a system learned as much as how exact it is. dlib and those of our "
    "models that have 300w in their names learned 300W's labels. `edge68` and `edge68_fast` learned labels that were "
    "made with MediaPipe's FaceMesh with attention ([their chain](../docs/models/edge68.md#the-chain)).",
    "- MediaPipe gives 468 or 478 points with depth, OpenSeeFace 66 with a gaze and a 3D fit, ours 68 with a "
    "covariance each. The times contain this.",
    "- dlib has no tracking: its detector looks at every frame, as in its examples, and takes most of its time.",
    "- MediaPipe's points in clips are filtered, as ours are; dlib's and OpenSeeFace's are not. The rows `not "
    "smoothed` are ours without a filter.",
    "- Points that another program wrote to a file have no times.",
    "- Other systems and frames are added by `--openseeface`, `--points`, `--clips` and `--pictures`.",
)
