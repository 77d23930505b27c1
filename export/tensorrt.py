"""An .onnx file to a serialized TensorRT engine, kept in a folder that trusts only what was built into it.

One builder serves TensorRT 10 and 11 and TensorRT-RTX. Every network is strongly typed: half precision is in the
.onnx file or nowhere. This file needs neither torch nor onnx, so that it runs where the engine will.

TensorRT-RTX builds without a GPU, and the tests do so. Not proven so far, for want of a GPU: a build by the full
TensorRT, its timing cache, and the question to the driver which GPU there is.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracker.errors import TrackerError
from tracker.files import write_whole

log = logging.getLogger(__name__)

FACES = (1, 4, 16)  # least, most frequent and most faces in one call
PORTABLE = ("SM80", "SM86", "SM89", "SM120", "SM121")  # RTX's own targets; Turing has no FP32 product there
INPUT = "crops"
_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_INSTALL = {
    "tensorrt": "on a Jetson it comes with JetPack, elsewhere `pip install tensorrt` fetches it from NVIDIA",
    "tensorrt_rtx": "`pip install tensorrt-rtx-cu13` installs it",
}
_NO_GPU = (
    "TensorRT builds only where an NVIDIA GPU and its driver are, and found none; build on the machine that will "
    "run the engine, or ask for tensorrt_rtx"
)
_LONGEST_REASON = 300


class ForeignPlan(TrackerError):
    """A plan that this key did not make, or that was altered since."""


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on; two engines with one key may stand for one another.

    onnx_sha256: of the .onnx file, hex. flavour: "tensorrt" or "tensorrt_rtx". version: of that package. cuda: what
    the driver offers, such as "12.6", or "any". compute_capabilities: such as "sm87". gpu: its name, or "portable".
    precision: "fp32" or "fp16", as the .onnx file has it. faces: least, most frequent and most in one call.
    """

    onnx_sha256: str
    flavour: str
    version: str
    cuda: str
    compute_capabilities: tuple[str, ...]
    gpu: str
    precision: str
    faces: tuple[int, int, int]

    def file_name(self) -> str:
        """The plan's: readable, and different for different keys as far as a file name can be."""
        faces = "-".join(map(str, self.faces))
        return f"{self.onnx_sha256[:16]}_{self._built_by()}_{self.precision}_{faces}.plan"

    def timings_name(self) -> str:
        """Of the file that holds what was timed on this GPU, whatever the model."""
        return f"{self._built_by()}.timings"

    def _built_by(self) -> str:
        capabilities = "-".join(self.compute_capabilities)
        text = f"{self.flavour}-{self.version}_cuda-{self.cuda}_{capabilities}_{self.gpu[:40]}"
        return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)


def engine_key(
    onnx: Path,
    flavour: str | None = None,
    precision: str = "fp32",
    faces: tuple[int, int, int] = FACES,
    targets: tuple[str, ...] = PORTABLE,
) -> EngineKey:
    """The key of the engine that this machine would build.

    Args:
        onnx: the model.
        flavour: "tensorrt" or "tensorrt_rtx"; None takes what can be imported, in this order.
        precision: what the .onnx file holds; build refuses another.
        faces: least, most frequent and most faces in one call.
        targets: the compute capabilities that TensorRT-RTX builds for, as its ComputeCapability names them; those
            its version does not know are left out. TensorRT builds for the GPU that is there.

    Raises TrackerError for a package or a GPU that is missing, or faces that are no range.
    """
    if not 1 <= faces[0] <= faces[1] <= faces[2]:
        raise TrackerError(f"faces must be least, most frequent and most, from 1 on; got {faces}")
    digest = hashlib.sha256(_read(onnx)).hexdigest()
    trt, flavour = _load(flavour)
    if flavour == "tensorrt_rtx":
        known = tuple(name.lower() for name in targets if hasattr(trt.ComputeCapability, name))
        if not known:
            raise TrackerError(f"TensorRT-RTX {trt.__version__} knows none of the targets {', '.join(targets)}")
        return EngineKey(digest, flavour, trt.__version__, "any", known, "portable", precision, faces)
    cuda, capability, gpu = _gpu()
    return EngineKey(digest, flavour, trt.__version__, cuda, (capability,), gpu, precision, faces)


