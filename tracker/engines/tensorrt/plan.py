"""Plans, which are TensorRT's serialized engines: what they depend on, and which of them can be trusted.

Shared by export, which builds them, and the runtime, which runs them. A plan is native code: it is loaded only if it
was written by export, for this GPU and this version, into a folder that nobody else can write.

Not proven so far, because no GPU was available: the query to the driver for the GPU.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tracker.cli.suggestions import suggest
from tracker.engines.spec import ModelSpec
from tracker.engines.tensorrt.trust import OpenFile, trusted_content
from tracker.errors import TrackerError
from tracker.system.extras import import_package
from tracker.system.files import write_whole

MODE = 0o644  # regardless of the umask, because a file that others can write is not trusted
TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_INSTALL = {
    "tensorrt": "on a Jetson it comes with JetPack, elsewhere `pip install tensorrt` fetches it from NVIDIA",
    "tensorrt_rtx": "`pip install tensorrt-rtx-cu13` installs it",
}
_LONGEST_REASON = 300


class ForeignPlan(TrackerError):
    """A plan that was built for another key, or was changed since."""


class MissingPlan(ForeignPlan):
    """There is no plan of that name."""


class Gpu(NamedTuple):
    """A GPU.

    Attributes:
        cuda: version of CUDA that its driver supports, such as "12.6".
        capability: compute capability, such as "sm87".
        name: of the GPU.
    """

    cuda: str
    capability: str
    name: str


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on; engines with the same key are interchangeable.

    Attributes:
        onnx_sha256: SHA-256 of the .onnx file, in hexadecimal.
        flavour: "tensorrt" or "tensorrt_rtx".
        version: of that package.
        cuda: version of CUDA that the driver supports, such as "12.6", or "any".
        compute_capabilities: such as "sm87".
        gpu: name of the GPU, or "portable".
        precision: "fp32", "fp16" or "int8", that of the .onnx file.
        faces: the smallest, the most frequent and the largest number of faces in one call.
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
        """Return the name of the plan's file: readable, and different for different keys as far as possible."""
        faces = "-".join(map(str, self.faces))
        return f"{self.onnx_sha256[:16]}_{self._built_by()}_{self.precision}_{faces}.plan"

    def timings_name(self) -> str:
        """Return the name of the timing cache, which all models on this GPU share."""
        return f"{self._built_by()}.timings"

    def builder(self) -> str:
        """Return flavour and version, for messages."""
        return f"{TITLES[self.flavour]} {self.version}"

    def _built_by(self) -> str:
        capabilities = "-".join(self.compute_capabilities)
        text = f"{self.flavour}-{self.version}_cuda-{self.cuda}_{capabilities}_{self.gpu[:40]}"
        return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)


def write_plan(path: Path, plan: bytes, key: EngineKey, spec: ModelSpec, build_s: float) -> None:
    """Write a plan and its sidecar file (.json), each completely or not at all.

    The sidecar has the key, the metadata of the .onnx file, because a plan has none, the plan's SHA-256 and size, and
    the build time.

    Args:
        path: of the plan.
        plan: its content.
        key: what it was built for.
        spec: of the model.
        build_s: how long the build took, in seconds.

    Raises:
        TrackerError: they cannot be written.
    """
    sidecar = {
        "key": _as_json(key),
        "metadata": spec.to_metadata(),
        "plan_sha256": hashlib.sha256(plan).hexdigest(),
        "size_bytes": len(plan),
        "build_s": round(build_s, 3),
    }
    try:
        write_whole(path, plan, MODE)
        write_whole(_sidecar_path(path), json.dumps(sidecar, indent=2).encode(), MODE)
    except OSError as error:
        raise TrackerError(f"{path}: cannot write the engine: {error.strerror}") from None


def checked_plan(path: Path, key: EngineKey) -> bytes:
    """Read a plan if write_plan wrote it for this key; any other could be foreign native code.

    Args:
        path: of the plan.
        key: that the plan must have.

    Returns:
        The content of the plan.

    Raises:
        MissingPlan: the plan does not exist.
        ForeignPlan: its sidecar is missing, it was changed, has another key, or may have been written by others.
        TrackerError: others can write in a folder above it, see trust.py.
    """
    plan, sidecar = _read(path)
    if sidecar["key"] != _as_json(key):
        raise ForeignPlan(f"{path}: not a trusted engine, {_contradiction(sidecar['key'], key)}")
    if sidecar["plan_sha256"] != hashlib.sha256(plan).hexdigest():
        raise ForeignPlan(f"{path}: not a trusted engine, its SHA-256 is not the one in its sidecar")
    return plan


def described_plan(path: Path) -> tuple[EngineKey, ModelSpec]:
    """Read the sidecar of a plan, without comparing it with the plan or this machine; checked_plan does that.

    Args:
        path: of the plan.

    Returns:
        What the plan was built for, and the spec of its model.

    Raises:
        MissingPlan: the plan does not exist.
        ForeignPlan: its sidecar is missing or not understood.
    """
    _, sidecar = _read(path)
    try:
        fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in sidecar["key"].items()}
        key = EngineKey(**fields)
        _install_of(key.flavour)
    except (AttributeError, TypeError, TrackerError):
        raise _damaged(path) from None
    if not _is_well_formed(key) or not isinstance(sidecar["metadata"], dict):
        raise _damaged(path)
    return key, ModelSpec.from_metadata(sidecar["metadata"], str(path))


