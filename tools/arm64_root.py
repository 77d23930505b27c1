"""Makes a folder with an arm64 Debian in it, to run a program of a Jetson's processor on this one, under qemu-user.

python -m tools.arm64_root --folder build/arm64

Needs Debian. Its apt fetches the packages of the same release from the same archive and checks their signatures,
dpkg-deb unpacks them. Nothing in them is run, nothing outside of the folder is changed, no rights of root are needed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tracker.cli.command import run_command
from tracker.errors import TrackerError

PACKAGES = ("python3", "python3-pip", "libgl1", "libglib2.0-0", "ca-certificates")
"""Python (3.11 in Debian 12), and what OpenCV's wheel takes from the system."""
SETTINGS = """\
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "FOLDER/state";
Dir::State::status "FOLDER/status";
Dir::Cache "FOLDER/cache";
"""


def missing_programs() -> list[str]:
    """Return the programs that this machine lacks to make such a folder."""
    return [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]


def make_root(folder: Path) -> None:
    """Fetch and unpack the packages.

    Args:
        folder: to make; one that is there already is left as it is.
    """
    if folder.is_dir():
        return
    if lacking := missing_programs():
        raise TrackerError(f"an arm64 Debian is fetched with apt, and this machine lacks {' and '.join(lacking)}")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    apt = part / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "apt.conf").write_text(SETTINGS.replace("FOLDER", str(apt.resolve())))
    _run(apt, "apt-get", "--quiet=2", "update")
    _run(apt, "apt-get", "--quiet=2", "--yes", "--download-only", "install", *PACKAGES)
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        _run(apt, "dpkg-deb", "--extract", str(package), str(part / "root"))
    shutil.move(part / "root", folder)
    shutil.rmtree(part)


def _run(apt: Path, *command: str) -> None:
    environment = {"APT_CONFIG": str(apt / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrackerError(f"{command[0]} failed: {' '.join(done.stderr.split())[-300:]}")


def main() -> int:
    """Run the command line; return the exit status."""
    return run_command(make_root, "tools.arm64_root")


if __name__ == "__main__":
    sys.exit(main())
