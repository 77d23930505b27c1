"""The summary of a run: frames, faces, speed, the time of each stage, and latency."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tracker.result import FrameResult
from tracker.weights.packaged import ModelIdentity

STAGES = ("detect", "crop", "engine", "smooth", "step", "write", "latency")
LAST = 10_000  # frames whose stage times are kept
QUANTILES = {"p50": 50, "p95": 95, "p99": 99}


class Summary:
    """Collects statistics of results; stage times are kept for the last LAST frames.

    Stages are those of FrameResult.stage_s, plus those passed to add: "write", the time of the outputs, and "latency",
    from the grab of a live frame to its result.

    Args:
        model: the landmark model.
        unit: what is counted, for messages: "frames" or "pictures".

    Attributes:
        frames: how many results were added.
        measured: those with a face that was measured.
        ids: how many faces there were in all.
        refused: detections with too low a score of the landmark model.
        seconds: the duration of the run, reading and writing included; set by the caller.
    """

    def __init__(self, model: ModelIdentity, unit: str = "frames") -> None:
        self.model = model
        self.unit = unit
        self.frames = 0
        self.measured = 0
        self.ids = 0
        self.refused = 0
        self.seconds = 0.0
        self._seconds = {stage: deque[float](maxlen=LAST) for stage in STAGES}

    def add(self, result: FrameResult, **seconds: float) -> None:
        """Add one result.

        Args:
            result: of the frame.
            seconds: the time of further stages, by name.
        """
        self.frames += 1
        self.measured += any(face.state == "tracking" for face in result.faces)
        self.refused += result.refused
        if result.picture is None:
            self.ids = max([self.ids, *(face.id for face in result.faces)])
        else:
            self.ids += len(result.faces)
        for stage, spent in {**result.stage_s, **seconds}.items():
            self._seconds[stage].append(spent)

    def to_json(self) -> dict[str, Any]:
        """Return the record of --stats, with milliseconds by stage and the detector's share of the steps in percent."""
        steps = sum(self._seconds["step"])
        return {
            "model": asdict(self.model),
            "frames": self.frames,
            "frames_with_a_measured_face": self.measured,
            "faces": self.ids,
            "refused_detections": self.refused,
            "seconds": round(self.seconds, 3),
            "frames_per_s": round(self.frames / self.seconds, 2) if self.seconds > 0 else None,
            "detector_share_percent": round(100 * sum(self._seconds["detect"]) / steps, 2) if steps else None,
            "stages_ms": {stage: _quantiles(spent) for stage, spent in self._seconds.items() if spent},
        }

    def lines(self) -> list[str]:
        """Return the same as lines of text."""
        record = self.to_json()
        share = record["detector_share_percent"]
        rows = [
            f"{self.frames} {self.unit}, {self.measured} with a face, {self.ids} faces in all, "
            f"{record['frames_per_s'] or float('nan'):.1f} {self.unit}/s",
            f"{'stage':<8}" + "".join(f"{f'{name} ms':>9}" for name in QUANTILES) + f"{'calls':>8}",
        ]
        rows += [_row(stage, figures) for stage, figures in record["stages_ms"].items()]
        if self.refused:
            rows.append(f"{self.refused} detections were refused, their score too low for a face (--min-score)")
        if share is not None:
            rows.append(f"the detector took {share:.1f} % of the steps' time")
        return [*rows, str(self.model)]


def _quantiles(seconds: deque[float]) -> dict[str, float]:
    values = np.percentile(seconds, list(QUANTILES.values())) * 1e3
    return {**{name: round(float(value), 3) for name, value in zip(QUANTILES, values)}, "calls": len(seconds)}


def _row(stage: str, figures: Mapping[str, float]) -> str:
    times = "".join(f"{figures[name]:>9.2f}" for name in QUANTILES)
    return f"{stage:<8}{times}{figures['calls']:>8}"
