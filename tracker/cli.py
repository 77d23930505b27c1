"""Command lines made from a function's signature, as all of this project's are."""

from __future__ import annotations

import difflib
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, auto_cli

from tracker.config_files import files_read, forget_files, guard_loader, note_config_file
from tracker.errors import TrackerError
from tracker.redaction import redact, redact_arguments

USER_ERROR = 2
INTERRUPTED = 130
READER_GONE = 141  # as a command ends that SIGPIPE stops
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "NoneType": ""}


class _Redacting(logging.Formatter):
    """Takes passwords out of what is logged, whoever logs it."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Parser(ArgumentParser):
    """Says --max-faces, takes --max_faces too, and names the nearest option for an unknown one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **options)

        self._given: list[str] = []

    def parse_path(self, cfg_path: Any, *more: Any, **options: Any) -> Any:
        """A file given as --config, or named by another."""
        note_config_file(cfg_path)
        return super().parse_path(cfg_path, *more, **options)

    def dump(self, *args: Any, **options: Any) -> str:
        """The configuration, as --print_config shows it."""
        return redact(super().dump(*args, **options))

    def format_help(self, *args: Any, **options: Any) -> str:
        return _dashed(super().format_help(*args, **options))

    def parse_args(self, args: Any = None, *more: Any, **options: Any) -> Any:
        self._given = list(sys.argv[1:] if args is None else args)
        try:
            return super().parse_args(args, *more, **options)
        except UnicodeDecodeError:
            self.error("--config expected a YAML file, got one that is no text")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        known = [name[2:] for action in self._actions for name in action.option_strings]
        for dashes, name in _unknown(message):
            if near := difflib.get_close_matches(name.replace("-", "_"), known, n=1):
                message += f"; did you mean {dashes}{near[0]}?"
        if "Problems parsing config" in message and files_read():
            message = message.replace("parsing config", f"parsing --config {files_read()[-1]}", 1)
        message = _dashed(" ".join(_plain(redact_arguments(message, self._given)).split()))
        print(f"{self.prog}: {message} (--help lists the options)", file=sys.stderr)
        sys.exit(USER_ERROR)


def _unknown(message: str) -> list[tuple[str, str]]:
    """The unknown options in a message of jsonargparse: ("--", "outptu"), or ("", "outptu") of a file."""
    if "nrecognized arguments" in message:
        return re.findall(r"(?<![\w-])(--)([\w-]+)", message)
    return [("", name) for name in re.findall(r"Option '([\w-]+)' is not accepted", message)]


def _plain(message: str) -> str:
    """What jsonargparse says of a value of the wrong type, without the types' Python names."""
    message = re.sub(r'^Parser key "([\w.]+)":', r"--\1:", message)
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    kinds = re.findall(r"Expected a (?:<class '([\w.]+)'>|typing\.Literal\[(.+?)\])", message)
    if not (value and kinds):
        return message
    names = [f"one of {choices}" if choices else _KINDS.get(kind, kind) for kind, choices in kinds]
    wanted = " or ".join(filter(None, names)).replace("'", "")
    return f"{message.split()[0]} expected {wanted}, got {value[1]}"


def _dashed(text: str) -> str:
    return re.sub(r"--\w+", lambda option: option[0].replace("_", "-"), text)


def _as_jsonargparse_wants(argument: str, flags: set[str]) -> str:
    """--max-faces=3 as --max_faces=3, and a flag alone as --flag=true; what is no option stays."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    name = name[2:].replace("-", "_")
    return f"--{name}=true" if name in flags and not equals else f"--{name}{equals}{value}"


def run_command(function: Callable[..., None], prog: str, arguments: Sequence[str] | None = None) -> int:
    """Call the function with the options of the command line, or of a YAML file given as --config.

    Returns the exit status: 0, 2 after a TrackerError, whose sentence is printed, 130 after Ctrl-C, 141 when
    nobody reads the output any more, as behind `| head`.
    """
    guard_loader()
    forget_files()
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    flags = {name for name, p in inspect.signature(function).parameters.items() if p.default is False}
    given = [_as_jsonargparse_wants(a, flags) for a in (sys.argv[1:] if arguments is None else arguments)]
    try:
        auto_cli(function, args=given, as_positional=False, prog=prog, parser_class=_Parser)
        sys.stdout.flush()
    except TrackerError as error:
        print(f"{prog}: {redact_arguments(str(error), given)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        return READER_GONE
    return 0
