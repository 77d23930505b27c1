"""The files of `configs/`, found by name where the package is installed without them in the current folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

INSTALLED = Path(__file__).parent / "configs"
CHECKOUT = Path(__file__).parents[1] / "configs"


def find_config(name: str | os.PathLike[str], kind: Literal["train", "export", "provenance"]) -> Path:
    """Return the path of a configuration file.

    Args:
        name: a path, or else the name of a file that the package has: edge68.yaml, hourglass/300w_structured.yaml, or
            as in the repository, configs/train/edge68.yaml.
        kind: the folder of configs/ in which the name is looked up.

    Returns:
        The path as it was given if it exists or the package has no such file.
    """
    given = Path(name)
    folder = INSTALLED if INSTALLED.is_dir() else CHECKOUT
    beneath = given.relative_to("configs") if given.parts[:1] == ("configs",) else Path(kind) / given
    found = folder / beneath
    inside = not given.is_absolute() and ".." not in given.parts and given.suffix in (".yaml", ".yml")
    return found if inside and not os.path.lexists(given) and found.is_file() else given


def with_found_configs(arguments: Sequence[str], kind: Literal["train", "export"]) -> list[str]:
    """Return the arguments with each file of --config found, see find_config.

    Args:
        arguments: of the command line.
        kind: the folder of configs/ in which names are looked up.
    """
    found: list[str] = []
    for argument, before in zip(arguments, ["", *arguments]):
        if before == "--config":
            found.append(str(find_config(argument, kind)))
        elif argument.startswith("--config="):
            found.append(f"--config={find_config(argument.removeprefix('--config='), kind)}")
        else:
            found.append(argument)
    return found
