"""`landmarks doctor`, python -m tracker.doctor: lists what is installed, and checks that the engines agree."""

from __future__ import annotations

import functools
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.cli.command import run_command
from tracker.engines.auto import AUTO, INT8, WORTH, int8_time_ratio, name_for
from tracker.engines.base import Engine, EngineOutput, GpuEngine
from tracker.engines.onnx import OnnxEngine, Provider, available_providers
from tracker.engines.onnx_file import metadata_of, model_sha256, read_model
from tracker.engines.spec import INPUT, ModelSpec
from tracker.engines.tensorrt.check import compare_gpu_crops
from tracker.engines.tensorrt.cuda import PyCuda, load_pycuda
from tracker.engines.tensorrt.engine import TensorRtEngine
from tracker.engines.tensorrt.plan import TITLES, described_plan, first_gpu, load_tensorrt
from tracker.errors import TrackerError, one_line
from tracker.face.crop import warp
from tracker.face.geometry import transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources import camera_lines
from tracker.sources.demo import DemoClip
from tracker.system.onnx_runtime import import_onnxruntime
from tracker.tracking.estimator import next_roi
from tracker.weights.packaged import (
    BLAZEFACE,
    PACKAGED,
    YUNET,
    DetectorFile,
    landmark_model,
    named_models,
    packaged_detector,
)

BUDGET_PX = 0.1
"""The largest 99th percentile of the distance between two engines' points, in pixels of the crop."""

VIEWS = 6  # more than one batch of four
_WARM_UP, _CALLS = 5, 50
_REFERENCE = "ONNX Runtime"  # on the CPU


def doctor(selftest: bool = False, model: Path | None = None, plan: Path | None = None) -> None:
    """List what is installed and found on this machine; with --selftest also compare and time the engines.

    Args:
        selftest: run the model in every engine that is available, crop on the GPU, and time what --model auto would
            take. The exit status is 2 if the engines differ by more than 0.1 px for 1 % of the points, or the crops
            differ from the CPU's.
        model: a landmark model: a file that export.run wrote or a name, edge68 if not given.
        plan: with selftest, a TensorRT engine of that model.

    Raises:
        TrackerError: if the self-test fails, or a file is missing or invalid.
    """
    if plan is not None and not selftest:
        raise TrackerError("--plan names an engine for the self-test; give --selftest too")
    model = landmark_model(model)
    files = (*_in_the_way(Path.cwd()), *map(_detector, (YUNET, BLAZEFACE)), *_names(), *_model(model))
    for line in (*_packages(), *_providers(model), *_gpu(), *camera_lines(), *files):
        print(line)
    if selftest:
        _selftest(model, plan)


def _packages() -> list[str]:
    """Return one line for each package that the runtime may use."""
    yunet = "with" if hasattr(cv2, "FaceDetectorYN") else "without"
    return [
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"NumPy {np.__version__}",
        f"OpenCV {cv2.__version__}, {yunet} FaceDetectorYN, which YuNet needs; reads videos with {_video_backends()}",
        _onnxruntime(),
        *(_installed(title, name) for title, name in (("MediaPipe", "mediapipe"), ("scikit-image", "scikit-image"))),
    ]


def _in_the_way(folder: Path) -> list[str]:
    """Return one line for each file in the current folder that `python -m` takes for one of the packages."""
    ours = Path(__file__).parents[1]
    if os.path.samefile(folder, ours):
        return []
    packages = {"tracker": "tracker.run", "train": "train.run", "export": "export.run"}
    found = [(folder / place, run) for name, run in packages.items() for place in (f"{name}.py", f"{name}/__init__.py")]
    return [
        f"{path} hides the package for `python -m {run}` in this folder: rename it, or use the command `landmarks`"
        for path, run in found
        if path.is_file()
    ]


def _video_backends() -> str:
    """Return the video backends that this OpenCV can use, without plugins that are not installed."""
    registry = cv2.videoio_registry
    usable = [backend for backend in registry.getStreamBackends() if registry.hasBackend(backend)]
    return ", ".join(registry.getBackendName(backend) for backend in usable) or "nothing"


