"""What is wrong with the trainer's options, in one sentence with the nearest right name."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

USER_ERROR = 2


class TrainingParser(LightningArgumentParser):
    """Ends with one sentence instead of the list of all options."""

    def parse_args(self, args: Any = None, *more: Any, **options: Any) -> Any:
        self.given = [*(sys.argv[1:] if args is None else args)]
        return super().parse_args(args, *more, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = re.sub(r"<class '(?:[a-z_]+\.)*(\w+)'>", r"\1", " ".join(message.split())).replace("typing.", "")
        names = [action.dest for action in self._actions]
        names += [dest for parser in self._choices() for dest in (action.dest for action in parser._actions)]
        hint = nearest(text, getattr(self, "given", sys.argv[1:]), names)
        print(f"train.run: {text}{hint} (train.run fit --help lists the options)", file=sys.stderr)
        sys.exit(USER_ERROR)

    def _choices(self) -> Iterator[Any]:
        """The parsers of the commands."""
        for action in self._actions:
            yield from (getattr(action, "_name_parser_map", None) or {}).values()


def nearest(text: str, given: Iterable[str], names: Iterable[str]) -> str:
    """ "; did you mean X?" of the first word that is no name of an option or a class but resembles one, else "".

    Args:
        text: a message; its quoted words are looked at.
        given: the arguments; their options and their values are looked at.
        names: dotted names of the options that there are.
    """
    words = [part for argument in given if argument.startswith("--") for part in argument[2:].split("=", 1)]
    words += re.findall(r"['\"]([\w.]+)['\"]", text)
    known = {*names}
    for word in words:
        known |= _arguments_of(word)
    for word in words:
        if word in known or word.rpartition(".")[2] in known:
            continue
        if near := difflib.get_close_matches(word, _classes_beside(word) or known, n=1, cutoff=0.75):
            return f"; did you mean {near[0]}?"
        last = word.rpartition(".")[2]
        if word in text and (near := difflib.get_close_matches(last, known, n=1, cutoff=0.75)):
            return f"; did you mean {near[0]}?"
    return ""


def _arguments_of(word: str) -> set[str]:
    """Those of the class of that dotted name, where it is one that has been imported."""
    module, _, name = word.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return {word, *inspect.signature(found).parameters} if isinstance(found, type) else set()


def _classes_beside(word: str) -> list[str]:
    """The dotted names of the classes of the module that the word names one of."""
    module = word.rpartition(".")[0]
    found = vars(sys.modules[module]) if module in sys.modules else {}
    return [f"{module}.{name}" for name, value in found.items() if isinstance(value, type)]
