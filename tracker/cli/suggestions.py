"""Suggests the right name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], cutoff: float = 0.6, prefix: str = "") -> str:
    """What to append to a message about an unknown name: "; did you mean X?", or nothing if no name resembles it.

    Args:
        word: the unknown name.
        known: the names that there are.
        cutoff: the least similarity by difflib, from 0 to 1. Long dotted names with common beginnings need more.
        prefix: what stands before the name in the message, such as "--".
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {prefix}{near[0]}?" if near else ""
