"""Builds a serialized TensorRT engine from an .onnx file, and caches it in a folder.

One builder serves TensorRT 10 and 11 and TensorRT-RTX. Every network is strongly typed: half precision and int8 come
only from the .onnx file. This module needs neither torch nor onnx, so that it runs on the machine of the engine.

TensorRT-RTX builds without a GPU, and the tests do so. Not proven, because there was no GPU: a build by the full
TensorRT, and its timing cache.

    python -m export.tensorrt --model model.onnx
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from train.extras import needs_extra

with needs_extra(__name__, "export.tensorrt", "cpu", "cv2"):
    from tracker.cli.command import run_command
    from tracker.engines.onnx_file import external_files, metadata_of, model_sha256, read_model
    from tracker.engines.spec import INPUT, ModelSpec
    from tracker.engines.tensorrt.plan import (
        EngineKey,
        ForeignPlan,
        MissingPlan,
        checked_plan,
        complaints,
        first_gpu,
        load_tensorrt,
        short_reason,
        why_absent,
        write_plan,
    )
    from tracker.errors import TrackerError
    from tracker.system.extras import import_package
    from tracker.system.files import expect_replaceable, write_whole

log = logging.getLogger(__name__)

FACES = (1, 4, 16)  # minimum, most frequent and maximum number of faces in one call
PORTABLE = ("SM80", "SM86", "SM89", "SM120", "SM121")  # TensorRT-RTX's targets; it has no FP32 products for Turing
_NO_GPU = (
    "TensorRT builds only where an NVIDIA GPU and its driver are, and found none; build on the machine that will "
    "run the engine, or ask for tensorrt_rtx"
)


def engine_key(
    onnx: Path,
    flavour: str | None = None,
    precision: str = "fp32",
    faces: tuple[int, int, int] = FACES,
    targets: tuple[str, ...] = PORTABLE,
) -> EngineKey:
    """Return the key of the engine that this machine would build.

    Args:
        onnx: the model.
        flavour: "tensorrt" or "tensorrt_rtx"; None for the first of them that can be imported.
        precision: of the .onnx file; build refuses another.
        faces: minimum, most frequent and maximum number of faces in one call.
        targets: the compute capabilities that TensorRT-RTX builds for, by the names of its ComputeCapability; unknown
            ones are left out. TensorRT builds for the GPU of this machine.

    Raises:
        TrackerError: if a package or a GPU is missing, or faces is not increasing.
    """
    if not 1 <= faces[0] <= faces[1] <= faces[2]:
        raise TrackerError(
            f"faces must be the smallest, the most frequent and the largest number, each at least 1; got {faces}"
        )
    digest = model_sha256(onnx)
    trt, flavour = load_tensorrt(flavour)
    if flavour == "tensorrt_rtx":
        known = tuple(name.lower() for name in targets if hasattr(trt.ComputeCapability, name))
        if not known:
            raise TrackerError(f"TensorRT-RTX {trt.__version__} supports none of the targets {', '.join(targets)}")
        return EngineKey(digest, flavour, trt.__version__, "any", known, "portable", precision, faces)
    gpu = first_gpu()
    if gpu is None:
        raise TrackerError(_NO_GPU)
    return EngineKey(digest, flavour, trt.__version__, gpu.cuda, (gpu.capability,), gpu.name, precision, faces)


def build(onnx: Path, key: EngineKey, timings: Path | None = None) -> bytes:
    """Build a serialized engine with one optimisation profile, for key.faces.

    TF32 is off, because the decoding needs full FP32; for speed, export FP16.

    Args:
        onnx: the model.
        key: what to build.
        timings: the file of TensorRT's timing cache, which makes a second build faster; TensorRT-RTX does not use it.

    Returns:
        The serialized engine.

    Raises:
        TrackerError: if the model is not that of the key, cannot be parsed, or cannot be built on this machine.
    """
    model = read_model(onnx)
    trt, _ = load_tensorrt(key.flavour)
    _check_key(key, trt, onnx)
    logger, lines = complaints(trt)
    lines.clear()
    try:
        builder = trt.Builder(logger)
    except TypeError:  # pybind11::init(): factory function returned nullptr
        raise TrackerError(_NO_GPU) from None
    network = builder.create_network(_network_flags(trt))
    _parse(trt.OnnxParser(network, logger), network, (model, onnx), f"{onnx}: {key.builder()}")
    size = _side_of_crops(trt, network, onnx)
    _check_precision(trt, network, key, onnx)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if key.flavour == "tensorrt_rtx":
        _set_targets(trt, config, key)
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, *[(faces, size, size, 3) for faces in key.faces])
    config.add_optimization_profile(profile)
    cache = _attach_timings(config, timings) if timings and key.flavour == "tensorrt" else None
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise TrackerError(f"{onnx}: {key.builder()} cannot build it: {short_reason(lines)}")
    if timings and cache:
        _keep_timings(timings, config)
    return bytes(plan)


def cached_engine(onnx: Path, folder: Path, key: EngineKey) -> Path:
    """Return a valid engine from the folder, building it if necessary; the log says why.

    The plan and its .json, which holds the model's spec for the runtime, are written atomically.

    Args:
        onnx: the model.
        folder: of the engines; made for this user only if it does not exist.
        key: of the engine.

    Returns:
        The path of the plan.

    Raises:
        TrackerError: as build; also for a model without a spec, and for a folder that this user cannot write, or that
            others can.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / key.file_name()
        expect_replaceable(path, follow_links=False)
    except OSError as error:
        raise TrackerError(f"{folder}: cannot keep engines there: {error.strerror}") from None
    try:
        checked_plan(path, key)
    except MissingPlan:
        log.warning("no engine of %s for this model in %s yet: building it from %s", key.builder(), folder, onnx)
        _build_into(path, onnx, key)
    except ForeignPlan as error:
        log.warning("%s; building it again from %s", error, onnx)
        _build_into(path, onnx, key)
    return path


