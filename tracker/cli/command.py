"""Command lines generated from a function's signature; every command of this project uses it."""

from __future__ import annotations

import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser, DefaultHelpFormatter, auto_cli

from tracker.cli.config_files import FileOptions, files_read, forget_files, guard_loader
from tracker.cli.suggestions import suggest
from tracker.errors import TrackerError, one_line
from tracker.redaction import redact, redact_arguments
from tracker.system.process import (
    EXIT_SIGPIPE,
    INTERRUPTED,
    UNWRITTEN,
    Ended,
    command_name,
    ending_signals,
    standard_streams,
)
from tracker.version import read_version

USER_ERROR = 2
LONGEST = 1000
"""The largest number of characters of a message about options."""
_SEVERAL = re.compile(r"list\[(\w+)\] \| \1\b")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list in brackets, such as [1,2]",
    "NoneType": "",
}


class _Redacting(logging.Formatter):
    """Removes passwords from all log records, those of libraries included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Help(DefaultHelpFormatter):
    """Shows a flag as --show, --no-show, and no default for an option without one."""

    def _format_action_invocation(self, action: Any) -> str:
        if _is_list(action):
            return f"--{action.dest} {action.dest.upper()} ..."
        if not _is_flag(action):
            return super()._format_action_invocation(action)
        return ", ".join(f"--{prefix}{action.dest}" for prefix in ("", "no_"))

    def _format_usage(self, *args: Any, **options: Any) -> str:
        return super()._format_usage(*args, **options).replace(" {true,false}", "")

    def _expand_help(self, action: Any) -> str:
        text = super()._expand_help(action)
        if _is_flag(action):
            text = (
                text.replace("type: bool, ", "")
                .replace("default: True", "default: on")
                .replace("default: False", "default: off")
            )
        text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
        text = re.sub(
            r"(?:Optional\[)?Literal\[([^]]*)\]\]?", lambda choices: f"one of {choices[1]}".replace("'", ""), text
        )
        text = re.sub(r"Union\[([^]]*), null\]", lambda union: union[1].replace(", ", " | "), text)
        text = text.replace(" | null", "").replace(", default: null", "")
        return re.sub(
            r"\(type: (?:Union\[)?list\[(\w+)\](?:,| \|) \1(?:, null\])?\)", r"(type: \1, one or several)", text
        )


class _Parser(FileOptions, ArgumentParser):
    """Shows --max-faces, accepts --max_faces as well, and suggests the nearest option for an unknown one.

    Attributes:
        command: the name of the command, also for the parsers that jsonargparse makes for an option that is a class.
    """

    command: str

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("prog", self.command)
        super().__init__(*args, allow_abbrev=False, formatter_class=_Help, version=read_version(), **options)
        self._given: list[str] = []

    def dump(self, *args: Any, **options: Any) -> str:
        """Return the configuration for --print_config, without passwords."""
        return redact(super().dump(*args, **options))

    def format_help(self, *args: Any, **options: Any) -> str:
        """Return the help text, with dashes in the names of options."""
        return _dashed(super().format_help(*args, **options))

    def parse_args(self, args: Any = None, *more: Any, **options: Any) -> Any:
        """Parse the arguments; a value that YAML takes for null or a list stays the text that was given."""
        self._given = list(sys.argv[1:] if args is None else args)
        try:
            values = super().parse_args(args, *more, **options)
        except UnicodeDecodeError:
            self.error("--config expected a YAML file, got one that is not text")
        for name, text in _texts(self._given).items():
            if name in values and not text:
                self.error(f"--{name}: expected a value, got an empty one")
            if name in values and values[name] is None:
                values[name] = self._value(name, text)
        for name, texts in _lists(self._given).items():
            if "" in texts:
                self.error(f"--{name}: expected a value, got an empty one")
            kind = Path if self._takes_paths(name) else str
            values[name] = [kind(text) for text in texts]  # as they were given: YAML takes [a], null or a # for its own
        return values

    def _takes_paths(self, name: str) -> bool:
        return any("Path" in str(getattr(action, "_typehint", None)) for action in self._actions if action.dest == name)

    def _value(self, name: str, text: str) -> str | Path:
        """Return the text of an option that YAML takes for no value, such as a file called null or ~."""
        kinds = next((get_args(getattr(a, "_typehint", None)) for a in self._actions if a.dest == name), ())
        if not {str, Path} & {*kinds}:
            wanted = " or ".join(filter(None, (_KINDS.get(kind.__name__, "") for kind in kinds))) or "a value"
            self.error(f"--{name}: expected {wanted}, got {text}")
        return Path(text) if Path in kinds else text

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message in one line and exit with status 2."""
        known = [name[2:] for action in self._actions for name in action.option_strings]
        for dashes, name in _unknown(message):
            message += suggest(name.replace("-", "_"), known, prefix=dashes)
        if "Problems parsing config" in message and files_read():
            message = message.replace("parsing config", f"parsing --config {files_read()[-1]}", 1)
        if (none := re.search(r'key "(\w+)"', message)) and "value: None" in message:
            message = message.replace("value: None", f"value: {_texts(self._given).get(none[1])}")
        message = one_line(_dashed(" ".join(_plain(redact_arguments(message, self._given)).split())))
        if len(message) > LONGEST:  # it quotes the input
            message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
        print(f"{self.prog}: {message} (--help lists the options)", file=sys.stderr)
        sys.exit(USER_ERROR)


