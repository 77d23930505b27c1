"""Draws each frame once and forwards it to several outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from tracker.result import FrameResult
from tracker.sinks.base import Closing, Image, PictureSink
from tracker.sources import Frame


class Drawn(Closing):
    """Draws each frame once and passes the picture to several outputs.

    Frames with non-square pixels are resized to square pixels first.

    Args:
        draw: makes an annotated picture of (image_rgb, result), such as tracker.sinks.annotate.draw_faces.
        outputs: the outputs; they are closed with this sink.
    """

    def __init__(self, draw: Callable[[Image, FrameResult], Image], outputs: Sequence[PictureSink]) -> None:
        self._draw = draw
        self._outputs = outputs

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Draw the frame and write it to all outputs, see Sink.write."""
        if frame.pixel_aspect != 1:
            frame, result = frame.squared(), result.scaled(*frame.square_scale)
        image_rgb = self._draw(frame.image_rgb, result)
        for output in self._outputs:
            output.write(image_rgb, frame.timestamp_s)

    def close(self) -> None:
        """Close all outputs, also if one of them fails, see Sink.close."""
        with contextlib.ExitStack() as stack:
            for output in self._outputs:
                stack.callback(output.close)
