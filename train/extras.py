"""One sentence instead of a traceback where a command's packages are not installed.

The sentence is that of tracker.system.extras, which is loaded without its package: that needs OpenCV.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType

from landmark_tracker import load_file

OWN = ("tracker", "train", "export", "benchmarks", "tools")
USER_ERROR = 2


@contextmanager
def needs_extra(name: str, prog: str, extra: str, *packages: str) -> Iterator[None]:
    """End a command if one of the imports in this block fails.

    Args:
        name: the module's __name__. If it is imported and not run, errors stay unchanged; the command `landmarks`
            imports it, and prints them in one sentence.
        prog: the command, such as "export.run".
        extra: what brings all that it needs, such as "export" for landmark-tracker[export].
        *packages: what must be there before anything is imported, also what is only imported late in the work.
    """
    started = name == "__main__" or "".join(sys.argv[:1]).startswith("landmarks ")
    try:
        for package in packages if started else ():
            if find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
        yield
    except ImportError as error:
        if name != "__main__" or (sentence := _sentence(error, prog, extra)) is None:
            raise
        print(sentence, file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:  # torch alone takes seconds
        if name != "__main__":
            raise
        sys.exit(130)


def name_what_is_missing(package: str, extra: str) -> None:
    """Let `python -m PACKAGE.COMMAND` end with one sentence if an import fails, also one late in the work.

    Args:
        package: its __name__; called while it is imported.
        extra: what brings all that its commands need, such as "dev" for landmark-tracker[dev].
    """
    if sys.argv[:1] != ["-m"]:  # as Python has it until it has found the command
        return

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        command = getattr(sys.modules["__main__"].__spec__, "name", package).removesuffix(".__main__")
        if isinstance(error, ImportError) and (sentence := _sentence(error, command, extra)) is not None:
            print(sentence, file=sys.stderr)
            sys.exit(USER_ERROR)
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = end


def _sentence(error: ImportError, prog: str, extra: str) -> str | None:
    """Return what a user is told; None for a defect of the program."""
    absent = isinstance(error, ModuleNotFoundError)
    if error.name == "tracker" and not absent:  # its own sentence on OpenCV
        return f"{prog}: {error}"
    if (error.name or "").partition(".")[0] in OWN:
        return None
    describe_missing = load_file("tracker/system/extras.py").describe_missing
    return f"{prog}: {describe_missing(error.name if absent and error.name else 'a package', extra, error)}"
