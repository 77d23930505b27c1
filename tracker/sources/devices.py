"""Lists the connected cameras and the names that stay when their numbers change. Linux only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DEV = Path("/dev")
VIDEO4LINUX = Path("/sys/class/video4linux")
_LINKS = ("v4l/by-id", "v4l/by-path")  # the same camera in any socket; any camera in the same socket


@dataclass(frozen=True)
class Device:
    """A connected camera.

    Attributes:
        number: N of /dev/videoN.
        path: the stable link that udev made, else /dev/videoN.
        name: as its driver states it.
    """

    number: int
    path: str
    name: str

    def __str__(self) -> str:
        return f"camera {self.number}: {self.name}, {self.path}"


def cameras() -> list[Device]:
    """List the cameras by number, without a device's further nodes, which give no pictures."""
    nodes = {number: node for node in _entries(VIDEO4LINUX) if (number := device_number(node)) is not None}
    return [
        Device(number, stable_path(DEV / f"video{number}"), _content(node / "name") or "without a name")
        for number, node in sorted(nodes.items())
        if _content(node / "index") in ("0", "")
    ]


def camera_lines() -> list[str]:
    """Return one line of text for each camera, as tracker.doctor prints them."""
    return [str(device) for device in cameras()] or [f"cameras: none found in {VIDEO4LINUX}"]


def stable_path(device: Path) -> str:
    """Return the link that leads to this device, also after it was plugged in again; the device if there is none."""
    links = (link for folder in _LINKS for link in _entries(DEV / folder))
    return str(next((link for link in links if link.resolve() == device.resolve()), device))


def device_number(path: Path) -> int | None:
    """Return N of /dev/videoN, or of the one that a link leads to now; None for anything else."""
    match = re.fullmatch(r"video(\d+)", path.resolve().name)
    return int(match[1]) if match else None


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