def _description(function: Callable[..., None]) -> str | None:
    """Return what a function's docstring says before its sections; jsonargparse itself would show the first line."""
    text = inspect.getdoc(function)
    return None if text is None else re.split(r"^(?:Args|Raises|Returns):$", text, flags=re.MULTILINE)[0].strip()


def _is_flag(action: Any) -> bool:
    return getattr(action, "_typehint", None) is bool


def _is_list(action: Any) -> bool:
    return "list[" in str(getattr(action, "_typehint", None))


def _lists(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each option that takes several, as texts, by its name."""
    lists: dict[str, list[str]] = {}
    for argument in arguments:
        name, added, text = argument.partition("+=")
        if added and re.fullmatch(r"--\w+", name):
            lists.setdefault(name[2:], []).append(text)
    return lists


def _texts(arguments: Sequence[str]) -> dict[str, str]:
    """Return the text that was given for each option, by its name; the last one if it was given repeatedly."""
    texts: dict[str, str] = {}
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            texts[name] = value if equals else following
    return texts


def _unknown(message: str) -> list[tuple[str, str]]:
    """Return the unknown options in jsonargparse's message: ("--", "outptu"), or ("", "outptu") in a file."""
    if "nrecognized arguments" in message:
        return re.findall(r"(?<![\w-])(--)([\w-]+)", message)
    return [("", name) for name in re.findall(r"Option '([\w-]+)' is not accepted", message)]


def _plain(message: str) -> str:
    """Reword jsonargparse's message about a value of the wrong type, without the names of Python's types."""
    message = re.sub(r"(--\w+)/\1\+", r"\1", message)
    message = re.sub(r'^Parser key "([\w.]+)":', r"--\1:", message)
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    kinds = re.findall(r"Expected a (?:<class '([\w.]+)'>|typing\.Literal\[(.+?)\])", message)
    if not (value and kinds):
        return message
    names = [f"one of {choices}" if choices else _KINDS.get(kind, kind) for kind, choices in kinds]
    wanted = " or ".join(filter(None, names)).replace("'", "")
    choices = re.findall(r"'([^']*)'", " ".join(text for _, text in kinds))
    return f"{message.split()[0]} expected {wanted}, got {value[1]}{suggest(value[1], choices)}"


def _dashed(text: str) -> str:
    return re.sub(r"--\w+", lambda option: option[0].replace("_", "-"), text)


def _to_jsonargparse(arguments: Sequence[str], flags: set[str], lists: set[str]) -> list[str]:
    """Rewrite --max-faces as --max_faces, --show as --show=true, and --no-show as --show=false.

    A flag may be followed by true or false. An option that takes several values, --images a b, becomes --images+=a
    --images+=b; its values end at the next option. Other arguments stay.
    """
    wanted: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        name = name[2:].replace("-", "_")
        if not argument.startswith("--"):
            wanted.append(argument)
        elif name in lists and (equals or (rest and not rest[0].startswith("--"))):
            several = [value] if equals else []
            while not equals and rest and not rest[0].startswith("--"):
                several.append(rest.pop(0))
            wanted += (f"--{name}+={each}" for each in several)
        elif equals or name.removeprefix("no_") not in flags:
            wanted.append(f"--{name}{equals}{value}")
        elif name in flags:
            said = rest.pop(0) if rest and rest[0].lower() in ("true", "false") else "true"
            wanted.append(f"--{name}={said.lower()}")
        else:
            wanted.append(f"--{name.removeprefix('no_')}=false")
    return wanted


def run_command(
    function: Callable[..., None],
    prog: str,
    arguments: Sequence[str] | None = None,
    words: Callable[[list[str]], list[str]] | None = None,
    usage: str | None = None,
) -> int:
    """Call the function with the options of the command line, or of a YAML file given as --config.

    Args:
        function: its parameters are the options.
        prog: the name of the module that is run, for messages; the command `landmarks` has its own.
        arguments: those of the command line; sys.argv's if None.
        words: turns positional arguments into options; may raise TrackerError.
        usage: what follows the command in the first line of its help, such as "[SOURCE] [OPTIONS]"; by default all
            options.

    Returns:
        The exit status: 0; 2 after a TrackerError, whose sentence is printed, and if standard output could not be
        written; 128 + the number of the signal that ended the command: 130 after Ctrl-C, 143 after SIGTERM, 129 after
        SIGHUP, 141 after the reader of a pipe has closed it, such as `| head`.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet; OpenCV reads it when it first opens a video
    given = list(sys.argv[1:] if arguments is None else arguments)
    prog = command_name(prog)
    try:
        with standard_streams() as out, ending_signals():
            status = _status(function, prog, given, words or list, usage)
            out.flush()
            if out.failure is not None:
                print(f"{prog}: standard output cannot be written ({out.failure.strerror})", file=sys.stderr)
                status = status or UNWRITTEN
            return status
    except Ended as ended:
        return ended.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return EXIT_SIGPIPE


def run_commands(
    commands: Mapping[str, Callable[..., None]],
    prog: str,
    arguments: Sequence[str] | None = None,
    first_words: Mapping[str, str] | None = None,
) -> int:
    """Call one of several functions: the first word of the command line is its name, the rest are its options.

    Args:
        commands: the functions by their names; the first line of a docstring is shown by --help.
        prog: as run_command.
        arguments: as run_command.
        first_words: by the name of a command, the option whose value may be its first word.

    Returns:
        The exit status: that of run_command; 2 if there is no such command.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in ("-h", "--help"):
        print(_list_commands(commands, command_name(prog)))
        return 0
    if name == "--version":
        print(f"{command_name(prog)} {read_version()}")
        return 0
    if name not in commands:
        got = name or "nothing"
        hint = suggest(name, commands)
        print(
            f"{command_name(prog)}: expected one of {', '.join(commands)}, got {got}{hint} (--help lists the commands)",
            file=sys.stderr,
        )
        return USER_ERROR
    option = (first_words or {}).get(name)
    usage = None if option is None else f"{option.upper()} [OPTIONS]"
    return run_command(commands[name], f"{prog} {name}", rest, lambda words: _named(words, option), usage)


def _list_commands(commands: Mapping[str, Callable[..., None]], prog: str) -> str:
    width = max(map(len, commands))
    lines = [
        f"  {name:<{width}}  {(inspect.getdoc(function) or '').partition(chr(10))[0]}".rstrip()
        for name, function in commands.items()
    ]
    return "\n".join(
        [f"usage: {prog} COMMAND [OPTIONS]", "", *lines, "", f"{prog} COMMAND --help lists the options of a command."]
    )


def _named(words: list[str], option: str | None) -> list[str]:
    """Return the arguments with the name of an option in front of its value, if the first word is one."""
    return [f"--{option}", *words] if option and words and not words[0].startswith("-") else words


def _status(
    function: Callable[..., None],
    prog: str,
    given: list[str],
    words: Callable[[list[str]], list[str]],
    usage: str | None,
) -> int:
    """Run the command and return its exit status; signals and broken pipes are raised."""
    guard_loader()
    forget_files()
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)

    class Parser(_Parser):
        command = prog

    parameters = inspect.signature(function).parameters
    flags = {name for name, parameter in parameters.items() if isinstance(parameter.default, bool)}
    lists = {name for name, parameter in parameters.items() if _SEVERAL.match(str(parameter.annotation))}
    try:
        arguments = words(_to_jsonargparse(given, flags, lists))
        shown: dict[str, Any] = {"description": _description(function)}
        if usage is not None:
            shown["usage"] = f"%(prog)s {usage}"
        auto_cli(function, args=arguments, as_positional=False, prog=prog, parser_class=Parser, **shown)
    except TrackerError as error:
        print(f"{prog}: {redact_arguments(str(error), given)}", file=sys.stderr)
        return USER_ERROR
    except SystemExit as stop:  # raised by argparse
        return stop.code if isinstance(stop.code, int) else 0
    return 0
