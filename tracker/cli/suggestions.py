"""Suggests the right name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], cutoff: float = 0.6, prefix: str = "") -> str:
    """Suggest a known name for an unknown one.

    Args:
        word: the unknown name.
        known: the valid names.
        cutoff: the least similarity by difflib, from 0 to 1. Long dotted names with common beginnings need more.
        prefix: printed before the name, such as "--".

    Returns:
        "; did you mean X?", to append to a message; empty if no name is similar.
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {prefix}{near[0]}?" if near else ""
