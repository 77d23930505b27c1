"""What a run was like: frames, faces, speed, and what each stage cost."""

from __future__ import annotations

from collections import deque

import numpy as np

from tracker.result import FrameResult

STAGES = ("detect", "crop", "engine", "smooth", "step")
LAST = 10_000  # frames whose stage times are kept


class Summary:
    """Counts results as they come; of the stages' times the last LAST frames are kept."""

    def __init__(self) -> None:
        self.frames = 0
        self.with_face = 0
        self.ids: set[int] = set()
        self._seconds = {stage: deque[float](maxlen=LAST) for stage in STAGES}

    def add(self, result: FrameResult) -> None:
        """Count one frame in."""
        self.frames += 1
        self.with_face += bool(result.faces)
        self.ids.update(face.id for face in result.faces)
        for stage, seconds in result.stage_s.items():
            self._seconds[stage].append(seconds)

    def lines(self, elapsed_s: float) -> list[str]:
        """The summary for people. elapsed_s: how long the run took, reading and writing included."""
        rate = self.frames / elapsed_s if elapsed_s > 0 else float("nan")
        faces = f"{self.with_face} with a face, {len(self.ids)} faces in all"
        rows = [
            f"{self.frames} frames, {faces}, {rate:.1f} frames/s",
            f"{'stage':<8}{'p50 ms':>9}{'p95 ms':>9}{'calls':>8}",
        ]
        for stage, seconds in self._seconds.items():
            if seconds:
                p50, p95 = 1e3 * np.percentile(seconds, (50, 95))
                rows.append(f"{stage:<8}{p50:>9.2f}{p95:>9.2f}{len(seconds):>8}")
        return rows
