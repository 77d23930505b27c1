"""Without an optional package every command says in one line what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name == {0!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Absent())
"""


def run_without(package: str, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run python -m with a package that cannot be imported."""
    (folder / "sitecustomize.py").write_text(ABSENT.format(package))
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "packages", "extra"),
    [
        ("train.run", "torch lightning", "train"),
        ("train.label", "cv2 tqdm", "train"),
        ("benchmarks.loading", "torch", "dev"),
        ("benchmarks.decode", "onnx", "dev"),
        ("benchmarks.fuzz", "hypothesis", "dev"),
        ("benchmarks.gpu", "jsonargparse", "dev"),
        ("tools.hand_label", "cv2", "dev"),
        ("tools.fit_mesh68", "scipy", "dev"),
    ],
)
def test_names_what_to_install(tmp_path: Path, command: str, packages: str, extra: str) -> None:
    for package in packages.split():
        done = run_without(package, tmp_path, command)
        (line,) = done.stderr.strip().splitlines()
        assert line == f"{command}: needs {package}, which is not installed; pip install 'landmark-tracker[{extra}]'"
        assert done.returncode == 2


@pytest.mark.parametrize("command", ["tracker.run", "tracker.doctor", "tracker.evaluate", "train.run"])
def test_opencv_may_be_the_systems_own(tmp_path: Path, command: str) -> None:
    done = run_without("cv2", tmp_path, command)
    (line,) = done.stderr.splitlines()  # python -m puts its own words around ours
    needed = "needs cv2, which is not installed; pip install 'landmark-tracker[cpu]', on a Jetson apt install python3-"
    assert needed in line
    assert "Traceback" not in line
    assert done.returncode != 0


def test_a_defect_of_a_measurement_is_no_missing_package(tmp_path: Path) -> None:
    done = run_without("torch", tmp_path, "benchmarks.nothing")
    assert "No module named benchmarks.nothing" in done.stderr
    assert "pip install" not in done.stderr