def _providers(model: Path) -> list[str]:
    """Return one line for each accelerator that ONNX Runtime was built for, checked by running the model."""
    return [_provider(model, name) for name in available_providers() if name != "cpu"]


def _provider(model: Path, name: Provider) -> str:
    try:
        engine = OnnxEngine(model, provider=name)
        engine.run(np.zeros((1, *engine.spec.shapes()[INPUT]), np.uint8))
    except TrackerError as error:
        return f"provider {name}: {error}"
    return f"provider {name}: usable, {engine.running_on()}"


def _onnxruntime() -> str:
    try:
        package = import_onnxruntime()
    except ImportError as error:
        return f"ONNX Runtime: cannot be imported ({error})"
    return f"ONNX Runtime {package.__version__}: {', '.join(package.get_available_providers())}"


def _installed(title: str, package: str) -> str:
    """Return the version of a package from its metadata, because importing it is slow."""
    try:
        return f"{title} {version(package)}"
    except PackageNotFoundError:
        return f"{title}: not installed"


def _gpu() -> list[str]:
    """Return one line each for both kinds of TensorRT, PyCUDA and the GPU."""
    gpu = first_gpu()
    found = f"GPU: {gpu.name}, {gpu.capability}, CUDA {gpu.cuda}" if gpu else "GPU: no NVIDIA GPU with its driver"
    return [*map(_tensorrt, TITLES), _pycuda(), found]


def _tensorrt(flavour: str) -> str:
    try:
        return f"{TITLES[flavour]} {load_tensorrt(flavour)[0].__version__}"
    except TrackerError as error:
        return str(error)


def _pycuda() -> str:
    try:
        return f"PyCUDA, with CUDA's driver {load_pycuda().get_driver_version()}"
    except TrackerError as error:
        return str(error)


def _detector(file: DetectorFile) -> str:
    try:
        packaged_detector(file)
    except TrackerError as error:
        return f"detector {file.name}: {error}"
    return f"detector {file.name} ({file.licence}): {file.path}"


def _names() -> list[str]:
    """Return one line for each model that loads by its name, with its licence."""
    return ["models that load by name:", *(one_line(f"  {name}: {_licence(name)}") for name in named_models())]


def _licence(name: str) -> str:
    try:
        path = landmark_model(Path(name))
        return ModelSpec.from_metadata(metadata_of(read_model(path)), str(path)).licence
    except TrackerError as error:
        return str(error)


def _model(path: Path) -> list[str]:
    """Return one line for the model, and one for each entry of its provenance."""
    try:
        spec = OnnxEngine(path).spec
    except TrackerError as error:
        return [f"model: {error}"]
    model = f"model {path}: {spec.scheme}, {spec.size} px, licence: {spec.licence}, SHA-256 {model_sha256(path)}"
    lines = [model, *(f"  {name}: {text}" for name, text in spec.provenance.items())]
    return [one_line(line) for line in lines]  # the file may hold any text


def _selftest(model: Path, plan: Path | None) -> None:
    """Run all available engines on the same crops; raise TrackerError if they disagree, or there is none."""
    engines = _engines(model, plan)
    if not engines:
        raise TrackerError("no engine could be run, so nothing was tested")
    spec = next(iter(engines.values())).spec
    crops, truth_px, words = _crops(spec.size)
    print(f"self-test on {len(crops)} views of {words}")
    for title, engine in engines.items():
        answers = engine.run(crops)
        if title == _REFERENCE:
            _expect_finite(title, answers)
        print(f"{title} took {_median_ms(engine, crops):.2f} ms for one face, median of {_CALLS} calls")
        if truth_px is not None and spec.scheme == IBUG68.name:
            error_px = np.linalg.norm(answers.points_px - truth_px, axis=2).mean()
            print(f"{title} differs from the labels, made by hand, by {error_px:.2f} px of {spec.size} on average")
    if _REFERENCE in engines:
        reference = engines.pop(_REFERENCE)
        for title, engine in engines.items():
            _expect_finite(title, engine.run(crops))
            _compare(title, engine, reference, crops)
    _compare_gpu_crops(engines.get("TensorRT"))
    print(_auto())


