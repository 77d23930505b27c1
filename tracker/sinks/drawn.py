"""One drawing for all who show it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from tracker.result import FrameResult
from tracker.sinks.base import Closing, Image, PictureSink
from tracker.sources import Frame


class Drawn(Closing):
    """Draws each frame once and hands the picture to all outputs.

    draw: (image_rgb, result) to a new picture, as overlay.draw. Frames are drawn with square pixels, as they are shown.
    """

    def __init__(self, draw: Callable[[Image, FrameResult], Image], outputs: Sequence[PictureSink]) -> None:
        self._draw = draw
        self._outputs = outputs

    def write(self, frame: Frame, result: FrameResult) -> None:
        if frame.pixel_aspect != 1:
            frame, result = frame.squared(), result.scaled(*frame.square_scale)
        image_rgb = self._draw(frame.image_rgb, result)
        for output in self._outputs:
            output.write(image_rgb, frame.timestamp_s)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # one that fails does not leave the others open
            for output in self._outputs:
                stack.callback(output.close)
