"""PyCUDA itself and NVIDIA's own bindings run the runtime's calls, against a fake of the driver's library.

Nothing here shows that a GPU runs them. It shows that every call has the types and the order that the driver asks for:
the fake refuses what the driver would, and does what is queued only when it is waited for.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tracker.engines.tensorrt.gpu_crop import FATBIN

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).with_name("fake_libcuda.cpp")
STAGE = """
import sys, time
from pathlib import Path
from benchmarks._lib.gpu.stages import REHEARSAL, Stage, Task, run_here
for name in sys.argv[2:]:
    sys.modules[name] = None  # importing it raises ImportError
task = Task(REHEARSAL, Path(sys.argv[1]), None, time.monotonic())
run_here(Stage("crop", "benchmarks._lib.gpu.crop:measure_crop", None), task)
"""


def extension_of(package: str, pattern: str) -> Path | None:
    """The compiled part of a package, that is not imported: without a driver it cannot be."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = sorted(Path(folder).glob(pattern))
        if found:
            return found[0]
    return None


def undefined(library: Path) -> set[str]:
    """The driver's calls that a compiled library needs as soon as it is loaded."""
    done = subprocess.run(["nm", "-D", "--undefined-only", str(library)], capture_output=True, text=True, check=True)
    return set(re.findall(r" (cu[A-Z]\w+)", done.stdout))


@pytest.fixture(scope="module")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the fake libcuda.so.1, which has every call that PyCUDA needs."""
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None or shutil.which("nm") is None:
        pytest.skip("needs a C++ compiler and nm, to make a fake of the driver's library")
    folder, source = tmp_path_factory.mktemp("driver"), FAKE.read_text()
    known = set(re.findall(r"^API (cu\w+)", source, re.M))
    pycuda = extension_of("pycuda", "_driver*.so")
    others = sorted(undefined(pycuda) - known) if pycuda else []
    source += "".join(f'API {name}() {{ return unexpected("{name}"); }}\n' for name in others)
    options = ["-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", f"-I{FATBIN.parent}"]
    command = [compiler, *options, "-xc++", "-", "-o", str(folder / "libcuda.so.1"), "-ldl"]
    subprocess.run(command, input=source, text=True, check=True)
    return folder


def run_stage(fake: Path, folder: Path, *without: str, integrated: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The record of the stage "crop" in a process whose driver is the fake, and the driver's calls."""
    log, path = folder / "calls", [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(fake), "PYTHONPATH": os.pathsep.join(path)}
    environment |= {"FAKE_CUDA_LOG": str(log), **({"FAKE_CUDA_INTEGRATED": "1"} if integrated else {})}
    command = [sys.executable, "-c", STAGE, str(folder), *without]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "crop.json").read_bytes()), log.read_text().splitlines()


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("package", ["pycuda", "cuda.bindings"])
def test_the_stage_runs_through(package: str, integrated: bool, fake_library: Path, tmp_path: Path) -> None:
    title, pattern, without = {
        "pycuda": ("PyCUDA", "_driver*.so", []),
        "cuda.bindings": ("cuda-bindings", "driver*.so", ["pycuda", "pycuda.driver"]),
    }[package]
    if importlib.util.find_spec(package.partition(".")[0]) is None or extension_of(package, pattern) is None:
        pytest.skip(f"needs {package}, which is built from source or comes as a wheel of NVIDIA's")
    record, calls = run_stage(fake_library, tmp_path, *without, integrated=integrated)
    assert record["state"] == "done", record
    assert record["through"] == title
    assert re.match(r"largest difference [0-9] of 255", record["crops_against_opencv"])
    assert record["graph"]["lost"] == 0 and record["graph"]["launches"] > 1
    assert [call for call in calls if call.startswith("MISUSE")] == []
    assert calls[0] == "cuInit"
    if calls[-1] == "cuCtxDetach":  # when the process ends PyCUDA pushes its context once more, to let go of it
        del calls[-2:]
    assert calls.count("cuCtxPushCurrent_v2") == calls.count("cuCtxPopCurrent_v2")
    begin, end = calls.index("cuStreamBeginCapture_v2"), calls.index("cuStreamEndCapture")
    copies = [] if integrated else ["cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2"]
    assert calls[begin + 1 : end] == copies
    assert calls[end + 1 : end + 3] == ["cuGraphInstantiateWithFlags", "cuGraphDestroy"]
    assert calls.count("cuGraphLaunch") == record["graph"]["launches"] + 1  # and one that is timed
    assert "cuLaunchKernel" in calls and "cuEventSynchronize" in calls


def test_neither_package_is_there(tmp_path: Path) -> None:
    """The stage fails with one sentence that names both."""
    without = ["pycuda", "pycuda.driver", "cuda", "cuda.bindings", "cuda.bindings.driver"]
    record, _ = run_stage_without_driver(tmp_path, without)
    assert record["state"] == "failed"
    assert "PyCUDA: PyCUDA, which runs" in record["error"] and "cuda-bindings cannot be imported" in record["error"]
    assert record["card"]["python"]


def run_stage_without_driver(folder: Path, without: list[str]) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-c", STAGE, str(folder), *without]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "crop.json").read_bytes()), done.stdout
