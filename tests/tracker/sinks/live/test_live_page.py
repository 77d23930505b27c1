"""The page of the live view in Chromium, with the results of a real tracker; its screenshots are for people."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tracker.sinks.live.visitors import WAIT_S
from tracker import Tracker
from tracker.sinks import LiveView
from tracker.sources.demo import DemoClip

pytest.importorskip("websockets", reason="needs websockets, of the extra serve")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of tests/requirements-slow.txt")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of playwright
]
WAIT_MS = 3000 * WAIT_S
SCREENSHOTS = os.environ.get("TRACKER_SCREENSHOTS")
"""A folder to keep the pictures of the page in."""


class Run:
    """What the tracker finds in two seconds of the demo clip, again and again, in a live view."""

    def __init__(self) -> None:
        self.source, tracker = DemoClip(), Tracker()
        self._found = [(frame, tracker.step(frame)) for frame in DemoClip(seconds=2)]
        self.view = LiveView("127.0.0.1:0", self.source)
        self.url = self.view.urls[0]
        self.frames = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show)
        self._thread.start()

    def _show(self) -> None:
        for frame, result in itertools.cycle(self._found):
            if self._over.wait(0.05):
                return
            now = {"index": self.frames, "timestamp_s": self.frames / 20}
            self.view.write(replace(frame, **now), replace(result, **now))
            self.frames += 1

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.view.close()


@pytest.fixture
def run() -> Iterator[Run]:
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    with closing(Run()) as run:
        yield run


@pytest.fixture
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as programs:
        browser = programs.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def keep(page: Any, name: str, folder: Path) -> None:
    path = Path(SCREENSHOTS or folder) / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size > 10_000


def test_the_page_shows_the_run_and_says_when_it_has_ended(run: Run, browser: Any, tmp_path: Path) -> None:
    requests: list[str] = []
    complaints: list[str] = []
    pages = {}
    for name, size in {"desktop": (1280, 800), "phone": (390, 844)}.items():
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(run.url)
        pages[name] = page
    tabs = [browser.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(run.url)
    for page in [*pages.values(), *tabs]:
        playwright.expect(page.locator("#state")).to_have_text("live", timeout=WAIT_MS)
        playwright.expect(page.locator("#faces meter")).to_have_count(1, timeout=WAIT_MS)
    for name, page in pages.items():
        playwright.expect(page.locator("#rate")).to_have_text(re.compile("[1-9]"), timeout=WAIT_MS)
        page.wait_for_timeout(6000)
        seen = page.evaluate("[picture.naturalWidth, picture.naturalHeight, document.documentElement.scrollWidth]")
        assert seen[:2] == [*run.source.size]
        assert seen[2] <= page.viewport_size["width"]  # nothing to scroll sideways
        assert float(page.inner_text("#step").removesuffix("ms")) > 0
        keep(page, name, tmp_path)
    assert complaints == []
    for tab in tabs:
        tab.close()
    run.close()
    sentence = f"The tracker has ended after {run.frames:,} frames."
    for name, page in pages.items():
        playwright.expect(page.locator("#notice")).to_have_text(sentence, timeout=WAIT_MS)
        keep(page, f"{name}_ended", tmp_path)
    assert all(url.startswith((run.url, "blob:", "data:")) for url in requests), requests
