"""OpenCV's own messages, kept from the terminal for a moment, in one place for all threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

_SILENT = 0
_lock = threading.Lock()
_users = 0  # who wants quiet now, over all threads
_before = _SILENT  # the level to go back to


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV says nothing on stderr, in any thread: what matters is said by this package, once.

    The level is one for the whole process. It is as it was once the last one is through who wants quiet; a level that
    the application sets meanwhile stays.
    """
    global _users, _before
    set_level = _level_setter()
    with _lock:
        _users += 1
        level = set_level(_SILENT)
        if _users == 1 or level != _SILENT:
            _before = level
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                level = set_level(_before)
                if level != _SILENT:
                    set_level(level)


def _level_setter() -> Callable[[int], int]:
    """Sets the level and returns the one before; where an OpenCV has no such switch, nothing."""
    for module in (cv2, getattr(cv2.utils, "logging", None)):  # OpenCV 4, OpenCV 5
        if hasattr(module, "setLogLevel"):
            setter: Callable[[int], int] = module.setLogLevel  # type: ignore[union-attr]
            return setter
    return lambda level: level
