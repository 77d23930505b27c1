"""The soak and the smoothing benchmark count what they say they count, on tracks and processes made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks._lib.one_euro import OneEuro
from benchmarks.smoothing import MOST_LAG, SETTLED, Track, better
from benchmarks.soak import FACE_PX, FPS, GREY, PEOPLE, Look, cycle, scene, verdict
from tracker.errors import TrackerError
from tracker.tracking.smoothing import make_smoother

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


class TestSoak:
    def test_faces_come_cross_and_go(self) -> None:
        """In ten minutes there are frames without a face and with more than the tracker may follow."""
        faces = [np.full((FACE_PX, FACE_PX, 3), 130 + 10 * n, np.uint8) for n in range(PEOPLE)]
        present = []
        for index in range(0, int(600 * FPS), 60):
            shown = set(np.unique(scene(faces, index)[::10, ::10])) - {GREY}
            present.append(len(shown))
        assert min(present) == 0
        assert max(present) >= 4
        visits = sum(cycle(person, 600)[0] - cycle(person, 0)[0] for person in range(PEOPLE))
        assert 80 < visits < 160

    def test_the_verdict_is_on_what_came_after_the_start(self) -> None:
        looks = [
            Look(1000, 80.0, 2, 9, 1),
            Look(5000, 100.0, 4, 10, 3),
            Look(6000, 109.0, 4, 11, 8),
            Look(7000, 103.5, 4, 10, 9),
        ]
        found = verdict(looks)
        assert (found["settled_mib"], found["end_mib"], found["most_mib"], found["growth_mib"]) == (
            100,
            103.5,
            109,
            3.5,
        )
        assert (found["threads"], found["handles"], found["identities"]) == ([4], [10, 11], 9)
        with pytest.raises(TrackerError, match="ended before 6000 frames"):
            verdict(looks[:2])

    @LINUX
    def test_a_look_sees_memory_threads_and_handles(self, tmp_path: Path) -> None:
        """In a process of its own: in this one, memory that other tests have freed would be used again."""
        code = f"""
import json, threading
from dataclasses import asdict
import numpy as np
from benchmarks.soak import look
before = look(1, 0)
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
held = np.ones(64 << 20, np.uint8)
with open({str(tmp_path / "file")!r}, "w"):
    after = look(2, 0)
stop.set()
thread.join()
assert held.all()
print(json.dumps([asdict(before), asdict(after)]))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        before, after = json.loads(done.stdout)
        assert after["resident_mib"] - before["resident_mib"] == pytest.approx(64, abs=8)
        assert (after["threads"], after["handles"]) == (before["threads"] + 1, before["handles"] + 1)


class TestSmoothing:
    @pytest.fixture
    def still(self) -> Track:
        return self.track(np.zeros(150))

    def track(self, shift_px: Any) -> Track:
        """A face of 100 px, measured exactly, that moves to the right by so many pixels."""
        truth = np.random.default_rng(0).uniform(0, 100, (18, 2)) + np.array([[x, 0] for x in shift_px])[:, None]
        return Track(truth, np.ones((len(truth), 18, 3)), np.full(len(truth), 100.0), truth, {})

    def test_nothing_moves_nothing_is_lost(self, still: Track) -> None:
        jitter, wander, lag = still.figures(still.smoothed(lambda: make_smoother("steady")))
        assert (jitter, wander) == pytest.approx((0, 0), abs=1e-9)
        assert np.isnan(lag)  # nothing moves

    def test_lag_is_in_frames(self) -> None:
        moving = self.track(30 * np.sin(np.arange(150) / 8))
        for by in (0, 3, 7):
            assert moving.figures(np.roll(moving.truth, by, axis=0))[2] == pytest.approx(by, abs=0.05)
        assert SETTLED > MOST_LAG

    def test_a_blink_passes_unfiltered_and_shrinks_filtered(self, still: Track) -> None:
        assert still.blink_kept(lambda: make_smoother("none")) == pytest.approx(1, abs=1e-9)
        assert 0.1 < still.blink_kept(lambda: OneEuro(0.3, 0.0)) < 0.4

    def test_better_means_worse_in_nothing(self) -> None:
        row = {"jitter": 1.0, "wander": 1.0, "lag_slow": 1.0, "lag_quick": 1.0, "blink_kept": 0.8}
        record = dict.fromkeys(("accurate", "balanced", "steady"), row)
        record["OneEuro(1, 1, 1)"] = {**row, "jitter": 0.5}
        record["OneEuro(2, 2, 2)"] = {**row, "jitter": 0.1, "lag_slow": 1.1}
        record["OneEuro(3, 3, 3)"] = {**row, "jitter": 0.1, "blink_kept": 0.7}
        assert all("OneEuro(1, 1, 1) is better" in line for line in better(record))
        del record["OneEuro(1, 1, 1)"]
        assert all("none of the grid is better" in line for line in better(record))