def load_tensorrt(flavour: str | None = None) -> tuple[Any, str]:
    """Import TensorRT or TensorRT-RTX.

    Args:
        flavour: "tensorrt" or "tensorrt_rtx"; by default the first of them that can be imported.

    Returns:
        The module and its flavour.

    Raises:
        TrackerError: the flavour is unknown, or the package is missing or cannot be imported.
    """
    if flavour is not None:
        _install_of(flavour)
    reasons = []
    for name in [flavour] if flavour else TITLES:
        try:
            return import_package(name), name
        except (ImportError, OSError, RuntimeError) as error:  # its libraries may be missing, or be stubs
            reasons.append(f"{TITLES[name]} is {why_absent(name, error)}; {_install_of(name)}")
    raise TrackerError("; ".join(reasons))


def why_absent(name: str, error: Exception) -> str:
    """Explain why a package could not be imported.

    Args:
        name: of the package.
        error: that the import raised.

    Returns:
        A text that follows "is".
    """
    absent = isinstance(error, ModuleNotFoundError) and error.name == name
    return "not installed" if absent else f"installed, but cannot be imported ({short_reason([str(error)])})"


@functools.cache
def complaints(trt: Any) -> tuple[Any, list[str]]:
    """Make a logger that collects errors; one for each module, because TensorRT uses only the first one.

    Args:
        trt: the module of TensorRT or TensorRT-RTX.

    Returns:
        The logger, and the list of lines that it appends to.
    """
    lines: list[str] = []

    def start(self: Any) -> None:
        trt.ILogger.__init__(self)

    def keep(self: Any, severity: Any, message: str) -> None:
        if int(severity) <= int(trt.ILogger.ERROR):
            lines.append(message)

    return type("Complaints", (trt.ILogger,), {"__init__": start, "log": keep})(), lines


def short_reason(lines: list[str]) -> str:
    """Pick the first informative line of error messages.

    Args:
        lines: error messages of TensorRT or CUDA.

    Returns:
        The line, without positions in NVIDIA's sources.
    """
    telling = [line for line in lines if line.strip() and not re.match(r"Invalid Node|\[checkMacros", line)]
    text = re.sub(r"[. ]*In \w+ at [^\s)]+", "", telling[0]) if telling else "it gives no reason"
    return " ".join(text.split())[:_LONGEST_REASON]


def cuda_library() -> Any:
    """Load the library of NVIDIA's driver.

    Raises:
        OSError: there is none.
    """
    return ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")


def first_gpu() -> Gpu | None:
    """Query the driver for the first GPU, because TensorRT does not report it.

    Returns:
        The GPU; None if there is none, or no driver for it.
    """
    number, capability, name = ctypes.c_int(), [ctypes.c_int(), ctypes.c_int()], ctypes.create_string_buffer(256)
    device = ctypes.c_int()
    try:
        cuda = cuda_library()
    except OSError:
        return None
    failed = (
        cuda.cuInit(0)
        or cuda.cuDriverGetVersion(ctypes.byref(number))
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(capability[0]), 75, device)  # COMPUTE_CAPABILITY_MAJOR
        or cuda.cuDeviceGetAttribute(ctypes.byref(capability[1]), 76, device)  # COMPUTE_CAPABILITY_MINOR
    )
    if failed:
        return None
    major, minor = (part.value for part in capability)
    return Gpu(f"{number.value // 1000}.{number.value % 1000 // 10}", f"sm{major}{minor}", name.value.decode())


def _install_of(flavour: str) -> str:
    if flavour not in _INSTALL:
        raise TrackerError(
            f"unknown flavour {flavour!r} of TensorRT; known: {', '.join(TITLES)}{suggest(str(flavour), TITLES)}"
        )
    return _INSTALL[flavour]


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Read a plan and the required parts of its sidecar."""
    plan = None
    try:
        plan = trusted_content(path)
        sidecar = json.loads(trusted_content(_sidecar_path(path)))
        return plan, {name: sidecar[name] for name in ("key", "metadata", "plan_sha256")}
    except FileNotFoundError:
        if plan is None:
            raise MissingPlan(f"the engine {path} does not exist; `python -m export.tensorrt` builds one") from None
        raise ForeignPlan(f"{path}: not a trusted engine, its sidecar is missing") from None
    except OSError as error:
        raise ForeignPlan(f"{path}: not a trusted engine, it cannot be read: {error.strerror}") from None
    except OpenFile as error:
        raise ForeignPlan(f"{path}: not a trusted engine: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(path) from None


def _damaged(path: Path) -> ForeignPlan:
    return ForeignPlan(f"{path}: not a trusted engine, its sidecar is damaged")


def _sidecar_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _is_well_formed(key: Any) -> bool:
    """Return whether a key from a file has values of the right types."""
    if not isinstance(key.compute_capabilities, tuple) or not isinstance(key.faces, tuple) or len(key.faces) != 3:
        return False
    texts = (key.onnx_sha256, key.flavour, key.version, key.cuda, key.gpu, key.precision, *key.compute_capabilities)
    return all(isinstance(text, str) for text in texts) and all(type(n) is int and n >= 1 for n in key.faces)


def _as_json(key: EngineKey) -> Any:
    """Return the key as it is read from JSON, with lists instead of tuples."""
    return json.loads(json.dumps(asdict(key)))


def _contradiction(found: Any, key: EngineKey) -> str:
    expected = _as_json(key)
    wrong = [name for name in expected if not isinstance(found, dict) or found.get(name) != expected[name]]
    return f"it was built for another {', '.join(wrong) or 'kind of key'}"
