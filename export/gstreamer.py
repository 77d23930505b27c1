"""python -m export.gstreamer --model model.onnx: writes model.onnx.modelinfo, which GStreamer's onnxinference needs.

GStreamer was not at hand to run the model; the form of the file is that of its documentation, GstAnalyticsModelInfo,
GStreamer 1.28.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from train.extras import needs_extra

with needs_extra(__name__, "export.gstreamer", "cpu", "cv2"):
    from tracker.cli.command import run_command
    from tracker.engines.onnx_file import metadata_of, read_model
    from tracker.engines.spec import INPUT, ModelSpec
    from tracker.errors import TrackerError
    from tracker.system.files import unwritable, whole_file, write_file


def model_info(spec: ModelSpec) -> str:
    """The inputs and outputs of a model in GStreamer's words, an INI file.

    A section is named after its tensor. dims: -1 is the number of faces. The range 0 to 255 says that pixels go in as
    they are, as bytes. No decoder of GStreamer knows the ids: a decoder of your own finds the tensors by them.
    """
    group = f"landmark-tracker-{spec.scheme}"
    sections = [["[modelinfo]", "version=1.0", f"group-id={group}"]]
    for name, shape in spec.shapes().items():
        is_input = name == INPUT
        section = [
            f"[{name}]",
            f"id={group}-{name.replace('_', '-')}",
            f"type={'uint8' if is_input else 'float32'}",
            f"dims={','.join(map(str, (-1, *shape)))}",
            "dims-order=row-major",
            f"dir={'input' if is_input else 'output'}",
        ]
        sections.append(section + ["ranges=0.0,255.0;0.0,255.0;0.0,255.0"] * is_input)
    return "\n\n".join(map("\n".join, sections)) + "\n"


def info_path(model: Path) -> Path:
    """Where GStreamer looks for it first."""
    return model.with_name(f"{model.name}.modelinfo")


@contextmanager
def whole_model_info(model: Path, spec: ModelSpec) -> Iterator[Path]:
    """Write the .modelinfo of a model beside it at the end of the with block, in the place of an older one.

    After an error in the block, and if it cannot be written, nothing has changed.

    Args:
        model: the .onnx file.
        spec: of the model.

    Yields:
        The path of the .modelinfo.

    Raises:
        TrackerError: it cannot be written; before the block, if that is known by then.
    """
    path = info_path(model)
    try:
        with whole_file(path) as part:
            part.write_bytes(model_info(spec).encode())
            yield path
    except OSError as error:
        raise unwritable(path, error) from None


def export(model: Path) -> None:
    """Write the .modelinfo of a model beside it, as export.run does for each new one.

    Args:
        model: the .onnx file that export.run wrote.
    """
    if model.suffix.lower() != ".onnx":
        raise TrackerError(f"--model expected an .onnx file that export.run wrote, got {model}")
    spec = ModelSpec.from_metadata(metadata_of(read_model(model)), str(model))
    write_file(info_path(model), model_info(spec).encode())
    print(f"written: {info_path(model)}")


def main() -> int:
    """Run the command line."""
    return run_command(export, "export.gstreamer")


if __name__ == "__main__":
    sys.exit(main())
