"""A window that tracks the faces of a camera, a video or pictures, with a choice of smoothing and model.

python -m demos.desktop [--source clip.mp4] [--model edge68_fast]     needs pip install '.[cpu,demo,desktop]'
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import get_args

from demos.desktop_run import CLOSE_S, DEMO, Run, Shown
from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sinks import has_display
from tracker.sources.devices import cameras
from tracker.system.extras import describe_missing
from tracker.tracking.smoothing import Smoothing
from tracker.weights.packaged import PACKAGED, RESEARCH, landmark_model

try:
    from PySide6.QtCore import Qt, QTimer, Signal
    from PySide6.QtGui import QAccessible, QAccessibleEvent, QCloseEvent, QKeySequence
    from PySide6.QtWidgets import (
        QApplication,
        QComboBox,
        QFileDialog,
        QFrame,
        QGridLayout,
        QLabel,
        QPushButton,
        QVBoxLayout,
        QWidget,
    )

    from demos.desktop_view import Figures, View
except ImportError as missing:
    print(f"desktop: {describe_missing('PySide6', 'desktop', missing)}", file=sys.stderr)
    raise SystemExit(2) from None

READ_MS = 250
"""So often the figures change: faster ones cannot be read."""

BUTTON = {"opening": "S&top", "running": "S&top", "lost": "S&top", "ended": "Start a&gain", "failed": "&Retry"}
"""What the button beside the message does in each state."""


class Window(QWidget):
    """The picture, a message with a button below it, choices and figures beside it.

    Args:
        source: as for tracker.sources.open_source, a camera's number, or DEMO.
        model: a name or a file, as Tracker takes it.
        smoothing: a preset.
    """

    news = Signal()  # sent by the run's thread, received in the window's

    def __init__(self, source: str, model: str = PACKAGED[0], smoothing: Smoothing = "balanced") -> None:
        super().__init__()
        self.setWindowTitle("Landmark tracker")
        self.run: Run | None = None
        self.state = ""
        self.shown: Shown | None = None
        self.view, self.figures = View(), Figures()
        self.message, self.button = QLabel(), QPushButton()
        self.message.setWordWrap(True)
        self.message.setMinimumHeight(2 * self.fontMetrics().lineSpacing())  # the picture keeps its size
        self.sources, self.smoothings, self.models = QComboBox(), QComboBox(), QComboBox()
        for name, place in [(f"Camera {each.number}: {each.name}", str(each.number)) for each in cameras()] or [
            ("Camera 0", "0")
        ]:
            self.sources.addItem(name, place)
        self.sources.addItem("Demo clip", DEMO)
        for name in get_args(Smoothing):
            self.smoothings.addItem(name, name)
        for name in filter(is_there, (*PACKAGED, *RESEARCH)):
            self.models.addItem(f"{name} (research only)" if name in RESEARCH else name, name)
        for box, choice in ((self.sources, source), (self.smoothings, smoothing), (self.models, model)):
            choose(box, choice)
        self._lay_out()
        self.button.clicked.connect(self._press)
        self.sources.activated.connect(self.start)
        self.smoothings.activated.connect(self._change_smoothing)
        self.models.activated.connect(self._change_model)
        self.news.connect(self._receive)
        timer = QTimer(self)
        timer.timeout.connect(lambda: self.figures.write(self.shown, self.view.latency_s))
        timer.start(READ_MS)
        self.start()

    def _lay_out(self) -> None:
        open_source, open_model = QPushButton("Open a &video or picture…"), QPushButton("O&pen a model…")
        open_source.setShortcut(QKeySequence.StandardKey.Open)
        open_source.clicked.connect(self._ask_for_source)
        open_model.clicked.connect(self._ask_for_model)
        side = QVBoxLayout()
        side.setSpacing(6)
        rows = (("&Source", self.sources, open_source), ("S&moothing", self.smoothings, None))
        for text, box, opening in (*rows, ("Mo&del", self.models, open_model)):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(22)
            box.setAccessibleName(text.replace("&", ""))
            label = QLabel(text)
            label.setBuddy(box)  # the key in the label leads to the box
            side.addWidget(label)
            side.addWidget(box)
            if opening is not None:
                side.addWidget(opening)
            side.addSpacing(14)
        line = QFrame()
        line.setFrameStyle(QFrame.Shape.HLine | QFrame.Shadow.Sunken)
        side.addWidget(line)
        side.addSpacing(8)
        side.addWidget(self.figures)
        side.addStretch()
        layout = QGridLayout(self)
        layout.addWidget(self.view, 0, 0, 1, 2)
        layout.addWidget(self.message, 1, 0)
        layout.addWidget(self.button, 1, 1)
        layout.addLayout(side, 0, 2, 2, 1)
        layout.setColumnStretch(0, 1)
        layout.setHorizontalSpacing(16)
        order = (self.sources, open_source, self.smoothings, self.models, open_model, self.button)
        for before, after in pairwise(order):
            self.setTabOrder(before, after)
        self.sources.setFocus()

    def start(self) -> None:
        """Stop what runs, and track the chosen source."""
        former, model = self.run, self.models.currentData()
        if former is not None:
            former.stop()
        self.run = Run(self.sources.currentData(), model, self.smoothings.currentData(), self.news.emit, after=former)
        self.run.size = self.view.size_px()
        self.shown = None
        self._enter("opening")
        self.run.start()

    def _press(self) -> None:
        assert self.run is not None
        if self.state in ("ended", "failed"):
            self.start()
        else:
            self.run.stop()
            self._enter("ended")

    def _receive(self) -> None:
        """Show what the run has told; drawing was done in its thread."""
        assert self.run is not None
        if self.run.stopping:
            return
        self.run.size = self.view.size_px()
        news = self.run.fetch()
        if news.message or news.state != self.state:
            self._enter(news.state, news.message)
        if news.message and news.state == "running":  # the model was refused, the former one goes on
            choose(self.models, news.model)
        if news.shown is not None:
            self.shown = news.shown
            self.view.show_frame(news.shown)

    def _enter(self, state: str, message: str = "") -> None:
        """Show a state, and a message in place of its usual one."""
        name = self.sources.currentText()
        usual = {"opening": f"Opening {name} …", "running": f"Playing {name}", "ended": f"{name} has ended"}
        text = message or usual.get(state, "")
        self.state = state
        self.button.setText(BUTTON[state])
        font = self.font()
        font.setBold(bool(message))
        self.message.setFont(font)
        if text != self.message.text():
            self.message.setText(text)
            QAccessible.updateAccessibility(QAccessibleEvent(self.message, QAccessible.Event.Alert))  # is read aloud

    def _change_smoothing(self) -> None:
        assert self.run is not None
        self.run.smoothing = self.smoothings.currentData()

    def _change_model(self) -> None:
        assert self.run is not None
        if self.state in ("ended", "failed"):
            self.start()
        else:
            self._enter(self.state)  # without the message of a model before
            self.run.model = self.models.currentData()

    def _ask_for_source(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a video or picture")
        if path:
            choose(self.sources, path)
            self.start()

    def _ask_for_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", filter="Models (*.onnx *.plan);;All files (*)")
        if path:
            choose(self.models, path)
            self._change_model()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Stop the run, and wait for it at most CLOSE_S; called by Qt."""
        if self.run is not None:
            self.run.stop()
            self.run.join(CLOSE_S)
        event.accept()