def _auto() -> str:
    """Return which model `--model auto` takes on this CPU, and why."""
    try:
        ratio = int8_time_ratio()
    except TrackerError as error:
        return f"--model {AUTO}: {error}"
    return (
        f"--model {AUTO} takes {name_for(ratio)} here: {INT8} needs {ratio:.2f} of {PACKAGED[0]}'s time "
        f"(taken if at most {WORTH:g})"
    )


def _engines(model: Path, plan: Path | None) -> dict[str, Engine]:
    """Load the engines by title, and print why others cannot be run; raise TrackerError for a plan of another model."""
    makers: dict[str, Callable[[], Engine]] = {_REFERENCE: lambda: OnnxEngine(model)}
    for provider in available_providers():
        if provider != "cpu":
            makers[f"{_REFERENCE} on {provider}"] = functools.partial(OnnxEngine, model, provider=provider)
    if plan is None:
        print("TensorRT not run: no --plan was given")
    else:
        if described_plan(plan)[0].onnx_sha256 != model_sha256(model):
            raise TrackerError(f"{plan} was built from another model than {model}; name its model with --model")
        makers["TensorRT"] = lambda: TensorRtEngine(plan)
    engines = {}
    for title, make in makers.items():
        try:
            engines[title] = make()
        except TrackerError as error:
            print(f"{title} not run: {error}")
    return engines


def _crops(size: int) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None, str]:
    """Return (VIEWS, size, size, 3) RGB crops, (VIEWS, 68, 2) their landmarks if known, and what they show."""
    try:
        clip = DemoClip()
    except TrackerError:
        random = np.random.default_rng(0).integers(0, 256, (VIEWS, size, size, 3), dtype=np.uint8)
        words = "random pixels, because scikit-image is not installed: no face, so results may differ more than usual"
        return random, None, words
    crops, truths = [], []
    for index in np.linspace(0, clip.covered.start - 1, VIEWS).astype(int).tolist():
        truth_px = clip.truth_px(index)
        view = next_roi(Landmarks.from_points(truth_px, IBUG68)).crop_from_image(size)
        crops.append(warp(clip.picture(index), view, size))
        truths.append(transform_points(view, truth_px))
    return np.stack(crops), np.stack(truths), "the demo clip's face"


def _median_ms(engine: Engine, crops: NDArray[np.uint8]) -> float:
    """Return the milliseconds for one face, after a warm-up."""
    times = []
    for _ in range(_WARM_UP + _CALLS):
        start = time.perf_counter()
        engine.run(crops[:1])
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[_WARM_UP:])


def _expect_finite(title: str, answers: EngineOutput) -> None:
    if not all(np.isfinite(part).all() for part in (answers.points_px, answers.scores, answers.covariances_px2)):
        raise TrackerError(f"{title} returns values that are not finite; do not use this model")


def _compare(title: str, other: Engine, reference: Engine, crops: NDArray[np.uint8]) -> None:
    distances = np.linalg.norm(other.run(crops).points_px - reference.run(crops).points_px, axis=2)
    p99, largest = float(np.percentile(distances, 99)), float(distances.max())
    print(f"{title} against {_REFERENCE}: 99 % of the points within {p99:.4f} px, largest {largest:.4f} px")
    if not p99 <= BUDGET_PX:  # also true for NaN
        raise TrackerError(
            f"the engines disagree: {title} puts 1 % of the points more than {p99:.3f} px from where {_REFERENCE} "
            f"does, {BUDGET_PX} px are allowed; do not use it"
        )


def _compare_gpu_crops(engine: Engine | None) -> None:
    """Compare crops on the GPU with OpenCV's, or print why there is no GPU."""
    try:
        cuda = PyCuda()
    except TrackerError as error:
        print(f"crops on the GPU not tested: {error}")
        return
    words = compare_gpu_crops(cuda, engine if isinstance(engine, GpuEngine) else None)
    print(f"crops on the GPU against those of OpenCV: {words}")


def main() -> int:
    """Run the command line; return the exit status."""
    return run_command(doctor, "tracker.doctor")


if __name__ == "__main__":
    sys.exit(main())
