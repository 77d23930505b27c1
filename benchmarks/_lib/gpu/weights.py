"""Stores weights in half precision, in files small enough to transfer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tracker.errors import TrackerError
from tracker.system.files import write_whole

MOST_BYTES = 15 * 2**20
"""Of one file: what is brought back may have 16 MiB."""
_NAME = "weights.{:d}.pt"


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as they come back: rounded to half precision, in float32 again; counters stay."""
    return {n: v.half().float() if v.is_floating_point() else v.clone() for n, v in state.items()}


def write_halves(state: Mapping[str, Tensor], folder: Path, epoch: int) -> list[Path]:
    """Write weights in half precision as weights.0.pt, weights.1.pt ..., each of MOST_BYTES at most.

    Convolutions that only lie in the net for the names' sake (skip_layer where nothing is widened) are left out. What
    a former call has written is replaced file by file, so a cut in between leaves parts of two epochs, which
    read_halves refuses.

    Args:
        state: the task's state_dict.
        folder: where to.
        epoch: noted in every file.

    Returns:
        The files.
    """
    parts: list[dict[str, Tensor]] = [{}]
    room = MOST_BYTES
    for name, value in state.items():
        if is_unused(name, state):
            continue
        kept = (value.half() if value.is_floating_point() else value).detach().cpu().contiguous().clone()
        room -= kept.nbytes + 1024  # and its entry in the file
        if room < 0 and parts[-1]:
            parts.append({})
            room = MOST_BYTES - kept.nbytes - 1024
        parts[-1][name] = kept
    paths = []
    for index, part in enumerate(parts):
        content = io.BytesIO()
        torch.save({"epoch": epoch, "parts": len(parts), "weights": part}, content)
        paths.append(folder / _NAME.format(index))
        write_whole(paths[-1], content.getvalue())
    return paths


def is_unused(name: str, state: Mapping[str, Tensor]) -> bool:
    """Tell whether a weight is of a skip layer that its residual block leaves out, as its channels do not change."""
    if ".skip_layer." not in name:
        return False
    weight = state[f"{name.partition('.skip_layer.')[0]}.skip_layer.conv.weight"]
    return weight.shape[0] == weight.shape[1]


def read_halves(folder: Path) -> tuple[dict[str, Tensor], int]:
    """The weights of write_halves in float32, and their epoch.

    Raises TrackerError for files that are missing, unreadable or of different epochs.
    """
    read: list[dict[str, Any]] = []
    while not read or len(read) < read[0]["parts"]:
        path = folder / _NAME.format(len(read))
        try:
            read.append(torch.load(path, map_location="cpu", weights_only=True))
        except FileNotFoundError:
            raise TrackerError(f"{path}: expected a part of the weights, there is no such file") from None
        except Exception as error:
            raise TrackerError(f"{path}: expected a part of the weights, it cannot be read ({error})") from None
        if read[-1]["epoch"] != read[0]["epoch"]:
            epochs = f"{read[0]['epoch']} and {read[-1]['epoch']}"
            raise TrackerError(f"{folder}: its parts are of different epochs, {epochs}: the training was cut between")
    weights = {name: value for part in read for name, value in part["weights"].items()}
    return {n: v.float() if v.is_floating_point() else v for n, v in weights.items()}, read[0]["epoch"]
