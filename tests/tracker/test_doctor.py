"""The doctor says what is here, and does not call healthy what disagrees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tracker.engines.tensorrt.fake_cuda import FakeCuda
from tracker.doctor import main
from tracker.engines.base import EngineOutput
from tracker.engines.onnx import OnnxEngine
from tracker.engines.tensorrt.plan import EngineKey, write_plan
from tracker.errors import TrackerError
from tracker.weights.packaged import WEIGHTS, YUNET, DetectorFile

ROOT = Path(__file__).parents[2]
MODEL = WEIGHTS / "edge68.onnx"
DIGEST = MODEL.with_suffix(".sha256").read_text().split()[0]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Built from the packaged model, for a machine that is not here."""
    key = EngineKey(DIGEST, "tensorrt", "10.3.0", "12.6", ("sm87",), "Orin", "fp16", (1, 4, 16))
    write_plan(tmp_path / "model.plan", b"plan", key, OnnxEngine(MODEL).spec, 0)
    return tmp_path / "model.plan"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in this process: run(*options) gives the status, the lines, and the error."""

    def call(*options: object) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["tracker.doctor", *map(str, options)])
        status = main()
        told = capsys.readouterr()
        return status, told.out.splitlines(), told.err

    return call


def starting(lines: list[str], start: str) -> str:
    (line,) = [line for line in lines if line.startswith(start)]
    return line


def test_the_command() -> None:
    command = [sys.executable, "-m", "tracker.doctor", "--selftest"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for start in ("Python 3", "NumPy", "OpenCV", "ONNX Runtime 1", "MediaPipe", "scikit-image", "TensorRT"):
        assert [line for line in lines if line.startswith(start)], start
    assert "CPUExecutionProvider" in starting(lines, "ONNX Runtime 1")
    assert DIGEST in starting(lines, "model ") and "licence" in starting(lines, "model ")
    assert starting(lines, "PyCUDA") and starting(lines, "GPU: ")
    assert starting(lines, "self-test on 6 views of ")
    assert " ms for one face" in starting(lines, "ONNX Runtime took ")
    error = starting(lines, "ONNX Runtime differs from the labels")
    assert (
        0.5 < float(error.split(" by ")[-1].split()[0]) < 3
    )  # the clip's error of 2.5 % of the eye distance is 1.2 px
    assert "reads videos with" in starting(lines, "OpenCV") and "FFMPEG" in starting(lines, "OpenCV")
    assert starting(lines, "TensorRT not run: no --plan was given")
    assert starting(lines, "crops on the GPU ")


def test_a_provider_is_tried_and_not_believed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This ONNX Runtime says that it has CUDA, and has not."""
    monkeypatch.setattr("tracker.doctor.available_providers", lambda: ["cuda", "cpu"])
    status, lines, _ = run()
    assert status == 0
    assert "cannot run on cuda here" in starting(lines, "provider cuda: ")


def test_every_model_that_loads_by_name_has_a_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines, _ = run()
    assert "MIT" in starting(lines, "  edge68: ") and "MIT" in starting(lines, "  edge68_fast: ")
    assert "research only" in starting(lines, "  edge68_300w: ")
    assert "research only" in starting(lines, "  edge68_fast_300w: ")
    monkeypatch.setattr("tracker.weights.packaged.RESEARCH", ())  # as in the installed package
    assert [line for line in run()[1] if line.startswith("  edge68")] == [
        starting(lines, "  edge68: "),
        starting(lines, "  edge68_fast: "),
        starting(lines, "  edge68_int8: "),
        starting(lines, "  edge68_fast_int8: "),
    ]


def test_a_bare_machine(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said with the command that mends it."""
    for name in ("tensorrt", "tensorrt_rtx", "pycuda.driver", "skimage.data"):
        monkeypatch.setitem(sys.modules, name, None)
    status, lines, _ = run("--selftest")
    assert status == 0
    assert "pip install tensorrt-rtx-cu13" in starting(lines, "TensorRT-RTX is not installed")
    assert "pip install pycuda" in starting(lines, "PyCUDA, ")
    assert "Apache-2.0" in starting(lines, "detector yunet") and "Apache-2.0" in starting(lines, "detector face_")
    assert "random pixels" in starting(lines, "self-test on")


def test_readers_of_videos_that_this_opencv_lacks_are_not_listed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's registry also names plugins, whose libraries may not be installed."""
    ours, plugin = cv2.CAP_IMAGES, cv2.CAP_GSTREAMER
    monkeypatch.setattr(cv2.videoio_registry, "getStreamBackends", lambda: (plugin, ours))
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: backend == ours)
    assert starting(run()[1], "OpenCV").endswith("reads videos with CV_IMAGES")
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: False)
    assert starting(run()[1], "OpenCV").endswith("reads videos with nothing")


def test_a_detector_that_is_damaged(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / YUNET.name).write_bytes(b"no")
    monkeypatch.setattr(DetectorFile, "path", tmp_path / YUNET.name)
    status, lines, _ = run()
    assert status == 0 and "expected SHA-256" in starting(lines, "detector yunet")


