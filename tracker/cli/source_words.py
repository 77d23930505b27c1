"""Turns the positional source of `landmarks track clip.mp4` into the option for its kind."""

from __future__ import annotations

import re

from tracker.errors import TrackerError
from tracker.sources import kind_of_source

_ALONE = ("--help", "--version", "--print_config")
"""Options without a value. Flags and options that take several values arrive here as --name=value."""


def source_options(arguments: list[str]) -> list[str]:
    """Rewrite positional arguments as --camera, --video or --images.

    Args:
        arguments: options with their values, --name value or --name=value, and words: one source, or several pictures
            and folders of pictures. A number is a camera, even if a file has that name.

    Returns:
        The options, followed by those of the words.

    Raises:
        TrackerError: if a word is empty, or there are several words and not all are pictures.
    """
    options, words = _separated(arguments)
    if "" in words:
        raise TrackerError("expected a source such as clip.mp4, got an empty word")
    kinds = ["camera" if re.fullmatch(r"\d+", word) else kind_of_source(word) for word in words]
    odd = [word for word, kind in zip(words, kinds) if kind != "images"]
    if odd and len(words) > 1:
        raise TrackerError(
            f"expected one source, or several pictures and folders of pictures, got {len(words)} words of which "
            f"{odd[0]} is not a picture; give one source, and write options with --"
        )
    return options + [f"--{kind}{'+' * (kind == 'images')}={word}" for kind, word in zip(kinds, words)]


def _separated(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Separate options with their values from words."""
    options: list[str] = []
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument.startswith("--"):
            options.append(argument)
            if "=" not in argument and argument not in _ALONE:
                options += [value] if (value := next(rest, None)) is not None else []
        elif argument.startswith("-") and argument != "-":
            options.append(argument)
        else:
            words.append(argument)
    return options, words
