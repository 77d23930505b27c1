"""Checkpoints as data: read from a local file, checked as a whole, and built from trusted packages only.

A checkpoint names the classes that it was made with, and whatever builds it imports them. So every name is judged
before anything is imported.
"""

from __future__ import annotations

import copy
import enum
import importlib
import inspect
import math
import os
import re
import typing
import zipfile
from collections import abc
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import torch
from torch import Tensor, nn

from tracker.errors import TrackerError
from tracker.system.files import open_plain
from tracker.weights.packaged import PACKAGED, RESEARCH

TRUSTED = ("train",)
MOST_VALUES, DEEPEST = 10_000, 30  # of a configuration; that of train.run has about 60 values, 6 deep
LONGEST, LARGEST = 10_000, 2**63  # characters of a text in it, and what a whole number in it is below

_INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
_CLASSES = {"hyper_parameters": "train.task.LandmarkTask", "datamodule_hyper_parameters": "train.loaders.FaceData"}
_NEEDED = {"state_dict": dict, "epoch": int, "global_step": int, **dict.fromkeys(_CLASSES, dict)}
_RESUMED = {"loops": dict, "callbacks": dict, "optimizer_states": list, "lr_schedulers": list}
_CONTAINERS = (list, tuple, dict, set, abc.Sequence, abc.Mapping, abc.Iterable, Union, UnionType)
_TEXT = (str, Path, Any, object, Literal)  # what takes a text as it is
_SCALARS = (str, int, float, bool, NoneType)

Built = TypeVar("Built")


class CheckpointError(TrackerError):
    """A checkpoint that is missing, damaged, foreign or not to be trusted. The message is one sentence."""


def read_checkpoint(path: str | Path, trust: str | Iterable[str] = (), resume: bool = False) -> dict[str, Any]:
    """Read what train.run wrote and check it; nothing that the file names is imported before its name is trusted.

    Args:
        path: a local file; URLs are refused.
        trust: packages, such as "mynets" or "mynets.small", that its classes may come from besides train; in a text
            they are separated by commas.
        resume: whether a training goes on from it, which needs the optimizer's state, too.

    Returns:
        The checkpoint as Lightning lays it out: state_dict, hyper_parameters, datamodule_hyper_parameters and more.

    Raises:
        CheckpointError: where it cannot be read, is damaged, or names a class of another package.
    """
    packages = _packages(trust)
    raw = _load(path)
    _check_layout(path, raw, {**_NEEDED, **_RESUMED} if resume else _NEEDED)
    check_configuration(path, raw, packages)
    checked: dict[str, Any] = raw
    return checked


def check_configuration(path: str | Path, raw: Mapping[str, Any], trust: str | Iterable[str] = ()) -> None:
    """Check the configuration of a checkpoint, or of a model that was exported from one, before it is built.

    Args:
        path: of the file.
        raw: hyper_parameters and datamodule_hyper_parameters.
        trust: as read_checkpoint.

    Raises:
        CheckpointError: if it names a class of another package, or is too large.
    """
    configuration = _Configuration(path, (*TRUSTED, *_packages(trust)))
    for key, class_path in _CLASSES.items():
        settings = dict(raw[key])
        if settings.pop("_instantiator", _INSTANTIATOR) != _INSTANTIATOR:
            raise CheckpointError(f"{path}: its {key} name an instantiator other than {_INSTANTIATOR}; not used")
        configuration.measure(settings)
        configuration.check({"class_path": class_path, "init_args": settings}, None, key)


def refuse_url(path: str | Path) -> None:
    """Raise CheckpointError for a URL in the place of a file."""
    if re.match(r"[A-Za-z][\w+.-]+:", str(path)) or "::" in str(path):
        raise CheckpointError(f"{path}: expected a checkpoint in a local file, got a URL; download it first")


def build(kind: type[Built], checkpoint: Mapping[str, Any], path: str | Path, larger: bool = False) -> Built:
    """The LandmarkTask (its weights still at random) or the FaceData that a checkpoint was made with.

    Args:
        kind: LandmarkTask or FaceData.
        checkpoint: as read_checkpoint returned it.
        path: its file, for messages.
        larger: whether the net may be larger than the weights of the checkpoint.

    Raises:
        CheckpointError: where its configuration does not fit this version's classes.
    """
    from lightning.pytorch.cli import instantiate_module

    key: str = kind.CHECKPOINT_HYPER_PARAMS_KEY  # type: ignore[attr-defined]
    if issubclass(kind, nn.Module) and not larger:
        expect_no_larger(kind, checkpoint, path)
    try:
        return instantiate_module(kind, copy.deepcopy(_settings(kind, checkpoint)))  # jsonargparse changes lists in it
    except Exception as error:  # jsonargparse's own, or whatever a class makes of odd values
        raise CheckpointError(f"{path}: its {key} are not understood by this version ({_first(error)})") from None


