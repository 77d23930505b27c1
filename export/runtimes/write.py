"""Writes a model for a phone or a board, if its runtime agrees with PyTorch, with a JSON file beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch

from export.graph import LandmarkGraph, Precision
from export.outputs import check_output
from export.runtimes import coreml, heatmaps, litert, ncnn
from export.runtimes.base import Contents, Target
from export.verify import Budget, Difference, Reference, Runs, expect_within
from tracker.engines.heatmaps import HeatmapDecoder
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from tracker.system.extras import describe_missing
from tracker.system.files import read_text, unwritable, write_whole

RuntimeName = Literal["heatmaps", "litert", "ncnn", "coreml"]
TARGETS: Mapping[RuntimeName, Target] = {
    "heatmaps": heatmaps.TARGET,
    "litert": litert.TARGET,
    "ncnn": ncnn.TARGET,
    "coreml": coreml.TARGET,
}
MOST_BYTES = 10_000_000  # of a JSON file


def contents_path(model: Path, to: RuntimeName) -> Path:
    """Return the path of the JSON file that belongs to an .onnx file and a runtime."""
    return model.with_name(f"{model.stem}.{to}.json")


def check_runtime(to: RuntimeName, model: Path, precision: Precision, inputs: Iterable[Path]) -> None:
    """Check before any work that a model can be written for a runtime.

    Args:
        to: the runtime.
        model: the .onnx file, beside which the others appear.
        precision: that was asked for.
        inputs: files that are read, and are none of the outputs.

    Raises:
        TrackerError: if a package is missing, the precision is not supported, or an output cannot be written.
    """
    target, inputs = TARGETS[to], [*inputs]
    expect_packages(to)
    if precision not in target.precisions:
        known = " or ".join(target.precisions)
        raise TrackerError(
            f"--precision {precision} is not for --to {to}, which takes {known}; quantise its files "
            "with the tools of its maker"
        )
    for file in (*target.files(model), contents_path(model, to)):
        if file.suffix != ".mlpackage":
            check_output(file, file.suffix, inputs)
        elif file.is_symlink() or (file.exists() and not (file / "Manifest.json").is_file()):
            raise TrackerError(f"{file} is no Core ML package, so it is not replaced; give another --output")


def expect_packages(to: RuntimeName) -> None:
    """Raise TrackerError, which names the extra, if a package of a runtime is not installed."""
    target = TARGETS[to]
    for package in target.packages:
        if find_spec(package) is None:
            raise TrackerError(f"--to {to} {describe_missing(package, target.extra)}")


def write_runtime(
    to: RuntimeName,
    graph: LandmarkGraph,
    precision: Precision,
    spec: ModelSpec,
    reference: Reference,
    model: Path,
    budget: Budget,
) -> tuple[list[Path], Difference]:
    """Write a model for a runtime, if the runtime agrees with the reference within the budget.

    The files are converted and run in a temporary folder. Each then appears completely or not at all, and the JSON
    file, which has their hashes, last.

    Args:
        to: the runtime.
        graph: the model in float32.
        precision: of the files.
        spec: for the JSON file.
        reference: the answers of PyTorch on validation faces.
        model: the .onnx file, beside which they appear.
        budget: the largest allowed differences; fields that are None have the default of the precision.

    Returns:
        The files, and the difference between what the runtime computes with them and the reference.

    Raises:
        TrackerError: if the net cannot be converted, a difference exceeds the budget, or a file cannot be written.
    """
    target = TARGETS[to]
    files = target.files(model)
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=model.parent) as folder:
            parts = [Path(folder) / file.name for file in files]
            contents = contents_of(to, graph, spec, model)
            try:
                target.convert(graph, parts, precision, contents)
                difference = reference.compare_engine(target.open(parts, contents, 1), parts[0], precision)
            except TrackerError as error:
                raise TrackerError(f"{files[0]}: not written: {str(error).removeprefix(f'{parts[0]}: ')}") from None
            expect_within(difference, budget, precision, files[0])
            notes = [*str(difference).splitlines(), *filter(None, [target.note])]
            contents["verified"] = "; ".join(map(str.strip, notes))
            contents["files"] = {
                each.relative_to(folder).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
                for part in parts
                for each in (sorted(part.rglob("*")) if part.is_dir() else [part])
                if each.is_file()
            }
            for part, file in zip(parts, files):
                _put(part, file)
            described = contents_path(model, to)
            write_whole(described, (json.dumps(contents, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise unwritable(files[0], error) from None
    return [*files, described], difference


def contents_of(to: RuntimeName, graph: LandmarkGraph, spec: ModelSpec, model: Path) -> Contents:
    """Describe the files of a runtime, for the JSON file beside them.

    Raises:
        TrackerError: if decode_heatmaps cannot decode the model's heatmaps.
    """
    target = TARGETS[to]
    with torch.no_grad():
        logits, _ = graph.maps(torch.zeros(1, spec.size, spec.size, 3, dtype=torch.uint8))
    _, count, height, width = logits.shape
    contents: Contents = {
        "model": model.stem,
        "format": to,
        "licence": spec.licence,
        "spec": asdict(spec),
        "versions": _versions(target.distributions),
        **target.tensors(spec.size, (count, height, width)),
    }
    if target.cut:
        if graph.decoder not in get_args(HeatmapDecoder):
            raise TrackerError(
                f"--to {to} ends at the heatmaps, which decode_heatmaps decodes with "
                f"{' or '.join(get_args(HeatmapDecoder))}, not with {graph.decoder}; give one of them as --decoder, or "
                "--to litert, which has its decoder inside"
            )
        spread = graph.calibration.spread
        contents["decoding"] = {
            "stride": graph.stride,
            "window": min(graph.objective.window, height, width),
            "temperature": graph.calibration.temperature,
            "label_px2": spread.label_px2,
            "floor_px2": spread.floor_px2,
            "deviation_scale": spread.scale,
            "decoder": graph.decoder,
        }
    return contents


def open_runtime(to: RuntimeName, model: Path, threads: int = 1) -> Runs:
    """Open the files that write_runtime wrote.

    Args:
        to: the runtime.
        model: the .onnx file beside which they are.
        threads: of the CPU.

    Returns:
        What runs them.

    Raises:
        TrackerError: if a file or a package is missing.
    """
    expect_packages(to)
    target = TARGETS[to]
    files = target.files(model)
    try:
        contents = json.loads(read_text(contents_path(model, to), MOST_BYTES))
        if missing := [file for file in files if not file.exists()]:
            raise TrackerError(f"{missing[0]}: no such file; write it with `landmarks export --to {to}`")
        return target.open(files, contents, threads)
    except OSError as error:
        raise TrackerError(
            f"{contents_path(model, to)} cannot be read ({error.strerror}); write it with `landmarks export --to {to}`"
        ) from None
    except (ValueError, KeyError) as error:
        raise TrackerError(f"{files[0]}: cannot be opened ({error}); export it again") from None


def _versions(distributions: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _put(part: Path, target: Path) -> None:
    """Move a complete file or folder to its place. Raises OSError."""
    if not part.is_dir():
        write_whole(target, part.read_bytes())
        return
    old = part.with_name("old")  # a folder cannot replace another one that is not empty
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)
