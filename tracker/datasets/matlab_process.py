"""Reads .mat files for tracker.datasets.matlab, in a process of its own, which is started by this file's path.

Damaged files can end the process within scipy or HDF5, by a signal that nobody can catch.

Standard input holds a JSON list of [file, variables] pairs; for each, a pickle goes to standard output: a list of
arrays, or a sentence that says what is wrong.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

MOST_BYTES = 2**31
"""Of the variables of one file together, and of the memory that reading them may take in addition to the libraries."""


def read(path: str, names: list[str]) -> list[NDArray[Any]]:
    """The variables as MATLAB shows them; of cells in a file of version 7.3, which are references, None each."""
    if not os.path.isfile(path):  # a pipe would be waited for
        raise FileNotFoundError("there is no such file")
    import h5py
    from scipy.io import loadmat

    if not h5py.is_hdf5(path):
        variables = loadmat(path, variable_names=names)
        return [np.asarray(variables[name]) for name in names]  # of a sparse matrix one object, which is refused
    with h5py.File(path, "r") as file:
        datasets = [file[name] for name in names]
        if sum(dataset.size * dataset.dtype.itemsize for dataset in datasets) > MOST_BYTES:
            raise ValueError(f"variables of more than {MOST_BYTES} bytes")
        return [_value(dataset).T for dataset in datasets]  # MATLAB stores columns first


def _value(dataset: h5py.Dataset) -> NDArray[Any]:
    import h5py

    if h5py.check_ref_dtype(dataset.dtype):
        return np.full(dataset.shape, None, object)
    return np.asarray(dataset[()])


def main() -> None:
    """Answer every request."""
    requests = json.load(sys.stdin)
    if sys.platform != "win32":
        from resource import RLIMIT_AS, RLIMIT_CORE, setrlimit

        setrlimit(RLIMIT_CORE, (0, 0))
        setrlimit(RLIMIT_AS, (4 * MOST_BYTES, 4 * MOST_BYTES))
    for path, names in requests:
        try:
            answer: Any = read(path, names)
        except Exception as error:  # a broken file raises errors of many kinds in both libraries
            answer = " ".join(f"reading it gave {type(error).__name__}: {error}".split())
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