def choose(box: QComboBox, choice: str) -> None:
    """Choose an entry by its value; add one for a file or an address that is not there."""
    at = box.findData(choice)
    if at < 0:
        box.addItem(redact_source(choice) if "://" in choice else Path(choice).name, choice)
        at = box.count() - 1
        box.setItemData(at, redact_source(choice), Qt.ItemDataRole.ToolTipRole)
    box.setCurrentIndex(at)


def is_there(model: str) -> bool:
    """Tell whether a model can be chosen by its name: those for research are in the repository only."""
    try:
        landmark_model(Path(model))
    except TrackerError:
        return False
    return True


def forget_opencv_qt() -> None:
    """Remove the variables by which opencv-python leads every Qt in the process to the plugins of its own Qt 5."""
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        if f"{os.sep}cv2{os.sep}" in os.environ.get(name, ""):
            del os.environ[name]


def main(arguments: list[str] | None = None) -> int:
    """Open the window, and return the exit status when it is closed."""
    parser = argparse.ArgumentParser(prog="desktop", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", help="a video, a picture, a folder of pictures, a stream's URL, a camera's number")
    parser.add_argument("--model", default=PACKAGED[0], help="a packaged model or a file")
    parser.add_argument("--smoothing", default="balanced", choices=get_args(Smoothing))
    options = parser.parse_args(arguments)
    if not has_display() and not os.environ.get("QT_QPA_PLATFORM"):
        print("desktop: there is no display to open a window on; python -m tracker.run needs none", file=sys.stderr)
        return 2
    forget_opencv_qt()
    application = QApplication(["desktop"])
    application.setStyle("Fusion")
    signal.signal(signal.SIGINT, lambda *_: application.closeAllWindows())  # runs at the next tick of a timer
    window = Window(options.source or ("0" if cameras() else DEMO), options.model, options.smoothing)
    window.show()
    status = application.exec()
    if window.run is not None and window.run.is_alive():
        os._exit(status)  # it hangs in a driver or a connection, and Python would wait for it, or crash
    return status


if __name__ == "__main__":
    sys.exit(main())
