"""What is wrong with the trainer's options, in one sentence with the nearest right name."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from tracker.cli.config_files import FileOptions, files_read
from tracker.cli.suggestions import suggest
from tracker.redaction import redact_arguments
from tracker.system.process import command_name

USER_ERROR = 2


class TrainingParser(FileOptions, LightningArgumentParser):
    """Ends with one sentence instead of the list of all options."""

    def parse_args(self, args: Any = None, *more: Any, **options: Any) -> Any:
        """Parse the arguments, and keep them for messages."""
        self.given = [*(sys.argv[1:] if args is None else args)]
        return super().parse_args(args, *more, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message in one sentence, with the nearest right name, and exit with status 2."""
        if not self.exit_on_error:  # jsonargparse tries one type after the other of an option that takes several
            super().error(message, ex)
        text = re.sub(r"<class '(?:[a-z_]+\.)*(\w+)'>", r"\1", " ".join(message.split())).replace("typing.", "")
        names = [action.dest for action in self._actions]
        names += [dest for parser in self._choices() for dest in (action.dest for action in parser._actions)]
        given = getattr(self, "given", sys.argv[1:])
        if files_read():
            text = text.replace("parsing config", f"parsing --config {files_read()[-1]}", 1)
        hint, text = nearest_choice(text) or nearest(text, given, names), redact_arguments(text, given)
        name = command_name("train.run")
        print(f"{name}: {text}{hint} ({name} fit --help lists the options)", file=sys.stderr)
        sys.exit(USER_ERROR)

    def _choices(self) -> Iterator[Any]:
        """Yield the parsers of the commands."""
        for action in self._actions:
            yield from (getattr(action, "_name_parser_map", None) or {}).values()


def nearest_choice(text: str) -> str:
    """Return "; did you mean X?" for a value that is not one of the choices that a message lists, else "".

    Args:
        text: a message of jsonargparse.
    """
    value = re.search(r"(?:Got|Given) value: (\S+)", text)
    choices = re.findall(r"'([^']*)'", " ".join(re.findall(r"Literal\[([^]]*)\]", text)))
    return suggest(value[1], choices) if value else ""


def nearest(text: str, given: Iterable[str], names: Iterable[str]) -> str:
    """Return "; did you mean X?" for the first word that is no name of an option or a class but resembles one.

    Args:
        text: a message; its quoted words are looked at.
        given: the arguments; their options and their values are looked at.
        names: dotted names of the options that there are.

    Returns:
        The empty text if there is none.
    """
    words = [part for argument in given if argument.startswith("--") for part in argument[2:].split("=", 1)]
    words += re.findall(r"['\"]([\w.]+)['\"]", text)
    of_classes = {name for word in words for name in _arguments_of(word)}
    options = {name for name in names if not name.endswith(".help")}
    for word in words:
        above, dot, last = word.rpartition(".")
        if word in options or last in of_classes or _named(word) or not re.fullmatch(r"[A-Za-z_][\w.]*", word):
            continue
        known = _classes_beside(word) or options | of_classes | {above + dot + name for name in of_classes}
        if suggestion := suggest(word, known, cutoff=0.75):
            return suggestion
    return ""


def _named(word: str) -> Any:
    """Return what has been imported under that dotted name, or None."""
    module, _, name = word.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def _arguments_of(word: str) -> set[str]:
    """Return the arguments of the class of that dotted name, if it has been imported."""
    found = _named(word)
    return {*inspect.signature(found).parameters} if isinstance(found, type) else set()


def _classes_beside(word: str) -> list[str]:
    """Return the dotted names of the classes of the module that the word names one of."""
    module = word.rpartition(".")[0]
    found = vars(sys.modules[module]) if module in sys.modules else {}
    return [f"{module}.{name}" for name, value in found.items() if isinstance(value, type)]