def _build_into(path: Path, onnx: Path, key: EngineKey) -> None:
    spec = ModelSpec.from_metadata(metadata_of(read_model(onnx)), str(onnx))
    start = time.perf_counter()
    plan = build(onnx, key, path.parent / key.timings_name())
    write_plan(path, plan, key, spec, time.perf_counter() - start)


def _check_key(key: EngineKey, trt: Any, onnx: Path) -> None:
    if model_sha256(onnx) != key.onnx_sha256:
        raise TrackerError(f"{onnx}: its SHA-256 is not the key's, so it is another model; make a new key")
    if trt.__version__ != key.version:
        raise TrackerError(f"the key is for {key.builder()}, but {trt.__version__} is installed; make a new key")
    if key.flavour == "tensorrt" and first_gpu() != (key.cuda, *key.compute_capabilities, key.gpu):
        raise TrackerError(f"the key is for {key.gpu} with CUDA {key.cuda}, which was not found; make a new key")


def _network_flags(trt: Any) -> int:
    """Return the flags of a strongly typed network: bit 1 in TensorRT 10, bit 0 in TensorRT-RTX, none in newer ones."""
    flag = getattr(getattr(trt, "NetworkDefinitionCreationFlag", None), "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(parser: Any, network: Any, model: tuple[bytes, Path], who: str) -> None:
    content, path = model
    parsed = parser.parse(content, str(path)) if external_files(path, content) else parser.parse(content)
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    if errors and errors[0].node_name():
        node = f"node {errors[0].node_name()!r} ({errors[0].node_operator()})"
        more = f", and {len(errors) - 1} nodes more" if len(errors) > 1 else ""
        hint = "`python -m export.lint` names what to change"
        raise TrackerError(f"{who} refuses {node}: {short_reason(errors[0].desc().splitlines())}{more}; {hint}")
    if errors or not parsed or not network.num_outputs:  # some texts parse as an empty model
        raise TrackerError(f"{who} cannot read it, expected an ONNX model")


def _side_of_crops(trt: Any, network: Any, onnx: Path) -> int:
    """Return the side of the crops in pixels."""
    found = [network.get_input(i) for i in range(network.num_inputs)]
    if len(found) == 1 and found[0].name == INPUT and found[0].dtype == trt.DataType.UINT8:
        shape = tuple(found[0].shape)
        if len(shape) == 4 and shape[0] == -1 and shape[1] == shape[2] > 0 and shape[3] == 3:
            return int(shape[1])
    got = ", ".join(f"{i.name} {tuple(i.shape)} {i.dtype.name}" for i in found) or "none"
    raise TrackerError(f"{onnx}: expected one input, {INPUT} (any number, S, S, 3) UINT8, got {got}; export it again")


def _check_precision(trt: Any, network: Any, key: EngineKey, onnx: Path) -> None:
    kinds = {tensor.dtype for tensor in _tensors(network)}
    found = "int8" if trt.DataType.INT8 in kinds else "fp16" if trt.DataType.HALF in kinds else "fp32"
    if found != key.precision:
        raise TrackerError(
            f"{onnx}: the key says {key.precision}, the model is {found}; ask for that or export it again"
        )


def _tensors(network: Any) -> Iterator[Any]:
    for layer in map(network.get_layer, range(network.num_layers)):
        yield from filter(None, map(layer.get_output, range(layer.num_outputs)))


def _set_targets(trt: Any, config: Any, key: EngineKey) -> None:
    """Set the targets, because TensorRT-RTX's default depends on its version."""
    config.num_compute_capabilities = len(key.compute_capabilities)
    for i, name in enumerate(key.compute_capabilities):
        if not config.set_compute_capability(getattr(trt.ComputeCapability, name.upper()), i):
            raise TrackerError(f"{key.builder()} does not build for {name}; ask for other targets")


def _attach_timings(config: Any, timings: Path) -> Any:
    """Return the timing cache, to be kept until the engine is built; empty if the file is from another GPU."""
    try:
        saved = timings.read_bytes()
    except OSError:
        saved = b""
    for content in (saved, b""):
        cache = config.create_timing_cache(content)
        if cache and config.set_timing_cache(cache, False):  # False: refuse one from another GPU
            return cache
    return None


def _keep_timings(timings: Path, config: Any) -> None:
    try:
        write_whole(timings, bytes(config.get_timing_cache().serialize()))
    except OSError as error:
        log.warning(
            "%s: cannot write the timing cache, so the next build will not be faster: %s", timings, error.strerror
        )


def to_plan(
    model: Path,
    flavour: Literal["tensorrt", "tensorrt_rtx"] | None = None,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
) -> None:
    """Build the TensorRT engine of a model for this machine, in the folder engines beside it, unless it exists.

    Args:
        model: an .onnx file that export.run wrote.
        flavour: of TensorRT; by default the one that can be imported, TensorRT first. Standard error says which it is.
        precision: of the .onnx file.

    Raises:
        TrackerError: if the engine cannot be built.
    """
    key = engine_key(model, flavour, precision)
    print(flavour_taken(key, flavour), file=sys.stderr)
    print(cached_engine(model, model.parent / "engines", key))


def flavour_taken(key: EngineKey, asked: str | None) -> str:
    """Say which flavour of TensorRT an engine is for, and why if it is TensorRT-RTX without having been asked for.

    Args:
        key: of the engine.
        asked: the flavour that was asked for; None for the first that can be imported.
    """
    if asked is None and key.flavour == "tensorrt_rtx":
        try:
            import_package("tensorrt")
        except (ImportError, OSError, RuntimeError) as error:
            return (
                f"took {key.builder()}, because TensorRT is {why_absent('tensorrt', error)}: --flavour tensorrt asks "
                "for TensorRT itself, and says how to install it"
            )
    return f"took {key.builder()}"


def main() -> int:
    """Run the command line; return the exit status."""
    return run_command(to_plan, "export.tensorrt")


if __name__ == "__main__":
    sys.exit(main())
