"""One sentence instead of a traceback where a command's packages are not installed.

It is like tracker.system.extras.describe_missing, which cannot be imported where OpenCV is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

OWN = ("tracker", "train", "export")


@contextmanager
def needs_extra(name: str, prog: str, extra: str, *packages: str) -> Iterator[None]:
    """Around the imports of a command's module: end the command where one of them fails.

    Args:
        name: the module's __name__. Where it is imported and not run, errors stay what they are; the command
            `landmarks` imports it, and says them in one sentence.
        prog: the command, such as "export.run".
        extra: what brings all that it needs, such as "export" for landmark-tracker[export].
        packages: what must be there before anything is imported, also what is only imported late in the work.
    """
    started = name == "__main__" or "".join(sys.argv[:1]).startswith("landmarks ")
    try:
        for package in packages if started else ():
            if find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
        yield
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError)
        if name == "__main__" and error.name == "tracker" and not absent:  # its own sentence on OpenCV
            print(f"{prog}: {error}", file=sys.stderr)
            sys.exit(2)
        if name != "__main__" or (error.name or "").partition(".")[0] in OWN:
            raise
        why = f"{error.name}, which is not installed" if absent else f"a package that cannot be imported ({error})"
        print(f"{prog}: needs {' '.join(why.split())}; pip install 'landmark-tracker[{extra}]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # torch alone takes seconds
        if name != "__main__":
            raise
        sys.exit(130)
