"""When the detector runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tracker.tracking.schedule import DetectionSchedule


class TestSchedule:
    @pytest.fixture
    def due(self) -> Callable[[int, int, float], bool]:
        """The detector has run at 10 s."""
        schedule = DetectionSchedule()
        schedule.detected(10.0)
        return schedule.due

    def test_at_once_at_the_start(self) -> None:
        assert DetectionSchedule().due(0, 0, 0.0)
        assert DetectionSchedule().due(1, 0, -5.0)

    @pytest.mark.parametrize("coasting", [0, 1])
    def test_in_every_frame_while_there_is_none(self, due: Callable[[int, int, float], bool], coasting: int) -> None:
        assert due(0, coasting, 10.0)
        assert due(0, coasting, 10.01)
        assert due(0, coasting, 100.0)

    @pytest.mark.parametrize("measured", [1, 2, 5])
    def test_once_a_second_however_many_are_followed(
        self, due: Callable[[int, int, float], bool], measured: int
    ) -> None:
        assert not due(measured, 0, 10.0)
        assert not due(measured, 0, 10.99)
        assert due(measured, 0, 11.0)
        assert due(measured, 0, 60.0)

    def test_sooner_while_one_coasts(self, due: Callable[[int, int, float], bool]) -> None:
        assert not due(1, 1, 10.09)
        assert due(1, 1, 10.11)

    def test_when_the_clock_has_run_backwards(self, due: Callable[[int, int, float], bool]) -> None:
        assert due(1, 0, 9.0)
