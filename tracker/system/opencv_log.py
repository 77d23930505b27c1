"""Silences OpenCV's messages on the terminal, for all threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

_SILENT = 0
_lock = threading.Lock()
_users = 0  # how many with blocks are active, over all threads
_before = _SILENT  # the level to restore


@contextmanager
def quiet() -> Iterator[None]:
    """Silence OpenCV's messages on stderr inside a with block, in all threads; this package reports errors itself.

    The level belongs to the whole process. It is restored when the last block ends; a level that the application sets
    meanwhile stays.
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
    """Return the function that sets the level and returns the previous one; a dummy if OpenCV has none."""
    for module in (cv2, getattr(cv2.utils, "logging", None)):  # OpenCV 4, OpenCV 5
        if hasattr(module, "setLogLevel"):
            setter: Callable[[int], int] = module.setLogLevel  # type: ignore[union-attr]
            return setter
    return lambda level: level
