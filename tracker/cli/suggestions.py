"""Suggests the right name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], cutoff: float = 0.6, prefix: str = "") -> str:
    """Suggest a known name for an unknown one; capital and small letters count as the same.

    Args:
        word: the unknown name.
        known: the valid names.
        cutoff: the least similarity by difflib, from 0 to 1. Long dotted names with common beginnings need more.
        prefix: printed before the name, such as "--".

    Returns:
        "; did you mean X?", to append to a message; empty if no name is similar.
    """
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=cutoff)
    return f"; did you mean {prefix}{names[near[0]]}?" if near else ""
