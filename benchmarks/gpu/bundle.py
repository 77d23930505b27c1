"""Collects everything that a GPU machine without a network needs besides this repository, in one folder.

    python -m benchmarks.gpu.bundle --data 300W --output FOLDER

Then carry the repository and the folder there, and run `bash benchmarks/gpu/run.sh FOLDER RESULTS`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.packed import pack
from tracker.cli.command import run_command
from tracker.errors import TrackerError

MOST_BYTES = 64 * 2**20
"""Of the bundle and the repository's files together."""
PYTHON = "3.12"  # of the machine with the GPU
WHEELS = ("jsonargparse", "docstring-parser", "typeshed-client", "pytools", "siphash24", "mako", "platformdirs")
SOURCES = ("pycuda",)  # comes as source only, and is built there
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
REPOSITORY = Path(__file__).parents[2]


def bundle(data: Path, output: Path, pycuda: Path | None = None) -> None:
    """Write pictures.zip, and the folders wheels and sources.

    Args:
        data: 300W, with afw, helen and lfpw.
        output: the folder to write, which must not be there yet.
        pycuda: a wheel of PyCUDA for the other machine, where one was built before; without it PyCUDA is built there
            from its source, which takes minutes.
    """
    if pycuda is not None and not (pycuda.is_file() and pycuda.match("pycuda-*.whl")):
        raise TrackerError(f"--pycuda expected a file pycuda-*.whl, got {pycuda}")
    try:
        output.mkdir(parents=True)
    except OSError as error:
        raise TrackerError(f"{output}: cannot make the folder: {error.strerror}") from None
    pack(data, output / "pictures.zip")
    platforms = [f"--platform={name}" for name in _PLATFORMS]
    _download("wheels", output, "--only-binary=:all:", f"--python-version={PYTHON}", *platforms, *WHEELS)
    if pycuda is None:
        _download("sources", output, f"--no-binary={SOURCES[0]}", *SOURCES)
    else:
        shutil.copy(pycuda, output / "wheels")
    print(check(output))


def _download(folder: str, output: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(output / folder)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no reason given"]
        raise TrackerError(f"pip cannot download {', '.join(a for a in arguments if a[0] != '-')}: {reason[-1]}")


def check(folder: Path) -> str:
    """Describe the size of the bundle; raise TrackerError if it and the repository exceed MOST_BYTES."""
    parts = {
        path.name: sum(f.stat().st_size for f in [path, *path.rglob("*")] if f.is_file()) for path in folder.iterdir()
    }
    parts["repository"] = sum((REPOSITORY / name).stat().st_size for name in _tracked())
    words = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in parts.items())
    if sum(parts.values()) > MOST_BYTES:
        raise TrackerError(f"{folder}: at most {MOST_BYTES >> 20} MiB can be carried, got {words}")
    return f"{folder}: {sum(parts.values()) / 2**20:.1f} MiB of {MOST_BYTES >> 20}: {words}"


def _tracked() -> list[str]:
    """Return the repository's files."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    return [name for name in done.stdout.decode().split("\0") if name and (REPOSITORY / name).is_file()]


def main() -> int:
    """Run the command line."""
    return run_command(bundle, "benchmarks.gpu.bundle")


if __name__ == "__main__":
    sys.exit(main())
