"""Accuracy on labelled faces: the figures of the papers, a table, and the CED plot."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.metrics.nme import Normaliser, auc, ced, failure_rate, nme, normaliser
from tracker.system.extras import describe_missing

NORMALISERS: tuple[Normaliser, ...] = ("ocular", "pupil", "box", "diagonal")
THRESHOLDS = (0.05, 0.07, 0.08, 0.10)
"""Of FR and AUC. Papers use 0.05 on 300W, 0.07 by the box (Menpo, COFW-68, AFLW-19), 0.08 on 300VW and 0.10 on WFLW and
COFW."""
SHOWN = (("ocular", 0.05), ("ocular", 0.08), ("ocular", 0.10), ("pupil", 0.10), ("box", 0.07), ("face_box", 0.07))
"""By what and up to where the table shows FR and AUC; the report has all."""
WORST = 10


@dataclass(frozen=True)
class FaceError:
    """The error of one face's landmarks against its labels, as fractions, not percent.

    Attributes:
        nme: by normaliser; those of the data set's own box are called face_box and face_diagonal.
        parts: NME by part of the face, normalised by the distance of the outer eye corners.
        score: 0..1, of the landmarks.
    """

    nme: dict[str, float]
    parts: dict[str, float]
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return the NME in percent and the score, rounded."""
        return {"nme_percent": _percent(self.nme), "score": round(self.score, 4)}


Errors = Mapping[str, FaceError | None]
"""Errors by the face's name; None for a face that was not found."""


def face_error(
    landmarks: Landmarks, truth_px: Array, score: float, box_size_px: tuple[float, float] | None = None
) -> FaceError:
    """Compare landmarks with the labels of the same face.

    Args:
        landmarks: K points in pixels of a picture.
        truth_px: (K, 2) labels in the same pixels.
        score: 0..1, of the model.
        box_size_px: width and height of the face's box as the data set gives it, in the same pixels; AFLW's errors are
            taken over it (Kumar et al., CVPR 2020; Bulat et al., BMVC 2021, appendix B). None, or an empty one, for
            none.

    Raises:
        ValueError: if a normalising length of the labels is zero.
    """
    scheme = landmarks.scheme
    whole: dict[str, float] = {by: nme(landmarks.points_px, truth_px, scheme, by) for by in NORMALISERS}
    if box_size_px is not None and min(box_size_px) > 0:
        mean_px = float(np.linalg.norm(landmarks.points_px - truth_px, axis=1).mean())
        whole["face_box"] = mean_px / math.sqrt(box_size_px[0] * box_size_px[1])
        whole["face_diagonal"] = mean_px / math.hypot(*box_size_px)
    shares = np.linalg.norm(landmarks.points_px - truth_px, axis=1) / normaliser(truth_px, scheme)
    parts = {name: float(shares[list(indices)].mean()) for name, indices in scheme.groups.items()}
    return FaceError(whole, parts, score)


def summary(errors: Errors) -> dict[str, Any]:
    """Compute the figures over all faces.

    Args:
        errors: by face. A face that was not found counts as a failure; the NME is over the faces found.
    """
    found = [error for error in errors.values() if error]
    ocular = _by(errors, "ocular")
    by_all = [by for by in (found[0].nme if found else NORMALISERS) if all(by in error.nme for error in found)]
    each = {by: _by(errors, by) for by in by_all}
    worst = sorted(zip(ocular, errors), reverse=True)[:WORST]
    return {
        "faces": len(errors),
        "found": len(found),
        "nme_percent": _percent(_mean({by: error.nme[by] for by in by_all} for error in found)),
        "failure_percent": {
            by: _percent({f"{t:.2f}": failure_rate(nmes, t) for t in THRESHOLDS}) for by, nmes in each.items()
        },
        "auc": {by: {f"{t:.2f}": round(auc(nmes, t), 4) for t in THRESHOLDS} for by, nmes in each.items()},
        "parts_nme_percent": _percent(_mean(error.parts for error in found)),
        "worst": [{"name": name, "nme_percent": _finite(100 * error)} for error, name in worst],
    }


def table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Format summaries as a text table with one column each.

    Args:
        columns: summaries by title. The first has at least one face found.
    """
    cells = [dict(_cells(figures)) for figures in columns.values()]
    lines = [["", *columns], *([label, *(c.get(label, "-") for c in cells)] for label in cells[0])]
    return "\n".join(f"{label:22}" + "".join(f"{cell:>14}" for cell in row) for label, *row in lines)


def plot_ced(curves: Mapping[str, Errors], title: str) -> bytes:
    """Plot the cumulative error distributions of the inter-ocular NME.

    Args:
        curves: errors by the title of the curve.
        title: of the plot.

    Returns:
        The content of a PNG file.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"drawing it {describe_missing('matplotlib', 'report', error)}") from None
    axes = (figure := Figure(figsize=(6, 4), dpi=150, layout="constrained")).subplots()
    for name, errors in curves.items():
        thresholds, shares = ced(_by(errors, "ocular"), THRESHOLDS[-1])
        axes.plot(100 * thresholds, 100 * shares, label=name)
    axes.set(title=title, xlabel="NME, % of the outer eye corners' distance", ylabel="faces at or below, %")
    axes.set(xlim=(0, 100 * THRESHOLDS[-1]), ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(png := io.BytesIO(), format="png")
    return png.getvalue()


def _by(errors: Errors, by: str) -> list[float]:
    """The NME of every face by a normaliser; infinite for one that was not found."""
    return [error.nme[by] if error else math.inf for error in errors.values()]


def _cells(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "faces found", f"{figures['found']} of {figures['faces']}"
    for by, value in figures["nme_percent"].items():
        yield f"NME {by}, %", f"{value:.2f}"
    for key, label, form in (("failure_percent", "FR {} over {}, %", "{:.2f}"), ("auc", "AUC {} to {}", "{:.3f}")):
        for by, threshold in ((by, f"{threshold:.2f}") for by, threshold in SHOWN if by in figures[key]):
            yield label.format(by, threshold), form.format(figures[key][by][threshold])
    for part, value in figures["parts_nme_percent"].items():
        yield f"NME of {part.replace('_', ' ')}, %", f"{value:.2f}"


def _mean(records: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Average records with the same keys, key by key."""
    rows = list(records)
    return {key: float(np.mean([row[key] for row in rows])) for key in (rows[0] if rows else ())}


def _percent(fractions: Mapping[str, float]) -> dict[str, float]:
    return {key: round(100 * value, 4) for key, value in fractions.items()}


def _finite(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
