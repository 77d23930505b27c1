"""Variables of MATLAB's .mat files, in either of its two formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray
from scipy.io import loadmat

from train.datasets.collect import expect_file
from train.datasets.sample import DatasetError


def read_variables(path: Path, *names: str) -> list[NDArray[Any]]:
    """The variables as MATLAB shows them; cells of a 7.3 file are references into it.

    Raises DatasetError for a missing file, one that is broken and one without these variables.
    """
    expect_file(path, "a .mat file")
    try:
        if h5py.is_hdf5(path):  # version 7.3
            with h5py.File(path, "r") as file:
                return [file[name][()].T for name in names]  # MATLAB stores columns first
        variables = loadmat(path, variable_names=names)
        return [variables[name] for name in names]
    except Exception as error:  # a broken file raises errors of many kinds in both libraries
        what = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{path}: expected a .mat file with {', '.join(names)}, reading it gave {what}") from None
