"""Nothing opens a connection unless an option asks for it: not the packages, nor the libraries under them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.conftest import TINY_FIT
from tracker.datasets.pts_files import write_pts
from tracker.sources.demo import DemoClip
from tracker.system.onnx_runtime import VARIABLE

ROOT = Path(__file__).resolve().parents[1]

GUARD = """
import ctypes, faulthandler, platform, signal, struct, sys

def refuse(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto", "urllib.Request"):
        sys.exit(f"{event}: {args}")
    if event == "socket.__new__" and args[1] in (-1, 2, 10, 23, 30):  # AF_INET, AF_INET6 of Linux, Windows, macOS
        sys.exit(f"{event}: {args}")

sys.addaudithook(refuse)

number = {"x86_64": 41, "aarch64": 198}.get(platform.machine()) if sys.platform == "linux" else None
if number is not None:  # the kernel ends the process, whatever library calls socket(AF_INET or AF_INET6, ...)
    steps = [(0x20, 0, 0, 0), (0x15, 0, 4, number), (0x20, 0, 0, 16), (0x15, 1, 0, 2), (0x15, 0, 1, 10),
             (0x06, 0, 0, 0x00030000), (0x06, 0, 0, 0x7FFF0000)]
    faulthandler.register(signal.SIGSYS, chain=True)  # says where
    program = b"".join(struct.pack("HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(program)
    libc = ctypes.CDLL(None)
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(held)))
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP
    if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(described)), 0, 0):
        print("no seccomp here: native code is not watched", file=sys.stderr)

def run(module, *arguments):
    import importlib
    sys.argv = [module, *arguments]
    status = importlib.import_module(module).main()
    assert not status, (module, status)
"""


def guarded(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{GUARD}\n{code}", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def finish(code: str, *arguments: object) -> None:
    done = guarded(code, *arguments)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import cv2; cv2.VideoCapture('http://127.0.0.1:9/a.mp4')",
        "from tracker import Tracker; next(Tracker().run('rtsp://127.0.0.1:9/a'))",
        "from tracker import Tracker; Tracker('triton://127.0.0.1:9/edge68')",
    ],
)
def test_the_guard_sees_what_opens_one(code: str) -> None:
    """Of Python, and where the kernel can be asked, of native code such as FFmpeg's."""
    native = "cv2" in code or "Tracker" in code
    if native and (not sys.platform.startswith("linux") or "no seccomp" in guarded("").stderr):
        pytest.skip("needs Linux's seccomp")
    assert guarded(code).returncode != 0


def test_the_tracker(tmp_path: Path) -> None:
    """Imported, on the demo, on a file, on pictures, evaluated, and the doctor; with both packaged detectors."""
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    clip = DemoClip(size=(320, 240), seconds=1)
    (tmp_path / "faces").mkdir()
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, clip.size)
    for index in range(5):
        picture = cv2.cvtColor(clip.picture(index), cv2.COLOR_RGB2BGR)
        writer.write(picture)
        cv2.imwrite(str(tmp_path / f"faces/{index}.png"), picture)
        write_pts(tmp_path / f"faces/{index}.pts", clip.truth_px(index))
    writer.release()
    finish(
        """
import os, pkgutil
import tracker, tracker.sources.demo, tracker.run
from tracker.sources.demo import DemoClip
folder = sys.argv[1]
for module in pkgutil.walk_packages(tracker.__path__, "tracker."):
    if module.name not in ("tracker.run", "tracker.doctor", "tracker.evaluate", "tracker.pyinstaller.hook-tracker"):
        __import__(module.name)

class Short(DemoClip):
    def __init__(self):
        super().__init__(size=(320, 240), seconds=1)

tracker.run.DemoClip = Short
out = ["--output", f"{folder}/o.jsonl", "--csv", f"{folder}/o.csv", "--pts", f"{folder}/p", "--stats", f"{folder}/s"]
run("tracker.run", "--demo", *out, "--overlay", f"{folder}/o.mp4")
run("tracker.run", "--video", f"{folder}/clip.mp4", "--overlay", f"{folder}/o.mp4", "--profile", f"{folder}/prof")
run("tracker.run", "--images", f"{folder}/faces", "--detector", "blazeface", "--output", f"{folder}/o.jsonl")
run("tracker.doctor")
run("tracker.evaluate", "--dataset", "folder", "--root", f"{folder}/faces", "--report", f"{folder}/r.json")
""",
        tmp_path,
    )


def test_onnxruntime_stays_silent_and_the_environment_as_it_was() -> None:
    """Newer ones connect from a thread of their own, some seconds after their import."""
    finish(
        """
import os, time
from tracker.engines.onnx import OnnxEngine
from tracker.weights.packaged import landmark_model
engine = OnnxEngine(landmark_model())
assert "ORT_DISABLE_TELEMETRY" not in os.environ
time.sleep(4)
"""
    )


@pytest.mark.slow
def test_training_and_export(w300: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="needs the extra train")
    pytest.importorskip("onnx", reason="needs the extra export")
    options = [option.format(root=w300, folder=tmp_path) for option in TINY_FIT.split()]
    options.append("--trainer.max_epochs=1")
    finish(
        """
from pathlib import Path
*options, folder = sys.argv[1:]
run("train.run", *options)
from export.run import export
from export.verify import Budget
checkpoint, budget = next(Path(folder).rglob("last.ckpt")), Budget(9, 9, 99)
export(checkpoint, Path(folder, "model.onnx"), "none", budget=budget, allow_untrained=True)
""",
        *options,
        tmp_path,
    )