def build(onnx: Path, key: EngineKey, timings: Path | None = None) -> bytes:
    """The model as a serialized engine with one optimisation profile, for key.faces.

    TF32 is off: FP32 stays FP32, as the decoding needs it; whoever wants speed exports FP16. timings: a file that
    TensorRT reads before and writes after, so that a second build is faster; TensorRT-RTX has no use for it.

    Raises TrackerError when the model is not the key's, cannot be parsed, or cannot be built here.
    """
    model = _read(onnx)
    trt, _ = _load(key.flavour)
    _check_key(key, model, trt, onnx)
    logger, complaints = _logger(trt)
    complaints.clear()
    try:
        builder = trt.Builder(logger)
    except TypeError:  # pybind11::init(): factory function returned nullptr
        raise TrackerError(_NO_GPU) from None
    network = builder.create_network(_network_flags(trt))
    _parse(trt.OnnxParser(network, logger), network, model, f"{onnx}: {_name(key)}")
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
        raise TrackerError(f"{onnx}: {_name(key)} cannot build it: {_short(complaints)}")
    if timings and cache:
        _keep_timings(timings, config)
    return bytes(plan)


def cached_engine(onnx: Path, folder: Path, key: EngineKey) -> Path:
    """The plan of the key in the folder; built, with one sentence in the log saying why, unless it can be trusted.

    The folder is made for this user alone. The plan and its sidecar .json (the key, the plan's SHA-256, its size,
    the time it took to build) appear whole or not at all. Raises TrackerError as build does, and for a folder that
    cannot be written, or that others can.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise TrackerError(f"{folder}: cannot keep engines there: {error.strerror}") from None
    path = folder / key.file_name()
    try:
        checked_plan(path, key)
    except ForeignPlan as error:
        log.warning("%s; building it from %s", error, onnx)
        _build_into(path, onnx, key)
    return path


def checked_plan(path: Path, key: EngineKey) -> bytes:
    """The plan, as cached_engine wrote it for this key: it is native code, so no other may be loaded.

    Raises ForeignPlan, a TrackerError, for a plan that is missing, altered, without a sidecar or of another key,
    and TrackerError when others may write in its folder.
    """
    _refuse_open_folder(path.parent)
    try:
        plan = path.read_bytes()
        sidecar = json.loads(_sidecar(path).read_bytes())
        key_found, digest = sidecar["key"], sidecar["plan_sha256"]
    except FileNotFoundError as error:
        missing = "there is none yet" if error.filename == str(path) else "its sidecar is missing"
        raise ForeignPlan(f"{path}: no engine to trust, {missing}") from None
    except OSError as error:
        raise ForeignPlan(f"{path}: no engine to trust, it cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ForeignPlan(f"{path}: no engine to trust, its sidecar is damaged") from None
    if key_found != _as_json(key):
        raise ForeignPlan(f"{path}: no engine to trust, {_contradiction(key_found, key)}")
    if digest != hashlib.sha256(plan).hexdigest():
        raise ForeignPlan(f"{path}: no engine to trust, its SHA-256 is not the one in its sidecar")
    return plan


def _build_into(path: Path, onnx: Path, key: EngineKey) -> None:
    start = time.perf_counter()
    plan = build(onnx, key, path.parent / key.timings_name())
    sidecar = {
        "key": _as_json(key),
        "plan_sha256": hashlib.sha256(plan).hexdigest(),
        "size_bytes": len(plan),
        "build_s": round(time.perf_counter() - start, 3),
    }
    try:
        write_whole(path, plan)
        write_whole(_sidecar(path), json.dumps(sidecar, indent=2).encode())
    except OSError as error:
        raise TrackerError(f"{path}: cannot write the engine: {error.strerror}") from None


def _refuse_open_folder(folder: Path) -> None:
    """Whoever can write there can replace a plan together with its sidecar."""
    if os.name != "posix" or not folder.is_dir():
        return
    status = folder.stat()
    if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
        raise TrackerError(
            f"{folder}: others may write there, and engines are native code; use a folder of your own with mode 700"
        )


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _as_json(key: EngineKey) -> Any:
    """The key as it comes back from JSON: lists for tuples."""
    return json.loads(json.dumps(asdict(key)))


def _contradiction(found: Any, key: EngineKey) -> str:
    expected = _as_json(key)
    wrong = [name for name in expected if not isinstance(found, dict) or found.get(name) != expected[name]]
    return f"it was built for another {', '.join(wrong) or 'kind of key'}"


def _read(onnx: Path) -> bytes:
    try:
        return onnx.read_bytes()
    except OSError as error:
        raise TrackerError(f"{onnx}: cannot read the model: {error.strerror}") from None


def _load(flavour: str | None) -> tuple[Any, str]:
    """The module and its flavour: the one asked for, or the first that can be imported."""
    if flavour is not None and flavour not in _TITLES:
        raise TrackerError(f"unknown flavour {flavour!r} of TensorRT; known: {', '.join(_TITLES)}")
    reasons = []
    for name in [flavour] if flavour else _TITLES:
        try:
            return importlib.import_module(name), name
        except (ImportError, OSError, RuntimeError) as error:  # its libraries may be missing, or be stubs
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            why = "not installed" if absent else f"installed, but cannot be imported ({_short([str(error)])})"
            reasons.append(f"{_TITLES[name]} is {why}; {_INSTALL[name]}")
    raise TrackerError(f"an engine needs TensorRT: {'; '.join(reasons)}")


def _gpu() -> tuple[str, str, str]:
    """CUDA's version as the driver offers it, compute capability ("sm87") and name of the first GPU.

    Asked of the driver's library itself, since TensorRT does not say and brings no package that does.
    """
    number, capability, name = ctypes.c_int(), [ctypes.c_int(), ctypes.c_int()], ctypes.create_string_buffer(256)
    device = ctypes.c_int()
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        raise TrackerError(_NO_GPU) from None
    failed = (
        cuda.cuInit(0)
        or cuda.cuDriverGetVersion(ctypes.byref(number))
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(capability[0]), 75, device)  # COMPUTE_CAPABILITY_MAJOR
        or cuda.cuDeviceGetAttribute(ctypes.byref(capability[1]), 76, device)  # COMPUTE_CAPABILITY_MINOR
    )
    if failed:
        raise TrackerError(_NO_GPU)
    major, minor = (part.value for part in capability)
    return f"{number.value // 1000}.{number.value % 1000 // 10}", f"sm{major}{minor}", name.value.decode()


def _name(key: EngineKey) -> str:
    return f"{_TITLES[key.flavour]} {key.version}"


def _check_key(key: EngineKey, model: bytes, trt: Any, onnx: Path) -> None:
    if hashlib.sha256(model).hexdigest() != key.onnx_sha256:
        raise TrackerError(f"{onnx}: its SHA-256 is not the key's, so it is another model; make a new key")
    if trt.__version__ != key.version:
        raise TrackerError(f"the key is for {_name(key)}, but {trt.__version__} is installed; make a new key")
    if key.flavour == "tensorrt" and _gpu() != (key.cuda, *key.compute_capabilities, key.gpu):
        raise TrackerError(f"the key is for {key.gpu} with CUDA {key.cuda}, which is not here; make a new key")


@functools.cache
def _logger(trt: Any) -> tuple[Any, list[str]]:
    """A logger that keeps errors as lines, and the lines. One for each module: TensorRT takes only the first."""
    lines: list[str] = []

    def start(self: Any) -> None:
        trt.ILogger.__init__(self)

    def keep(self: Any, severity: Any, message: str) -> None:
        if int(severity) <= int(trt.ILogger.ERROR):
            lines.append(message)

    return type("Complaints", (trt.ILogger,), {"__init__": start, "log": keep})(), lines


def _network_flags(trt: Any) -> int:
    """Strongly typed, which is flag 1 in TensorRT 10, flag 0 in TensorRT-RTX, and needs no flag where it is gone."""
    flag = getattr(getattr(trt, "NetworkDefinitionCreationFlag", None), "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(parser: Any, network: Any, model: bytes, who: str) -> None:
    parsed = parser.parse(model)
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    if errors and errors[0].node_name():
        node = f"node {errors[0].node_name()!r} ({errors[0].node_operator()})"
        more = f", and {len(errors) - 1} nodes more" if len(errors) > 1 else ""
        hint = "`python -m export.lint` names what to change"
        raise TrackerError(f"{who} refuses {node}: {_short(errors[0].desc().splitlines())}{more}; {hint}")
    if errors or not parsed or not network.num_outputs:  # some text parses as a model without anything in it
        raise TrackerError(f"{who} cannot read it, expected an ONNX model")


def _short(lines: list[str]) -> str:
    """The first line that says something, without the places in NVIDIA's sources."""
    telling = [line for line in lines if line.strip() and not re.match(r"Invalid Node|\[checkMacros", line)]
    text = re.sub(r"[. ]*In \w+ at [^\s)]+", "", telling[0]) if telling else "it gives no reason"
    return " ".join(text.split())[:_LONGEST_REASON]


