"""Reader, the description of what is fuzzed: its valid inputs, and its allowed outcomes."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

Files = dict[str, bytes]
"""An input: the content of files by name."""
Lines = set[tuple[str, int]]
"""Lines of code: file and number."""

MODULES = {
    "benchmarks._lib.fuzzing.read_models": (
        "metadata",
        "onnx",
        "weights beside",
        "lint",
        "detectors",
        "plans",
        "triton",
    ),
    "benchmarks._lib.fuzzing.read_answers": ("triton answers",),
    "benchmarks._lib.fuzzing.read_pictures": ("pictures", "videos"),
    "benchmarks._lib.fuzzing.read_options": ("options", "YAML", "messages"),
    "benchmarks._lib.fuzzing.read_arguments": ("frames", "landmarks", "tracker"),
    "benchmarks._lib.fuzzing.read_labels": ("pts", "tables", "evaluation", "mat", "cofw pictures", "labelled pictures"),
    "benchmarks._lib.fuzzing.read_trainings": ("checkpoints", "training YAML"),
}
"""The readers by the module that has them in its READERS."""
NAMES = tuple(name for names in MODULES.values() for name in names)


_FUNCTION = 0x2  # CO_NEWLOCALS, which the code of a class has not


@dataclass(frozen=True)
class Reader:
    """One reader of files, or of arguments.

    seeds: makes inputs that it accepts. read: reads the files in a folder, and checks what it made of them. refusals:
    the errors by which it may refuse an input; of a class in whole, exactly that class. code: the functions whose
    lines are counted, each "module" or "module:function function". fixed: files that are not changed. at_once: how many
    files of an input are changed together, where reading takes much longer than changing. traced: lines are noted for
    one input of so many, since that takes time. valid: whether all seeds are accepted, as they are but for arguments.
    """

    seeds: Callable[[], list[Files]]
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]
    code: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    at_once: int = 1
    traced: int = 5
    valid: bool = True


class Start(NamedTuple):
    """What mutating begins with: a reader's inputs, what Reader says of it, and how many lines its code has."""

    seeds: list[Files]
    fixed: tuple[str, ...]
    at_once: int
    traced: int
    valid: bool
    lines: int


class Outcome(NamedTuple):
    """The outcome of one input.

    kind: "accepted", "refused", "empty" (arguments that could not be drawn), or one of FAULTS. text: the message.
    place: the innermost line of the project. lines: those reached for the first time.
    """

    kind: str
    text: str = ""
    place: str = ""
    lines: frozenset[tuple[str, int]] = frozenset()


FAULTS = ("foreign", "crash", "timeout", "memory")
"""Outcomes that must not be: an error of another class or without one sentence, or an answer that cannot be used; the
end of the process; more than the time; more than the memory."""


class Wrong(AssertionError):
    """A reader accepted an input, but its result is invalid."""


class Empty(Exception):
    """An input that means no arguments."""


def expect(held: object, what: str) -> None:
    """Raise Wrong unless the condition holds."""
    if not held:
        raise Wrong(f"accepted, but {what}")


def find(name: str) -> Reader:
    """Return the reader of that name, importing what it needs."""
    (module,) = (module for module, names in MODULES.items() if name in names)
    reader: Reader = importlib.import_module(module).READERS[name]
    return reader


def lines_of(code: tuple[str, ...]) -> Lines:
    """Return the lines of the functions in Reader.code."""
    lines: Lines = set()
    for entry in code:
        module, _, names = entry.partition(":")
        file = importlib.import_module(module).__file__
        assert file is not None
        whole = compile(Path(file).read_text("utf-8"), file, "exec")
        for outermost, function in _functions(whole):
            if not names or outermost in names.split():
                lines |= {(file, line) for _, _, line in function.co_lines() if line and line > function.co_firstlineno}
    return lines


def _functions(code: types.CodeType, outermost: str = "") -> Iterator[tuple[str, types.CodeType]]:
    """The functions in a module's code, at any depth, with the name in the module; what runs at import is left out."""
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            name = outermost or inner.co_name
            if inner.co_flags & _FUNCTION:
                yield name, inner
            yield from _functions(inner, name)
