"""Messages about optional packages that are not installed. This module imports the standard library only."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def describe_missing(package: str, extra: str | None = None, error: ImportError | None = None) -> str:
    """Return the end of a sentence: "needs X, which is not installed; pip install X".

    Args:
        package: its name, for messages.
        extra: the extra of landmark-tracker that includes it, such as "osc"; None to install the package by its name.
        error: why it could not be imported. If the package is installed but broken, the reason is in the sentence.
    """
    requirement = package if extra is None else f"'landmark-tracker[{extra}]'"
    broken = error is not None and not isinstance(error, ModuleNotFoundError)
    why = f"cannot be imported ({' '.join(str(error).split())})" if broken else "is not installed"
    return f"needs {package}, which {why}; pip install {requirement}"


def import_package(name: str) -> Any:
    """Import a package, and do not take a folder of that name for it, such as a copy of its sources.

    Args:
        name: the package, such as "tensorrt".

    Raises:
        ImportError: the package is missing or cannot be imported.
    """
    module = import_module(name)
    spec = module.__spec__
    if spec is not None and spec.origin is None:  # a folder that Python takes for a package without content
        raise ModuleNotFoundError(f"{next(iter(module.__path__), name)} is a folder, not the package", name=name)
    return module
