"""Reads .mat files for tracker.datasets.matlab, in a separate process, which is started by this file's path.

Damaged files can crash SciPy or HDF5 with a signal that cannot be handled.

Standard input is a JSON list of [file, variables] pairs; for each pair a pickle is written to standard output: a list
of arrays, or an error message.
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
"""The largest total size of the variables of one file; a quarter of the memory limit of the process."""


def read(path: str, names: list[str]) -> list[NDArray[Any]]:
    """Read variables, with the axes of MATLAB; None for each cell of a file of version 7.3, which is a reference.

    Args:
        path: of the file.
        names: of the variables.
    """
    if not os.path.isfile(path):  # reading a pipe would block
        raise FileNotFoundError("there is no such file")
    import h5py
    from scipy.io import loadmat

    if not h5py.is_hdf5(path):
        variables = loadmat(path, variable_names=names)
        return [np.asarray(variables[name]) for name in names]  # a sparse matrix becomes one object, which is refused
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
        except Exception as error:  # errors of a damaged file have no common type
            answer = " ".join(f"reading it gave {type(error).__name__}: {error}".split())
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
