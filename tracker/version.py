"""The version of the package: of the checkout that runs, else of the package that is installed."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "landmark-tracker"
UNKNOWN = "0+unknown"
"""Where the files were copied without what pip writes about them."""
_ROOT = Path(__file__).resolve().parents[1]
_NAME = re.compile(rf'^name = "{DISTRIBUTION}"$', re.MULTILINE)
_VERSION = re.compile(r'^version = "(.+)"$', re.MULTILINE)


def read_version(root: Path = _ROOT) -> str:
    """The version in pyproject.toml where the package lies in a checkout, else in the metadata of the installed one.

    An editable installation keeps the metadata of the day when it was installed, so the file comes first.

    Args:
        root: the folder that holds the package tracker.

    Returns:
        Such as "0.1.0"; UNKNOWN where there is neither.
    """
    try:
        text = (root / "pyproject.toml").read_text(encoding="utf-8")  # tomllib is not in Python 3.10
    except (OSError, UnicodeDecodeError):
        text = ""
    if _NAME.search(text) and (found := _VERSION.search(text)):
        return found[1]
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return UNKNOWN
