"""The wheel on an Arm processor, as a Jetson has one: an arm64 Debian's Python under qemu-user gives the same points.

$LANDMARKS_ARM64_ROOT names a folder with an arm64 Debian; without it tools.arm64_root makes one in build/arm64.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.test_wheel import CLEAN, PIP, expect, run, wheel  # noqa: F401
from tools.arm64_root import make_root, missing_programs
from tracker import Tracker
from tracker.errors import TrackerError
from tracker.sources.demo import DemoClip

pytestmark = pytest.mark.slow

FRAMES = 8
PROCESSOR = "cortex-a76"
"""Without SVE, as the Cortex-A78AE of a Jetson Orin, which qemu does not know."""

FIRST_PX, MOST_PX, MEAN_PX = 1e-3, 0.1, 0.005
"""Bounds of the distance between the two processors' points: in the first frame, in all frames, and their mean.

Measured with qemu 10.0: 0.00001, 0.040 and 0.0007. From the second frame on the last points place the crop, and OpenCV
places it to 1/32 of a pixel, so that a difference in the last digit may move it by that.
"""

TRACK = """
import platform, sys
import numpy as np
from tracker import Tracker
results = [*Tracker(smoothing="none").run(np.load("frames.npy"))]
np.savez("arm64.npz", points_px=[r.faces[0].landmarks.points_px for r in results],
         scores=[r.faces[0].score for r in results], machine=platform.machine())
"""


@pytest.fixture(scope="module")
def qemu() -> str:
    found = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if found is None:
        pytest.skip("needs qemu-aarch64: apt-get install qemu-user-static, or qemu-user from Debian 13 on")
    if not sys.platform.startswith("linux"):
        pytest.skip("qemu-user is for Linux")
    return found


@pytest.fixture(scope="module")
def root() -> Path:
    if named := os.environ.get("LANDMARKS_ARM64_ROOT"):
        return Path(named)  # one that is none fails
    if missing_programs():
        pytest.skip("needs an arm64 Debian in $LANDMARKS_ARM64_ROOT: this machine has no apt to fetch one")
    try:
        make_root(ROOT / "build/arm64")
    except TrackerError as error:
        pytest.skip(f"needs an arm64 Debian in $LANDMARKS_ARM64_ROOT: {error}")
    return ROOT / "build/arm64"


@pytest.fixture(scope="module")
def python(qemu: str, root: Path) -> list[str]:
    """The command of the root's Python; qemu looks for its libraries in the root first."""
    (program,) = (path for path in (root / "usr/bin").iterdir() if re.fullmatch(r"python3\.\d+", path.name))
    return [qemu, "-cpu", PROCESSOR, "-L", str(root), str(program)]


def requirements(qemu: str) -> list[str]:
    """The versions of this environment, so that only the processor differs."""
    names = {name: version(name) for name in ("numpy", "opencv-python", "onnxruntime")}
    told = re.search(r"version (\d+)", expect(run([qemu, "--version"])))
    assert told
    if int(told[1]) < 10:  # measured: 7.2 crashes when onnxruntime 1.28, 1.31 or 1.32 is imported, 10.0 does not
        names["onnxruntime"] = "1.26.0"
    return [f"{name}=={number}" for name, number in names.items()]


@pytest.fixture(scope="module")
def packages(wheel: Path, qemu: str, python: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The folder into which the root's pip has installed the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("arm64")
    major, minor = expect(run([*python, "-c", "import sys; print(*sys.version_info[:2])"])).split()
    tags = [f"manylinux_2_{number}_aarch64" for number in range(17, 37)]
    wanted = [f"{wheel}[cpu]", *requirements(qemu)]
    for_arm = ["--only-binary=:all:", "--python-version", f"{major}.{minor}", "--implementation", "cp"]
    for_arm += [f"--abi={abi}" for abi in (f"cp{major}{minor}", "abi3", "none")]
    for_arm += [f"--platform={tag}" for tag in (*tags, "manylinux2014_aarch64")]
    # This processor's pip fetches, since the other one would take minutes for it.
    expect(run([sys.executable, *PIP, "download", *for_arm, "--dest", str(folder / "wheels"), *wanted]))
    offline = ["--no-index", "--find-links", str(folder / "wheels"), "--no-compile", "--target", str(folder / "site")]
    expect(run([*python, *PIP, "install", *offline, *wanted]))
    return folder / "site"


def test_an_arm_processor_gives_the_same_points(python: list[str], packages: Path, tmp_path: Path) -> None:
    frames = np.stack([frame.image_rgb for frame in islice(DemoClip((320, 240)), FRAMES)])
    np.save(tmp_path / "frames.npy", frames)
    environment = {**CLEAN, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"}
    command = [*python, "-W", "error", "-c", TRACK]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    expect(done)
    found = np.load(tmp_path / "arm64.npz")
    assert str(found["machine"]) == "aarch64"
    faces = [result.faces[0] for result in Tracker(smoothing="none").run(frames)]
    expected_px = np.array([face.landmarks.points_px for face in faces])
    assert found["points_px"].shape == expected_px.shape == (FRAMES, 68, 2)
    apart_px = np.linalg.norm(found["points_px"] - expected_px, axis=2)
    print(f"first frame {apart_px[0].max():.6f} px, all {apart_px.max():.6f} px, mean {apart_px.mean():.6f} px")
    assert apart_px[0].max() < FIRST_PX
    assert apart_px.max() < MOST_PX
    assert apart_px.mean() < MEAN_PX
    np.testing.assert_allclose(found["scores"], [face.score for face in faces], atol=1e-3)
