"""Configuration files in YAML or JSON, read within limits so that no file can hang the program or fill its memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from tracker.errors import TrackerError

MOST_BYTES = 1 << 20
MOST_DEPTH = 64
MOST_VALUES = 100_000
"""The largest number of values in a file, counted again wherever an alias repeats them."""

_read_files: ContextVar[tuple[Path, ...]] = ContextVar("configuration files", default=())


def files_read() -> tuple[Path, ...]:
    """Return the configuration files that the current command line has named so far."""
    return _read_files.get()


def forget_files() -> None:
    """Clear files_read, before another command line is parsed in this process."""
    _read_files.set(())


def guard_loader(mode: str = "yaml") -> None:
    """Make jsonargparse apply the limits to all text of a parser mode, for this process.

    Call it before arguments are parsed. A text over a limit, or with an alias that refers to itself, then raises a
    yaml.YAMLError with one sentence, which jsonargparse reports like a syntax error.

    Args:
        mode: "yaml" or "omegaconf".
    """
    load = get_loader(mode)
    if not getattr(load, "within_limits", False):
        set_loader(mode, _guarded(load), (yaml.YAMLError,))


def _guarded(load: Callable[..., Any]) -> Callable[..., Any]:
    def load_within_limits(text: str) -> Any:
        expect_limits(text)
        try:
            return load(text)
        except yaml.MarkedYAMLError as error:
            raise _without_text(error) from None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:  # odd numbers and keys
            raise yaml.YAMLError(f"it is not readable YAML ({str(error)[:80]})") from None

    load_within_limits.within_limits = True  # type: ignore[attr-defined]
    return load_within_limits


def expect_limits(text: str) -> None:
    """Raise yaml.YAMLError for a text over the limits, with an alias that refers to itself, or that is not YAML."""
    if len(text) > MOST_BYTES:
        raise yaml.YAMLError(f"it has {len(text):,} characters, at most {MOST_BYTES:,} are read")
    sizes: dict[str, int] = {}  # by anchor, once it is complete
    parts: list[tuple[str | None, int]] = []  # open anchors, and the number of values before each
    values = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor in (anchor for anchor, _ in parts):
                    raise yaml.YAMLError(f"{_place(event.start_mark)}: the alias *{event.anchor} refers to itself")
                values += sizes.get(event.anchor, 1)
            elif isinstance(event, yaml.CollectionStartEvent):
                parts.append((event.anchor, values))
                values += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = parts.pop()
                if anchor is not None:
                    sizes[anchor] = values - before
            else:
                values += 1
            if len(parts) > MOST_DEPTH:
                raise yaml.YAMLError(f"{_place(event.start_mark)}: it is nested more than {MOST_DEPTH} deep")
            if values > MOST_VALUES:
                raise yaml.YAMLError(f"{_place(event.start_mark)}: it holds more than {MOST_VALUES:,} values")
    except yaml.MarkedYAMLError as error:
        raise _without_text(error) from None
    except (RecursionError, ValueError) as error:
        raise yaml.YAMLError(f"it is not readable YAML ({str(error)[:80]})") from None


def _without_text(error: yaml.MarkedYAMLError) -> yaml.YAMLError:
    """Return the error without the lines that it quotes, which may hold a password."""
    mark = error.problem_mark or error.context_mark
    place = "" if mark is None else f"{_place(mark)}: "
    return yaml.YAMLError(f"{place}{error.problem or error.context or 'it is not YAML'}")


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


class FileOptions:
    """A mix-in for jsonargparse's parsers: records configuration files, see files_read, and limits their size."""

    def parse_path(self, path: str | os.PathLike[str], *more: Any, **options: Any) -> Any:
        """Parse a file given as --config, or named by another configuration file.

        Raises:
            TrackerError: if it is larger than MOST_BYTES; a pipe, as of <(...), may be endless.
        """
        file = Path(os.path.abspath(path))
        try:
            status = file.stat()
            has_size = stat.S_ISREG(status.st_mode) and status.st_size > 0
            content = None if has_size else _read_start(file)
            size = status.st_size if content is None else len(content)
        except (OSError, ValueError):
            return super().parse_path(path, *more, **options)  # type: ignore[misc]  # which says what is wrong
        if size > MOST_BYTES:
            length = f"{size:,}" if content is None else f"more than {MOST_BYTES:,}"
            raise TrackerError(f"--config {path} has {length} bytes, at most {MOST_BYTES:,} are read")
        _read_files.set((*_read_files.get(), file))
        if content is None:
            return super().parse_path(path, *more, **options)  # type: ignore[misc]
        return self.parse_string(content.decode(), os.path.basename(path), *more, **options)  # type: ignore[attr-defined]


def _read_start(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MOST_BYTES + 1)
