"""ONNX Runtime's plug-in providers: packages beside onnxruntime that bring a provider, registered at run time.

The plug-ins were not at hand to run on a device: see docs/not_proven.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tracker.errors import TrackerError
from tracker.system.extras import describe_missing

RECORD = "session.record_ep_graph_assignment_info"  # ONNX Runtime 1.24 and newer then say which provider runs a node


@dataclass(frozen=True)
class Plugin:
    """A plug-in provider.

    Attributes:
        module: that is imported for the path of its library.
        package: to install.
        needs: what it runs on, for messages.
    """

    module: str
    package: str
    needs: str


PLUGINS: Mapping[str, Plugin] = {
    "webgpu": Plugin("onnxruntime_ep_webgpu", "onnxruntime-ep-webgpu", "a GPU with Vulkan, Direct3D 12 or Metal"),
    "tensorrt_rtx": Plugin(
        "onnxruntime_ep_nv_tensorrt_rtx", "onnxruntime-ep-nv-tensorrt-rtx", "an NVIDIA RTX GPU and its driver"
    ),
    # Other CPUs are refused by the plug-in, not by OpenVINO: microsoft/onnxruntime, pull request 31981
    "openvino": Plugin("onnxruntime_ep_openvino", "onnxruntime-ep-openvino", "an Intel CPU or GPU"),
}


def installed(provider: str) -> bool:
    """Return whether the package of a plug-in provider is installed; whether it works shows only when it is used."""
    return provider in PLUGINS and find_spec(PLUGINS[provider].module) is not None


def plugin_device(onnxruntime: Any, provider: str) -> Any:
    """Register a plug-in and choose its device.

    Args:
        onnxruntime: the module.
        provider: a key of PLUGINS.

    Returns:
        The device, an OrtEpDevice.

    Raises:
        TrackerError: if ONNX Runtime is too old, the plug-in is not installed or cannot be loaded, or it has no device
            here.
    """
    plugin = PLUGINS[provider]
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        raise TrackerError(
            f"--provider {provider} needs ONNX Runtime 1.23 or newer, here is {onnxruntime.__version__}; "
            "pip install --upgrade onnxruntime"
        )
    try:
        module = import_module(plugin.module)
    except ModuleNotFoundError:
        raise TrackerError(f"--provider {provider} {describe_missing(plugin.package)}") from None
    except Exception as error:  # it loads libraries while it is imported
        raise _unloadable(plugin, error) from None
    name = module.get_ep_names()[0]
    devices = _devices(onnxruntime, name)
    if not devices:  # not registered yet; an application may have done it
        try:
            onnxruntime.register_execution_provider_library(name, module.get_library_path())
        except Exception as error:  # onnxruntime raises its own types, all derived from Exception only
            if "already registered" not in str(error):
                raise _unloadable(plugin, error) from None
        devices = _devices(onnxruntime, name)
    usable = [device for device in devices if _kind(device) in ("GPU", "CPU")]  # an NPU computes in less than float32
    if not usable:
        raise TrackerError(f"--provider {provider}: {plugin.package} found no device here; it needs {plugin.needs}")
    return min(usable, key=_rank)


def provider_options(provider: str, device: Any) -> dict[str, str]:
    """Return the options for a device: OpenVINO computes in float32, see tracker.engines.onnx."""
    if provider != "openvino":
        return {}
    kind = device.ep_metadata.get("ov_device", _kind(device))
    return {"load_config": json.dumps({kind: {"INFERENCE_PRECISION_HINT": "f32"}})}


def describe_device(device: Any) -> str:
    """Return the name of a device for people."""
    return str(device.device.metadata.get("Description") or f"{device.device.vendor} {_kind(device)}".strip())


def nodes_on(session: Any, name: str) -> tuple[int, int] | None:
    """Return how many parts of the graph run on a provider, and how many there are; None if that is not known.

    ONNX Runtime itself computes on the CPU what a provider does not take, without a word.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    parts = session.get_provider_graph_assignment_info()
    return sum(part.ep_name == name for part in parts), len(parts)


def _devices(onnxruntime: Any, name: str) -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]


def _kind(device: Any) -> str:
    return str(device.device.type).rpartition(".")[2]


def _rank(device: Any) -> tuple[bool, bool]:
    """A GPU before a CPU, a card before a GPU in the processor; of equal ones the first."""
    return _kind(device) != "GPU", device.device.metadata.get("Discrete") != "1"


def _unloadable(plugin: Plugin, error: Exception) -> TrackerError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
    return TrackerError(f"{plugin.package} cannot be loaded ({reason}); it needs {plugin.needs}")
