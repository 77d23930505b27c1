"""Describes the machine of a measurement."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

INT8 = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")  # from slow to fast, on x86 and on ARM
PACKAGES = ("numpy", "opencv-python", "opencv-contrib-python", "onnxruntime", "mediapipe")


def machine() -> dict[str, str | int | float]:
    """Return the processor, the number of cores, the system, and the load of the last minute."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "system": platform.platform(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else float("nan"),
    }


def int8_instructions() -> list[str]:
    """Return the processor's INT8 instructions on Linux; without the newer ones INT8 is hardly faster than FP32."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = re.search(r"^(?:flags|Features)\s*:(.+)$", cpuinfo.read_text(), re.M) if cpuinfo.exists() else None
    return [name for name in INT8 if flags and name in flags[1].split()]


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return name[1] if name else platform.processor() or platform.machine()
