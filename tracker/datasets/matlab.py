"""Reads variables of MATLAB's .mat files, in both of their formats."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.datasets import matlab_process
from tracker.datasets.collect import expect_file
from tracker.datasets.sample import DatasetError
from tracker.face.geometry import Array
from tracker.system.extras import describe_missing

TIME_S = 300.0  # the time limit of the reading process; 500 small files take a second

Variables = list[NDArray[Any]]


def read_variables(path: Path, *names: str) -> Variables:
    """Read variables in a separate process, because a damaged file can crash the libraries.

    Args:
        path: of the file.
        names: of the variables.

    Returns:
        The variables with the axes of MATLAB; for the cells of a 7.3 file, which are references, None each.

    Raises:
        DatasetError: if the file is missing or damaged, or does not have these variables.
    """
    (found,) = read_files([expect_file(path, "a .mat file")], *names)
    if isinstance(found, DatasetError):
        raise found
    return found


def read_files(paths: Sequence[Path], *names: str) -> list[Variables | DatasetError]:
    """Read the same variables of several files, see read_variables.

    Args:
        paths: of the files.
        names: of the variables.

    Returns:
        The variables of each file, or the error.

    Raises:
        DatasetError: if h5py or SciPy is not installed.
    """
    for package in ("h5py", "scipy"):
        if paths and find_spec(package) is None:
            raise DatasetError(f"{paths[0]}: reading it {describe_missing(package, 'train')}")
    found: list[Variables | DatasetError] = []
    while len(found) < len(paths):
        found += _read_by_a_process(paths[len(found) :], names)
    return found


def _read_by_a_process(paths: Sequence[Path], names: Sequence[str]) -> list[Variables | DatasetError]:
    """Read the files in order, up to the first one that crashed the process."""
    answers, end = ask_process(json.dumps([[str(path), names] for path in paths]).encode())
    stream, found = io.BytesIO(answers), list[Variables | DatasetError]()
    for path in paths:
        try:
            answer = pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):  # the answer is missing or incomplete
            answer = end
        found.append(_broken(path, names, answer) if isinstance(answer, str) else answer)
        if answer is end:
            break
    return found


def ask_process(requests: bytes) -> tuple[bytes, str]:
    """Run the reading process.

    Args:
        requests: its standard input, see tracker.datasets.matlab_process.

    Returns:
        Its standard output, and why the output ends.
    """
    command = [sys.executable, matlab_process.__file__]  # by its path, so that the package does not load OpenCV
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(command, input=requests, capture_output=True, timeout=TIME_S, env=environment)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", f"reading it took more than {TIME_S:g} s"
    except OSError as error:
        return b"", f"no process can be started to read it: {error.strerror}"
    return done.stdout, f"the process that read it ended with status {done.returncode}"


def _broken(path: Path, names: Sequence[str], reason: str) -> DatasetError:
    return DatasetError(f"{path}: expected a .mat file with {', '.join(names)}, {reason}")


def as_numbers(path: Path, name: str, variable: NDArray[Any], shape: tuple[int, ...]) -> Array:
    """Convert a variable to float64.

    Args:
        path: of the file, for messages.
        name: of the variable, for messages.
        variable: its values.
        shape: the expected shape, in which -1 is any length.

    Raises:
        DatasetError: for another shape or type.
    """
    same = len(variable.shape) == len(shape) and all(want in (-1, is_) for want, is_ in zip(shape, variable.shape))
    if variable.dtype.kind not in "biuf" or not same:
        wanted = " x ".join("N" if length < 0 else str(length) for length in shape)
        got = " x ".join(map(str, variable.shape)) or "one value"
        raise DatasetError(f"{path}: expected {name} to be {wanted} numbers, got {got} of type {variable.dtype}")
    return variable.astype(np.float64)
