"""Writes an .onnx file into a model repository of Triton Inference Server.

python -m export.triton --model model.onnx --repository models --name edge68

Triton 2.51 accepts the configuration; the model was not run, because its ONNX Runtime backend was not available.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.extras import needs_extra

with needs_extra(__name__, "export.triton", "cpu", "cv2", "onnxruntime"):
    from tracker.cli.command import run_command
    from tracker.engines.onnx import OnnxEngine
    from tracker.engines.onnx_file import external_files, read_model
    from tracker.engines.spec import INPUT, ModelSpec
    from tracker.engines.triton import import_client, tensors_of
    from tracker.errors import TrackerError

PREFERRED_FACES = (4, 8, 16)
CONFIG = "config.pbtxt"
MODEL = "model.onnx"


def export(model: Path, repository: Path, name: str, max_faces: int = 16) -> None:
    """Put an .onnx model into the model repository of a Triton Inference Server.

    Args:
        model: an .onnx file that export.run wrote.
        repository: the folder that Triton is started with; made if it does not exist.
        name: of the model on the server. An existing model gets a new version.
        max_faces: the largest number of faces in one call of the model.

    Raises:
        TrackerError: as write_repository.
    """
    written = write_repository(model, repository, name, max_faces)
    print(f"{written}: version {written.parent.name} of {name}, for `tritonserver --model-repository {repository}`")


def write_repository(onnx: Path, repository: Path, name: str, max_faces: int = 16) -> Path:
    """Put an .onnx model into a Triton model repository, atomically.

    A new model becomes NAME/config.pbtxt and NAME/1/model.onnx. An existing one gets the next version, if its
    configuration equals that of this model; the configuration is not changed. Its parameters hold the model's spec,
    for clients to read.

    Args:
        onnx: a file that export.run wrote.
        repository: the folder that Triton serves; made if it does not exist.
        name: letters, digits, dots, dashes and underscores; also the folder's name.
        max_faces: the largest number of faces in one call, from 1 on. Waiting requests are batched up to it.

    Returns:
        The model's file in the repository.

    Raises:
        TrackerError: if the model cannot be read, the name or number is invalid, a model of that name differs, the
            folder cannot be written, or Triton's client is not installed.
    """
    check_name(name)
    if max_faces < 1:
        raise TrackerError(f"max_faces must be at least 1, got {max_faces}")
    config = _config(OnnxEngine(onnx).spec, name, max_faces)
    folder = repository / name
    try:
        files = _files(onnx)
        if folder.exists():
            _refuse_another(folder / CONFIG, config)
            version = folder / str(_next_version(folder))
            _put(version, files)
            return version / MODEL
        repository.mkdir(parents=True, exist_ok=True)
        _put(folder, {CONFIG: _text(config).encode(), **{f"1/{each}": content for each, content in files.items()}})
        return folder / "1" / MODEL
    except OSError as error:
        raise TrackerError(f"{folder}: cannot write the model there: {error.strerror}") from None


def _files(onnx: Path) -> dict[str, bytes]:
    """Return the files of a version's folder: the model and its external weights. Raises OSError."""
    model = read_model(onnx)
    weights = {file.relative_to(onnx.parent).as_posix(): file.read_bytes() for file in external_files(onnx, model)}
    if MODEL in weights:
        raise TrackerError(
            f"{onnx}: its weights are in a file called {MODEL}, the name that Triton needs for the model"
        )
    return {MODEL: model, **weights}


def check_name(name: str) -> None:
    """Raise TrackerError unless Triton accepts the name for a model."""
    if not re.fullmatch(r"[\w-][\w.-]*", name, flags=re.ASCII):
        raise TrackerError(f"name must be letters, digits, '.', '-' and '_', and not start with '.', got {name!r}")


def _config(spec: ModelSpec, name: str, max_faces: int) -> Any:
    """Return Triton's ModelConfig."""
    proto = import_client().model_config_pb2
    config = proto.ModelConfig(
        name=name,
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        max_batch_size=max_faces,
        default_model_filename=MODEL,
    )
    config.version_policy.latest.num_versions = 1
    for tensor, (kind, dims) in tensors_of(spec).items():
        described = config.input if tensor == INPUT else config.output
        described.add(name=tensor, data_type=proto.DataType.Value(kind), dims=dims)
    preferred = {faces for faces in PREFERRED_FACES if faces < max_faces} | {max_faces}
    config.dynamic_batching.preferred_batch_size.extend(sorted(preferred))
    for key, value in spec.to_metadata().items():
        config.parameters[key].string_value = value
    return config


def _text(config: Any) -> str:
    from google.protobuf import text_format

    text: str = text_format.MessageToString(config)
    return text


def _refuse_another(path: Path, wanted: Any) -> None:
    """Raise TrackerError unless the existing configuration equals the wanted one."""
    from google.protobuf import json_format, text_format

    try:
        present = text_format.Parse(path.read_text("utf-8"), type(wanted)())
    except FileNotFoundError:
        raise TrackerError(
            f"{path.parent}: no model, {CONFIG} is missing; remove the folder or take another name"
        ) from None
    except (text_format.ParseError, UnicodeDecodeError):
        raise TrackerError(f"{path}: expected a model configuration, this is not one; take another name") from None
    there, here = (json_format.MessageToDict(each, preserving_proto_field_name=True) for each in (present, wanted))
    differing = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if differing:
        what = ", ".join("parameters (the model's spec)" if key == "parameters" else key for key in differing)
        raise TrackerError(
            f"{path}: differs from the new model's in {what}; take another name, or remove the old model"
        )


def _next_version(folder: Path) -> int:
    return 1 + max((int(path.name) for path in folder.iterdir() if re.fullmatch("[0-9]+", path.name)), default=0)


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder with the files, atomically. Raises OSError, also if the folder exists and is not empty."""
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as scratch:
        whole = Path(scratch) / folder.name
        for name, content in files.items():
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            (whole / name).write_bytes(content)
        os.rename(whole, folder)


def main() -> int:
    """Run the command line; return the exit status."""
    return run_command(export, "export.triton")


if __name__ == "__main__":
    sys.exit(main())
