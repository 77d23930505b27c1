"""Wraps a buffer of the runtime as a PyTorch tensor, without a copy."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._lib.gpu.device import Device
from tracker.engines.tensorrt.cuda import Buffer


class _OnGpu:
    """The interface through which PyTorch reads memory that another library has allocated."""

    def __init__(self, buffer: Buffer) -> None:
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": buffer.host.shape,
            "typestr": buffer.host.dtype.str,
            "data": (buffer.address, False),
            "version": 2,
        }


def tensor_of(buffer: Buffer, device: Device) -> Tensor:
    """Return the buffer's memory on the GPU; in a rehearsal that of the host.

    Args:
        buffer: must live as long as the tensor.
        device: of the memory.
    """
    if device.is_gpu:
        return torch.as_tensor(_OnGpu(buffer), device=device.torch)
    memory = (ctypes.c_ubyte * buffer.host.nbytes).from_address(buffer.address)
    array = np.ctypeslib.as_array(memory).view(buffer.host.dtype)
    return torch.from_numpy(array.reshape(buffer.host.shape))
