"""The contents of the window of demos.desktop: the picture, and a table of figures."""

from __future__ import annotations

import time

from PySide6.QtCore import QPointF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QFormLayout, QLabel, QSizePolicy, QWidget

from demos.desktop_run import Shown

FIGURES = {
    "Frames/s": "Frames tracked in the last second",
    "Latency": "From the camera's picture to the window; of a file, from when the frame was due",
    "Tracker": "What the tracker's step took of it",
    "Faces": "Faces in the picture",
    "Score": "0 to 1, that the first face is a face",
    "Pitch": "Of the first face; above 0 it looks down",
    "Yaw": "Of the first face; above 0 it turns to the picture's left",
    "Roll": "Of the first face; above 0 it tilts clockwise",
    "Dropped": "Frames of the camera that a newer one replaced before they were tracked",
    "Not shown": "Tracked frames that a newer one replaced before the window showed them",
}
"""The rows of the table, and what their tool tips say."""

NONE = "–"


class View(QWidget):
    """Shows the newest picture, as large as there is room, in its own shape."""

    def __init__(self) -> None:
        super().__init__()
        self._image: QImage | None = None
        self._shown: Shown | None = None
        self._fresh = False  # not painted so far
        self.latency_s = 0.0
        self.setMinimumSize(320, 240)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Picture with the tracked faces")

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size at first."""
        return QSize(800, 600)

    def size_px(self) -> tuple[int, int]:
        """Return width and height in pixels of the screen, of which a fine one has several to a point."""
        ratio = self.devicePixelRatioF()
        return int(self.width() * ratio + 0.5), int(self.height() * ratio + 0.5)

    def show_frame(self, shown: Shown) -> None:
        """Show a picture, without a copy of it."""
        height, width = shown.image_rgb.shape[:2]
        self._image = QImage(shown.image_rgb.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._shown, self._fresh = shown, True  # the QImage does not own its pixels
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint; called by Qt."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(16, 20, 24))
        if self._image is None or self._shown is None:
            return
        ratio, (wide, tall) = self.devicePixelRatioF(), self.size_px()
        scale = min(wide / self._image.width(), tall / self._image.height())  # 1 where it was drawn for this size
        width, height = self._image.width() * scale, self._image.height() * scale
        corner = QPointF(int((wide - width) / 2), int((tall - height) / 2)) / ratio  # on a whole pixel: not blurred
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QRectF(corner, QSizeF(width, height) / ratio), self._image)
        if self._fresh:
            self.latency_s, self._fresh = time.monotonic() - self._shown.taken_s, False


class Figures(QWidget):
    """A table of names and values, also for screen readers."""

    def __init__(self) -> None:
        super().__init__()
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.labels = {name: QLabel() for name in FIGURES}
        for name, label in self.labels.items():
            label.setAlignment(Qt.AlignmentFlag.AlignRight)
            label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
            label.setToolTip(FIGURES[name])
            layout.addRow(name, label)
        self.write(None, 0.0)

    def write(self, shown: Shown | None, latency_s: float) -> None:
        """Write the figures of a frame; a dash for each without one.

        Args:
            shown: the frame.
            latency_s: seconds from the camera to the window.
        """
        texts = [NONE] * len(FIGURES)
        if shown is not None:
            pose = [NONE] * 3 if shown.pose_deg is None else [f"{round(angle):+d}°" for angle in shown.pose_deg]
            score = NONE if shown.score is None else f"{shown.score:.2f}"
            times = [f"{1000 * seconds:.0f} ms" for seconds in (latency_s, shown.step_s)]
            counts = [str(shown.dropped), str(shown.not_shown)]
            texts = [f"{shown.fps:.0f}", *times, str(shown.faces), score, *pose, *counts]
        for (name, label), text in zip(self.labels.items(), texts):
            label.setText(text)
            label.setAccessibleName(f"{name}: {text}")
