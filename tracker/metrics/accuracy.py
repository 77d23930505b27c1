"""Accuracy on labelled faces: the figures of the papers, a table, and the CED plot."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.metrics.nme import Normaliser, auc, ced, failure_rate, nme, normaliser
from tracker.system.extras import describe_missing

NORMALISERS: tuple[Normaliser, ...] = ("ocular", "pupil", "box", "diagonal")
THRESHOLDS = (0.05, 0.08, 0.10)  # of the inter-ocular NME: papers on 300W use the first, on WFLW and COFW the last
WORST = 10


@dataclass(frozen=True)
class FaceError:
    """The error of one face's landmarks against its labels, as fractions, not percent.

    Attributes:
        nme: by normaliser.
        parts: NME by part of the face, normalised by the distance of the outer eye corners.
        score: 0..1, of the model.
    """

    nme: dict[str, float]
    parts: dict[str, float]
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return the NME in percent and the score, rounded."""
        return {"nme_percent": _percent(self.nme), "score": round(self.score, 4)}


Errors = Mapping[str, FaceError | None]
"""Errors by the face's name; None for a face that was not found."""


def face_error(landmarks: Landmarks, truth_px: Array, score: float) -> FaceError:
    """Compare landmarks with the labels of the same face.

    Args:
        landmarks: K points in pixels of a picture.
        truth_px: (K, 2) labels in the same pixels.
        score: 0..1, of the model.

    Raises:
        ValueError: if a normalising length of the labels is zero.
    """
    scheme = landmarks.scheme
    whole: dict[str, float] = {by: nme(landmarks.points_px, truth_px, scheme, by) for by in NORMALISERS}
    shares = np.linalg.norm(landmarks.points_px - truth_px, axis=1) / normaliser(truth_px, scheme)
    parts = {name: float(shares[list(indices)].mean()) for name, indices in scheme.groups.items()}
    return FaceError(whole, parts, score)


def summary(errors: Errors) -> dict[str, Any]:
    """Compute the figures over all faces.

    Args:
        errors: by face. A face that was not found counts as a failure; the NME is over the faces found.
    """
    found = [error for error in errors.values() if error]
    ocular = _ocular(errors)
    worst = sorted(zip(ocular, errors), reverse=True)[:WORST]
    return {
        "faces": len(errors),
        "found": len(found),
        "nme_percent": _percent(_mean(error.nme for error in found)),
        "failure_percent": _percent({f"{t:.2f}": failure_rate(ocular, t) for t in THRESHOLDS}),
        "auc": {f"{t:.2f}": round(auc(ocular, t), 4) for t in THRESHOLDS},
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
        thresholds, shares = ced(_ocular(errors), THRESHOLDS[-1])
        axes.plot(100 * thresholds, 100 * shares, label=name)
    axes.set(title=title, xlabel="NME, % of the outer eye corners' distance", ylabel="faces at or below, %")
    axes.set(xlim=(0, 100 * THRESHOLDS[-1]), ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(png := io.BytesIO(), format="png")
    return png.getvalue()


def _ocular(errors: Errors) -> list[float]:
    return [error.nme["ocular"] if error else float("inf") for error in errors.values()]


def _cells(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "faces found", f"{figures['found']} of {figures['faces']}"
    for by, value in figures["nme_percent"].items():
        yield f"NME {by}, %", f"{value:.2f}"
    for threshold, value in figures["failure_percent"].items():
        yield f"FR over {threshold}, %", f"{value:.2f}"
    for threshold, value in figures["auc"].items():
        yield f"AUC to {threshold}", f"{value:.3f}"
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
