"""What a run was like: frames, faces, speed, what each stage cost, and how old a result is when it comes."""

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
    """Counts results as they come; of the stages' times the last LAST frames are kept.

    Stages are those of FrameResult.stage_s, and what is given to add besides: "write", what the outputs took, and
    "latency", from the grab of a live frame to its result. seconds: what the run took, reading and writing included.
    model: what measured the landmarks. unit: what is counted, for people: frames, or pictures, whose faces are each
    picture's own.
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
        """Count one frame in; seconds: of further stages, by name."""
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
        """The record of --stats: milliseconds by stage, and the detector's share of the steps' time in percent."""
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
        """The same for people."""
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