class ShiftedEngine:
    """Stands for the TensorRT engine: ONNX Runtime, with the points moved by shift_px."""

    shift_px = 0.0

    def __init__(self, plan: Path) -> None:
        self._engine = OnnxEngine(MODEL)
        self.spec = self._engine.spec

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        output = self._engine.run(crops)
        moved = (output.points_px + np.float32([self.shift_px, 0])).astype(np.float32)
        return EngineOutput(moved, output.scores, output.covariances_px2)


class TestSelfTest:
    @pytest.mark.parametrize(("shift_px", "status"), [(0.05, 0), (0.2, 2)])
    def test_compares(
        self, run: Any, plan: Path, monkeypatch: pytest.MonkeyPatch, shift_px: float, status: int
    ) -> None:
        monkeypatch.setattr(ShiftedEngine, "shift_px", shift_px)
        monkeypatch.setattr("tracker.doctor.TensorRtEngine", ShiftedEngine)
        found, lines, error = run("--selftest", "--plan", plan)
        assert found == status
        assert " ms for one face" in starting(lines, "TensorRT took ")
        assert f"largest {shift_px:.4f} px" in starting(lines, "TensorRT against ONNX Runtime")
        assert ("the engines disagree" in error) == (status == 2)

    def test_an_engine_that_answers_with_nan(self, run: Any, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ShiftedEngine, "shift_px", float("nan"))
        monkeypatch.setattr("tracker.doctor.TensorRtEngine", ShiftedEngine)
        found, _, error = run("--selftest", "--plan", plan)
        assert found == 2
        assert "TensorRT returns values that are not finite" in error

    @pytest.mark.parametrize(("shift_px", "status"), [(0.05, 0), (0.2, 2)])
    def test_compares_what_onnx_runtime_runs_it_on(
        self, run: Any, monkeypatch: pytest.MonkeyPatch, shift_px: float, status: int
    ) -> None:
        """A provider that moves points, as OpenVINO does in bfloat16."""

        class OnProvider(OnnxEngine):
            def __init__(self, path: Path, threads: int = 1, provider: Any = "cpu", allow_cpu: bool = False) -> None:
                super().__init__(path, threads)
                self.shift_px = 0 if provider == "cpu" else shift_px

            def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
                output = super().run(crops)
                moved = (output.points_px + np.float32([self.shift_px, 0])).astype(np.float32)
                return EngineOutput(moved, output.scores, output.covariances_px2)

        monkeypatch.setattr("tracker.doctor.OnnxEngine", OnProvider)
        monkeypatch.setattr("tracker.doctor.available_providers", lambda: ["cpu", "openvino"])
        found, lines, error = run("--selftest")
        assert found == status
        assert " ms for one face" in starting(lines, "ONNX Runtime on openvino took ")
        assert f"largest {shift_px:.4f} px" in starting(lines, "ONNX Runtime on openvino against ONNX Runtime")
        assert ("the engines disagree: ONNX Runtime on openvino" in error) == (status == 2)

    def test_says_what_cannot_be_run(self, run: Any, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        status, lines, _ = run("--selftest", "--plan", plan)
        assert status == 0 and "JetPack" in starting(lines, "TensorRT not run: ")

    def test_compares_crops_on_the_gpu(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tracker.doctor.PyCuda", FakeCuda)
        status, lines, _ = run("--selftest")
        assert status == 0
        assert "largest difference " in starting(lines, "crops on the GPU against those of OpenCV: ")

    def test_says_why_no_crops_were_made_on_the_gpu(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pycuda.driver", None)
        status, lines, _ = run("--selftest")
        assert status == 0 and "pip install pycuda" in starting(lines, "crops on the GPU not tested: PyCUDA")

    def test_a_plan_of_another_model(self, run: Any, plan: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.onnx"
        other.write_bytes(MODEL.read_bytes() + b"\x3a\x00")
        status, _, error = run("--selftest", "--plan", plan, "--model", other)
        assert status == 2 and "was built from another model" in error

    def test_a_plan_that_is_none(self, run: Any, tmp_path: Path) -> None:
        status, _, error = run("--selftest", "--plan", tmp_path / "no.plan")
        assert status == 2 and "no.plan does not exist" in error and "trusted" not in error

    def test_a_plan_without_the_test(self, run: Any, plan: Path) -> None:
        status, _, error = run("--plan", plan)
        assert status == 2 and "give --selftest too" in error

    def test_a_model_whose_answers_are_no_numbers(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        sound = OnnxEngine.run

        def damaged(self: OnnxEngine, crops: NDArray[np.uint8]) -> EngineOutput:
            answers = sound(self, crops)
            return EngineOutput(answers.points_px, answers.scores * np.float32(np.nan), answers.covariances_px2)

        monkeypatch.setattr(OnnxEngine, "run", damaged)
        status, _, error = run("--selftest")
        assert status == 2
        assert "ONNX Runtime returns values that are not finite; do not use this model" in error

    def test_nothing_to_run(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(path: Path) -> OnnxEngine:
            raise TrackerError("ONNX Runtime is not installed")

        monkeypatch.setattr("tracker.doctor.OnnxEngine", broken)
        status, lines, error = run("--selftest")
        assert status == 2 and "nothing was tested" in error
        assert starting(lines, "ONNX Runtime not run: ONNX Runtime is not installed")
