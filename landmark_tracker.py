"""The command `landmarks`, also `python -m landmark_tracker`: starts the command lines of tracker, train and export.

It is not part of a package because it must run when one of them cannot be imported: if OpenCV or PyTorch is missing,
or if a file of the user has the name of a package. A package is imported only when its command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PACKAGES = ("tracker", "train", "export")  # each imports those before it
USER_ERROR = 2
INTERRUPTED = 130


class Command(NamedTuple):
    """A command of `landmarks`.

    Attributes:
        module: whose main() is called.
        extra: the extra of landmark-tracker with its dependencies.
        help: a line for the help.
    """

    module: str
    extra: str
    help: str


COMMANDS = {
    "track": Command("tracker.run", "cpu", "track faces in a video, a camera, a stream or pictures"),
    "evaluate": Command("tracker.evaluate", "cpu", "measure a model on labelled pictures or videos"),
    "doctor": Command("tracker.doctor", "cpu", "list what is installed and found on this machine"),
    "train": Command("train.run", "train", "train a model; with test or validate as first word, measure one"),
    "label": Command("train.label", "train", "label pictures of faces with a teacher model"),
    "export": Command("export.run", "export", "write a trained model as an ONNX file or a TensorRT engine"),
}
SUBCOMMANDS = ("fit", "validate", "test")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command's name and its options; sys.argv's if None.

    Returns:
        The exit status of the command; 2 if there is no such command, or it cannot be started.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    name, rest = (given[0], given[1:]) if given else ("--help", [])
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version" or (name in COMMANDS and rest == ["--version"]):
        print(f"{' '.join(['landmarks', *given[:-1]])} {_version()}")
        return 0
    if name not in COMMANDS:
        return _end(
            "landmarks",
            f"expected one of {', '.join(COMMANDS)}, got {name or 'an empty word'}"
            f"{load_file('tracker/cli/suggestions.py').suggest(name, COMMANDS)} (--help lists the commands)",
        )
    command = COMMANDS[name]
    if (in_the_way := shadowed(command.module)) is not None:
        return _end(f"landmarks {name}", in_the_way)
    if name == "train" and not {*rest[:1]} & {*SUBCOMMANDS}:
        rest = ["fit", *rest]
    sys.argv = [f"landmarks {name}", *rest]  # the command line's own name in its messages
    try:
        return int(import_module(command.module).main() or 0)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in PACKAGES:
            raise
        return _end(sys.argv[0], load_file("tracker/system/extras.py").describe_missing(str(error.name), command.extra))
    except ImportError as error:
        if error.name != "tracker":  # that one is the package's own sentence on OpenCV
            raise
        return _end(sys.argv[0], str(error))
    except KeyboardInterrupt:  # PyTorch alone takes seconds to import
        return INTERRUPTED


def shadowed(module: str) -> str | None:
    """Check whether Python would import something else under the name of a package that a module needs.

    The packages are not imported for it.

    Args:
        module: such as "train.run", which needs the packages tracker and train.

    Returns:
        One sentence that names the file in the way; None if there is none.
    """
    needed = PACKAGES[: PACKAGES.index(module.partition(".")[0]) + 1]
    for name in needed:
        loaded = sys.modules.get(name)
        spec = find_spec(name) if loaded is None else loaded.__spec__
        if spec is None:
            continue  # its import says what is missing
        places = [Path(place) for place in spec.submodule_search_locations or [spec.origin or name]]
        if HERE / name not in [place.resolve() for place in places]:
            return (
                f"{places[0]} hides the package {name} of landmark-tracker; rename it, or start the "
                "command as `landmarks` and without its folder in PYTHONPATH"
            )
    return None


def refuse_shadowed(name: str, module: str) -> None:
    """Exit from a command of `python -m` if another file shadows a package that it needs.

    Args:
        name: the module's __name__; nothing is done if it is imported and not run.
        module: its dotted name, see shadowed.
    """
    if name == "__main__" and (sentence := shadowed(module)) is not None:
        sys.exit(_end(module, sentence))


def _version() -> str:
    return str(load_file("tracker/version.py").read_version())


def load_file(file: str) -> ModuleType:
    """Import one file of a package without the package itself, which may need what is not installed.

    Args:
        file: its path in this project, such as "tracker/version.py"; it must import the standard library only.
    """
    spec = spec_from_file_location(Path(file).stem, HERE / file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _help() -> str:
    lines = [f"  {name:<9} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: landmarks COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "landmarks COMMAND --help lists the options of a command, landmarks --version prints the version.",
            "landmarks track clip.mp4 --show",
        ]
    )


def _end(prog: str, sentence: str) -> int:
    print(f"{prog}: {' '.join(sentence.split())}", file=sys.stderr)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
