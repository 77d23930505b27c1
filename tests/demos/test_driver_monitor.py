"""The display says what the monitor reports."""

from __future__ import annotations

import math

import numpy as np

from demos.driver_monitor import COLOURS, HEIGHT, PANEL, draw_display
from tracker import EyeReport

REPORT = EyeReport("untold", None, 0.5, None, 1.5, 0.02, 0.2, math.nan, math.nan, 0.2, 1.5, 10.0, 0.0)


def test_the_panel_has_the_states_colour_and_long_lids_a_red_frame() -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    shown = draw_display(picture, REPORT, [(0.5, "untold"), (math.nan, "unknown")])
    assert shown.shape == (HEIGHT, 640 + PANEL, 3)
    assert tuple(shown[5, 640 + 5]) == COLOURS["untold"]
    assert tuple(shown[2, 2]) == COLOURS["closed"]


def test_no_face_is_shown_as_unknown() -> None:
    shown = draw_display(np.zeros((240, 320, 3), np.uint8), None, [])
    assert tuple(shown[5, 640 + 5]) == COLOURS["unknown"]
    assert not shown[2, 2].any()