def _side_of_crops(trt: Any, network: Any, onnx: Path) -> int:
    """The side of the crops in pixels."""
    found = [network.get_input(i) for i in range(network.num_inputs)]
    if len(found) == 1 and found[0].name == INPUT and found[0].dtype == trt.DataType.UINT8:
        shape = tuple(found[0].shape)
        if len(shape) == 4 and shape[0] == -1 and shape[1] == shape[2] > 0 and shape[3] == 3:
            return int(shape[1])
    got = ", ".join(f"{i.name} {tuple(i.shape)} {i.dtype.name}" for i in found) or "none"
    raise TrackerError(f"{onnx}: expected one input, {INPUT} (any number, S, S, 3) UINT8, got {got}; export it again")


def _check_precision(trt: Any, network: Any, key: EngineKey, onnx: Path) -> None:
    halves = any(tensor.dtype == trt.DataType.HALF for tensor in _tensors(network))
    found = "fp16" if halves else "fp32"
    if found != key.precision:
        raise TrackerError(
            f"{onnx}: the key says {key.precision}, the model is {found}; ask for that or export it again"
        )


def _tensors(network: Any) -> Iterator[Any]:
    for layer in map(network.get_layer, range(network.num_layers)):
        yield from filter(None, map(layer.get_output, range(layer.num_outputs)))


def _set_targets(trt: Any, config: Any, key: EngineKey) -> None:
    """Without targets, TensorRT-RTX's choice depends on its version."""
    config.num_compute_capabilities = len(key.compute_capabilities)
    for i, name in enumerate(key.compute_capabilities):
        if not config.set_compute_capability(getattr(trt.ComputeCapability, name.upper()), i):
            raise TrackerError(f"{_name(key)} does not build for {name}; ask for other targets")


def _attach_timings(config: Any, timings: Path) -> Any:
    """The timing cache in use, to be kept until the engine is built; an empty one if the file's is of another GPU."""
    try:
        saved = timings.read_bytes()
    except OSError:
        saved = b""
    for content in (saved, b""):
        cache = config.create_timing_cache(content)
        if cache and config.set_timing_cache(cache, False):  # False: not one of another GPU
            return cache
    return None


def _keep_timings(timings: Path, config: Any) -> None:
    try:
        write_whole(timings, bytes(config.get_timing_cache().serialize()))
    except OSError as error:
        log.warning("%s: the next build will be no faster, cannot write there: %s", timings, error.strerror)