def expect_no_larger(kind: type[nn.Module], checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Refuse a net that would be larger than the weights, which are in memory: it may not fit there.

    The net is built without memory, on torch's device "meta".

    Args:
        kind: of the module.
        checkpoint: as read_checkpoint returned it.
        path: its file, for messages.

    Raises:
        CheckpointError: if it would be larger.
    """
    from lightning.pytorch.cli import instantiate_module

    weights = checkpoint["state_dict"].values()
    stored = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() // each.itemsize for each in weights}
    most_values, values = sum(stored.values()), 0
    counted: dict[int, Tensor] = {}  # one that is shared is registered more than once

    def count(module: nn.Module, name: str, parameter: Tensor) -> None:
        nonlocal values
        if id(parameter) not in counted:
            counted[id(parameter)] = parameter
            values += parameter.numel()
        if len(counted) > len(weights) or values > most_values:
            raise CheckpointError(f"{path}: its weights do not fit the net: the net has more of them")

    hook = nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            instantiate_module(kind, _settings(kind, checkpoint))
    except CheckpointError:
        raise
    except Exception:  # what is wrong, or needs memory, shows when it is built
        pass
    finally:
        hook.remove()


def _settings(kind: type, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    key: str = kind.CHECKPOINT_HYPER_PARAMS_KEY  # type: ignore[attr-defined]
    return {name: value for name, value in checkpoint[key].items() if name != "_instantiator"}


def load_weights(module: nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Put a checkpoint's weights into a module.

    Args:
        module: the module.
        checkpoint: as read_checkpoint returned it.
        path: its file, for messages.

    Raises:
        CheckpointError: unless each weight has its place and shape.
    """
    own, given = module.state_dict(), checkpoint["state_dict"]
    faults = [f"{name} has values that are not finite" for name in given if not given[name].isfinite().all()]
    faults += [f"{name} is missing" for name in own if name not in given]
    faults += [f"{name} is not in the net" for name in given if name not in own]
    faults += [
        f"{name} has the shape {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    if faults:
        others = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise CheckpointError(f"{path}: its weights do not fit the net: {faults[0]}{others}")
    module.load_state_dict(given)


def expect_state(module: nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Compare what a training goes on from, besides the weights, with the module that it will be restored into.

    Args:
        module: the module.
        checkpoint: as read_checkpoint returned it.
        path: its file, for messages.

    Raises:
        CheckpointError: if the state of AdamW does not fit the module's parameters, or the rest is damaged.
    """
    shapes = [each.shape for each in module.parameters()]
    try:
        (optimizer,), (schedule,) = checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
        groups, states = optimizer["param_groups"], optimizer["state"]
        numbers = [number for group in groups for number in group["params"]]
        fits = sorted(numbers) == list(range(len(shapes))) and isinstance(schedule["last_epoch"], int)
        for number, state in states.items():
            wrong = [v for name in ("exp_avg", "exp_avg_sq") if (v := state[name]).shape != shapes[number]]
            fits = fits and not wrong and math.isfinite(float(state["step"]))
        group, rates = _fresh_state()
        fits = fits and all({"lr", "betas", "eps", "weight_decay"} <= {*each} for each in groups)
        fits = fits and all(_resembles(each, group) for each in groups) and _resembles(schedule, rates)
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        fits = fits and all(type(count) is int and count >= 0 for count in progress.values())
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError):
        fits = False
    if not fits:
        raise CheckpointError(
            f"{path}: the state of its optimizer is damaged or of another net, so no training can go on from it; begin "
            f"a new one from its weights by --model.start {path}"
        )


def _fresh_state() -> tuple[dict[str, Any], dict[str, Any]]:
    """What AdamW keeps of a group of parameters, and what its schedule keeps, before a training's first step."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    group = {name: value for name, value in optimizer.param_groups[0].items() if name not in ("params", "fused")}
    return group, schedule.state_dict()


def _resembles(value: Any, sample: Any) -> bool:
    """Whether it is of the sample's kind, numbers finite; of tables the entries that both have, as versions differ."""
    if isinstance(sample, dict):
        return all(_resembles(value[name], sample[name]) for name in sample.keys() & value.keys())
    if isinstance(sample, (list, tuple)):
        return len(value) == len(sample) and all(map(_resembles, value, sample))
    if isinstance(sample, float):
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(sample)


def _packages(trust: str | Iterable[str]) -> list[str]:
    names = [name.strip() for name in (trust.split(",") if isinstance(trust, str) else trust)]
    for name in filter(None, names):
        if not all(part.isidentifier() for part in name.split(".")):
            raise CheckpointError(f"--trust expected the name of a package, such as mynets.small, got {name!r:.80}")
    return [name for name in names if name]


def _load(path: str | Path) -> Any:
    """What torch reads, as data, from a local file. Torch writes an archive whose members are not compressed."""
    refuse_url(path)
    try:
        file = open_plain(path)
    except OSError as error:
        if str(path) in (*PACKAGED, *RESEARCH):
            raise CheckpointError(
                f"{path}: expected a checkpoint of train.run; the packaged models have none, they are .onnx files"
            ) from None
        raise CheckpointError(f"{path}: cannot read the checkpoint: {error.strerror}") from None
    with file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
            compressed = any(member.file_size != member.compress_size for member in members)
            larger = sum(member.file_size for member in members) > file.seek(0, os.SEEK_END)  # members may overlap
            file.seek(0)
            return None if compressed or larger else torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # whatever a damaged file makes of either reader
            raise _none(path) from None


def _are_versions(metadata: object) -> bool:
    """Tell whether it is what torch keeps of the layers of a state: a table of each layer, with a number as version."""
    if not isinstance(metadata, dict) or not all(isinstance(layer, dict) for layer in metadata.values()):
        return False
    return all(type(layer.get("version")) in (int, type(None)) for layer in metadata.values())


def _check_layout(path: str | Path, raw: object, needed: Mapping[str, type]) -> None:
    if not isinstance(raw, dict):
        raise _none(path)
    for key, kind in needed.items():
        if key not in raw:
            raise CheckpointError(f"{path}: expected a checkpoint of train.run, this one has no {key}")
        if not isinstance(raw[key], kind) or isinstance(raw[key], bool):
            raise CheckpointError(
                f"{path}: expected a checkpoint of train.run, the {key} of this one is a {type(raw[key]).__name__}"
            )
    for versions in (getattr(raw.get(key), "_metadata", {}) for key in ("state_dict", "current_model_state")):
        if not _are_versions(versions):  # which torch compares with its own
            raise CheckpointError(f"{path}: its weights are damaged: their layers state no versions that are numbers")
    for name, tensor in raw["state_dict"].items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor)):
            raise CheckpointError(f"{path}: its weights are damaged: {name!s:.80} is a {type(tensor).__name__}")
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_complex():
            raise CheckpointError(f"{path}: its weights are damaged: {name:.80} holds no real numbers")
        if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():  # one number in many places
            raise CheckpointError(f"{path}: its weights are damaged: {name:.80} has more numbers than are in the file")


class _Configuration:
    """Judges the classes, and the places where a class could be named, of a checkpoint's configuration.

    jsonargparse, which builds them, imports a class_path wherever it stands, and takes a text where a class is
    expected for the name of one, or for a file that names one.
    """

    def __init__(self, path: str | Path, trusted: tuple[str, ...]) -> None:
        self.path, self.trusted = path, trusted

    def measure(self, settings: object) -> None:
        """Refuse what is too large or too deep to be walked through; a pickle may even hold itself."""
        layer, values = [settings], 0
        for _ in range(DEEPEST):
            values += len(layer)
            for value in layer:
                if isinstance(value, str) and len(value) > LONGEST:
                    raise CheckpointError(f"{self.path}: its configuration holds a text of {len(value):,} characters")
                if isinstance(value, int) and abs(value) >= LARGEST:
                    raise CheckpointError(f"{self.path}: its configuration holds a number beyond 2^63")
            if values > MOST_VALUES:
                raise CheckpointError(f"{self.path}: its configuration has more than {MOST_VALUES} values; not used")
            layer = [each for value in layer for each in _inner(value)]
            if not layer:
                return
        raise CheckpointError(f"{self.path}: its configuration is nested more than {DEEPEST} deep; not used")

    def check(self, value: object, hint: object, where: str) -> None:
        """Refuse a value that could make jsonargparse import what is not trusted; hint: the type it shall have."""
        if isinstance(value, str):
            if not any(kind in _TEXT for kind in _kinds(hint)) or _classes(hint):
                raise CheckpointError(f"{self.path}: its {where} is the text {value:.60}, which is not expected there")
        elif isinstance(value, (list, tuple)):
            for i, each in enumerate(value):
                self.check(each, hint, f"{where}[{i}]")
        elif isinstance(value, dict):
            self._check_keys(value, where)
            if "class_path" in value:
                hints = _hints(self._class(value["class_path"], where))
                if foreign := value.keys() - {"class_path", "init_args"}:
                    raise CheckpointError(f"{self.path}: its {where} has an unknown entry {min(foreign)}")
                arguments = value.get("init_args", {})
                if not isinstance(arguments, dict):
                    raise CheckpointError(f"{self.path}: the init_args of its {where} are not a table")
                self._check_keys(arguments, where)
                for name, each in arguments.items():
                    self.check(each, hints.get(name), f"{where}.{name}")
            else:
                hints = {name: each for kind in _classes(hint) for name, each in _hints(kind).items()}
                for name, each in value.items():
                    self.check(each, hints.get(name) if hints else hint, f"{where}.{name}")
        elif not isinstance(value, _SCALARS):
            raise CheckpointError(f"{self.path}: its {where} is a {type(value).__name__}, which is not expected there")

    def _check_keys(self, values: Mapping[object, object], where: str) -> None:
        """Of identifiers only: in jsonargparse "net.class_path" sets the class of net, and "net+" adds to it."""
        for name in values:
            if not (isinstance(name, str) and name.isidentifier() and not name.startswith("_")):
                raise CheckpointError(
                    f"{self.path}: its {where} has an entry {name!r:.60}, which is not expected there"
                )

    def _class(self, class_path: object, where: str) -> type:
        """The class, which is imported only if its name is trusted."""
        if not isinstance(class_path, str) or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", class_path):
            raise CheckpointError(
                f"{self.path}: the class_path of its {where} is no name of a class: {class_path!r:.80}"
            )
        self._trust(class_path, class_path, where)
        module, _, name = class_path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise CheckpointError(f"{self.path}: its {where} is a {class_path}, which cannot be imported") from None
        if not isinstance(found, type):
            raise CheckpointError(f"{self.path}: its {where} is a {class_path}, which is not a class")
        self._trust(f"{found.__module__}.{found.__qualname__}", class_path, where)
        return found

    def _trust(self, name: str, class_path: str, where: str) -> None:
        if not any(name.startswith(f"{package}.") for package in self.trusted):
            package = name.partition(".")[0]
            raise CheckpointError(
                f"{self.path}: its {where} is a {class_path}, whose code is not part of {' or '.join(self.trusted)}; "
                f"if you know the package {package} and trust it, add --trust {package}"
            )


def _inner(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return [each for item in value.items() for each in item]
    return value if isinstance(value, (list, tuple)) else ()


def _hints(kind: Any) -> dict[str, Any]:
    """The types of a class's arguments, also of those that it hands on to the classes that it is made from.

    Any where there is none, and None, for which no text is taken, where it cannot be told.
    """
    found: dict[str, Any] = {}
    for base in reversed(getattr(kind, "__mro__", ())):
        initialise = base.__dict__.get("__init__")
        if not inspect.isfunction(initialise):
            continue
        try:
            hints = typing.get_type_hints(initialise)
        except Exception:  # of annotations that cannot be evaluated
            hints = {}
        for name, parameter in inspect.signature(initialise).parameters.items():
            found[name] = hints.get(name, Any if parameter.annotation is parameter.empty else None)
    return found


def _kinds(hint: object) -> list[object]:
    """The types that a value may have in the end: those of a union, and those in lists and tables."""
    origin = get_origin(hint)
    if origin is Literal:
        return [Literal]
    if origin in _CONTAINERS:
        return [kind for each in get_args(hint) for kind in _kinds(each)]
    if origin is typing.Annotated:
        return _kinds(get_args(hint)[0])
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [Literal]
    return [hint]


def _classes(hint: object) -> list[object]:
    """Those of them that would be built."""
    return [kind for kind in _kinds(hint) if kind not in (*_TEXT, *_SCALARS, Ellipsis, None)]


def _none(path: str | Path) -> CheckpointError:
    return CheckpointError(f"{path}: expected a checkpoint of train.run, this file is not one")


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
