"""Compares an engine's output with PyTorch's, and limits the difference.

A landmark is decoded around the highest cell of its map. If the two highest cells differ only by rounding, an engine
may choose the other one without being wrong: such a landmark is a tie, which is counted and reported separately.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from export.graph import LandmarkGraph, Precision
from tracker.engines.base import EngineOutput
from tracker.engines.onnx import OnnxEngine
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.schemes import Scheme
from tracker.metrics.nme import nme

NAMED = 3  # how many landmarks an error message names
BATCH = 16
NOISE: Mapping[Precision, float] = {"fp32": 4e-6, "fp16": 5e-4, "int8": 0.0}
"""Rounding of a map's logits, as a fraction of the largest: about 32 steps of float32, one of float16. In int8 a
quarter of all landmarks would be ties, so ties are not treated separately."""


class Runs(Protocol):
    """Turns crops into landmarks."""

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Return the landmarks of RGB crops (N, S, S, 3)."""


@dataclass(frozen=True)
class Budget:
    """The largest allowed differences between an engine and PyTorch in float32; None for the precision's default.

    Args:
        largest_px: the largest distance of a landmark without ties, in pixels of the crop.
        p99_px: the 99th percentile of the distance, with ties.
        nme_percent: the absolute change of the mean inter-ocular NME, in percentage points.
        p50_px: the median distance, with ties.
        p999_px: the 99.9th percentile of the distance, without ties.
        score: the 99th percentile of the difference of the scores, which are in 0..1.
        covariance: the 99th percentile of the difference of the covariances, as a fraction of their trace.
    """

    largest_px: float | None = None
    p99_px: float | None = None
    nme_percent: float | None = None
    p50_px: float | None = None
    p999_px: float | None = None
    score: float | None = None
    covariance: float | None = None

    def completed(self, precision: Precision) -> Budget:
        """Return the budget with the precision's defaults in place of None."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return dataclasses.replace(BUDGETS[precision], **given)


# Measured with edge68_300w on 1,005 training faces of 300W: p50, p99 and p99.9 without ties are 0, 0.00001 and 0.00001
# px in FP32, 0.002, 0.010 and 0.015 in FP16. By default the largest distance is not
# limited: some decoders jump without a tie of cells.
BUDGETS: Mapping[Precision, Budget] = {
    "fp32": Budget(math.inf, 0.01, 0.005, p50_px=0.001, p999_px=0.01, score=0.001, covariance=0.01),
    "fp16": Budget(math.inf, 0.1, 0.005, p50_px=0.02, p999_px=0.3, score=0.002, covariance=0.01),
    # A quarter of a percent of the face's extent, which is 1 / 1.25 of the crop. export.int8 keeps to p99_px.
    "int8": Budget(math.inf, 0.25, 0.01, p50_px=0.1, p999_px=math.inf, score=0.02, covariance=0.2),
}
ANYTHING = Budget(*[math.inf] * len(dataclasses.fields(Budget)))  # for benchmarks, which publish the differences


@dataclass(frozen=True)
class Difference:
    """Differences between PyTorch and an engine over faces and landmarks; distances are in pixels of the crop.

    Attributes:
        faces: how many were compared.
        p50_px: the median distance, with ties.
        mean_px: the mean distance, with ties.
        p99_px: the 99th percentile, with ties.
        p999_px: the 99.9th percentile, without ties.
        largest_px: the largest distance, without ties.
        ties: how many landmarks are ties.
        largest_tie_px: the largest distance of a tie.
        worst: the landmarks with the largest distances, without ties, the worst first.
        nme_percent: the engine's mean inter-ocular NME.
        nme_change_percent: the same minus PyTorch's.
        score: as in Budget.
        covariance: as in Budget.
    """

    faces: int
    p50_px: float
    mean_px: float
    p99_px: float
    p999_px: float
    largest_px: float
    ties: int
    largest_tie_px: float
    worst: tuple[int, ...]
    nme_percent: float
    nme_change_percent: float
    score: float
    covariance: float

    def excess(self, budget: Budget) -> str:
        """Describe what exceeds a completed budget; empty if nothing does."""
        over = [
            f"{what} is {value:.4f} {unit}".rstrip() + f", the budget {limit:g}"
            for what, value, unit, limit in (
                ("the distance of half of the landmarks", self.p50_px, "px", budget.p50_px),
                ("the distance of 99 % of the landmarks", self.p99_px, "px", budget.p99_px),
                ("the distance of 99.9 % of the landmarks with a clear peak", self.p999_px, "px", budget.p999_px),
                ("the largest distance of a landmark with a clear peak", self.largest_px, "px", budget.largest_px),
                ("the change of the NME", abs(self.nme_change_percent), "points", budget.nme_percent),
                ("the difference of 99 % of the scores", self.score, "", budget.score),
                ("the relative difference of 99 % of the covariances", self.covariance, "", budget.covariance),
            )
            if limit is not None and not value <= limit
        ]
        return ", ".join(over)

    def __str__(self) -> str:
        return (
            f"compared with PyTorch on {self.faces} validation faces\n"
            f"  distance of the landmarks, in pixels of the crop: median {self.p50_px:.1e}, 99th percentile "
            f"{self.p99_px:.1e}\n"
            f"  of those with a clear peak: 99.9th percentile {self.p999_px:.1e}, largest {self.largest_px:.1e} "
            f"({self.ties} have two peaks of the same height, largest distance {self.largest_tie_px:.1e})\n"
            f"  NME {self.nme_percent:.3f} %, a change of {self.nme_change_percent:+.4f} percentage points\n"
            f"  99th percentile of the difference: scores {self.score:.1e}, covariances {self.covariance:.1e} of "
            "their trace"
        )


class Reference:
    """The output of PyTorch in float32 on labelled crops.

    Args:
        graph: the model.
        crops: (N, S, S, 3) uint8 RGB.
        truth_px: (N, K, 2) labels, in pixels of the crop.
        scheme: of the labels.

    Raises:
        TrackerError: if there are no crops, or PyTorch's output is not finite.
    """

    def __init__(self, graph: LandmarkGraph, crops: torch.Tensor, truth_px: Array, scheme: Scheme) -> None:
        if not len(crops):
            raise TrackerError("expected validation faces to verify the model, found none")
        self.crops, self.truth_px, self.scheme = crops, truth_px, scheme
        with torch.no_grad():
            parts = [_answers(graph, part) for part in torch.split(crops, BATCH)]
        answers = [torch.cat(each).double().numpy() for each in zip(*parts, strict=True)]
        if not all(np.isfinite(each).all() for each in answers):
            raise TrackerError("expected finite landmarks, PyTorch itself returns others: the weights are damaged")
        self.points_px, self.scores, self.covariances_px2, self._margin = answers
        self.nme_percent = self.nme_of(self.points_px)

    def ties(self, precision: Precision) -> NDArray[np.bool_]:
        """Return (N, K) whether a landmark is a tie in that precision."""
        return np.asarray(self._margin <= NOISE[precision])

    def nme_of(self, points_px: Array) -> float:
        """Return the mean inter-ocular NME in percent.

        Args:
            points_px: (N, K, 2), or (K, 2) for the same points in each crop.

        Raises:
            TrackerError: if a label has no extent.
        """
        points = np.broadcast_to(points_px, self.truth_px.shape)
        try:
            return 100 * float(np.mean([nme(p, t, self.scheme) for p, t in zip(points, self.truth_px)]))
        except ValueError as error:
            raise TrackerError(f"the labels of a validation face are wrong: {error}") from None

    def compare(self, onnx_file: Path, precision: Precision = "fp32") -> Difference:
        """Compare an .onnx file, run by ONNX Runtime on the same crops.

        On a CPU, ONNX Runtime computes each operation of a float16 net in float32, and rounds its result to float16.

        Args:
            onnx_file: the model.
            precision: of the model, which decides what counts as a tie.

        Raises:
            TrackerError: if the model cannot be run, or its output is not finite.
        """
        return self.compare_engine(OnnxEngine(onnx_file), onnx_file, precision)

    def compare_engine(self, engine: Runs, source: Path, precision: Precision = "fp32") -> Difference:
        """Compare an engine on the same crops.

        Args:
            engine: runs the model.
            source: the model's file, for messages.
            precision: of the model, which decides what counts as a tie.

        Raises:
            TrackerError: if the model cannot be run, or its output is not finite.
        """
        outputs = [engine.run(part.numpy()) for part in torch.split(self.crops, BATCH)]
        points, scores, covariances = (
            np.concatenate([getattr(output, name) for output in outputs]).astype(np.float64)
            for name in ("points_px", "scores", "covariances_px2")
        )
        finite = np.isfinite(points).all(-1) & np.isfinite(scores) & np.isfinite(covariances).all(-1)
        if not finite.all():
            raise TrackerError(f"{source}: {(~finite).sum()} of its {finite.size} landmarks are not finite")
        distance = np.linalg.norm(points - self.points_px, axis=-1)
        ties = self.ties(precision)
        clear = np.where(ties, 0.0, distance)
        found = self.nme_of(points)
        trace = self.covariances_px2[..., 0] + self.covariances_px2[..., 2]
        change = np.abs(covariances - self.covariances_px2).max(-1) / np.maximum(trace, 0.01)
        return Difference(
            faces=len(self.crops),
            p50_px=float(np.median(distance)),
            mean_px=float(distance.mean()),
            p99_px=float(np.percentile(distance, 99)),
            p999_px=float(np.percentile(distance[~ties], 99.9)) if not ties.all() else 0.0,
            largest_px=float(clear.max()),
            ties=int(ties.sum()),
            largest_tie_px=float(np.where(ties, distance, 0.0).max()),
            worst=tuple(np.argsort(-clear.max(0))[:NAMED].tolist()),
            nme_percent=found,
            nme_change_percent=found - self.nme_percent,
            score=float(np.percentile(np.abs(scores - self.scores), 99)),
            covariance=float(np.percentile(change, 99)),
        )


def expect_within(difference: Difference, budget: Budget, precision: Precision, output: Path) -> None:
    """Raise TrackerError, which names the output, if a difference exceeds the budget.

    Args:
        difference: of the engine.
        budget: the largest allowed differences; fields that are None have the default of the precision.
        precision: of the engine.
        output: the file that is not written then.
    """
    if excess := difference.excess(budget.completed(precision)):
        worst = ", ".join(map(str, difference.worst))
        raise TrackerError(f"{output}: not written: {excess}; the worst landmarks are {worst}")


def _answers(graph: LandmarkGraph, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return points, scores, covariances and (N, K) margins.

    A margin is the difference of the two highest cells, as a fraction of the map's largest absolute logit.
    """
    logits, head_output = graph.maps(crops)
    cells = logits.flatten(2)
    first, second = cells.topk(2, -1).values.unbind(-1)
    margins = (first - second) / cells.abs().amax(-1).clamp_min(torch.finfo(cells.dtype).tiny)
    return (*graph.decode(logits, head_output), margins)
