"""Finds the packaged landmark models and face detectors, and checks the SHA-256 of each."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.suggestions import suggest
from tracker.errors import TrackerError, one_line
from tracker.redaction import redact_source
from tracker.system.files import read_plain

if TYPE_CHECKING:
    from tracker.engines.base import Engine

PACKAGED = ("edge68", "edge68_fast", "edge68_int8", "edge68_fast_int8")
"""Names of the packaged landmark models: the default, a smaller one at 0.57x its latency, and both in INT8."""
RESEARCH = ("edge68_300w", "edge68_fast_300w", "mid68_300w")
"""Models trained on 300W, for research only: part of the repository, not of the installed package."""
WEIGHTS = Path(str(resources.files("tracker"))) / "weights"
LARGEST_DETECTOR = 64 << 20
"""The largest size of a detector's file in bytes; YuNet has 0.3 MB."""


@dataclass(frozen=True)
class ModelIdentity:
    """The model of a run.

    Attributes:
        name: of a packaged model, else its path or URL.
        licence: as its spec states it.
        sha256: of its file, hexadecimal; None for a served model.
    """

    name: str
    licence: str
    sha256: str | None

    def __str__(self) -> str:
        sha256 = "" if self.sha256 is None else f"SHA-256 {self.sha256[:8]}, "
        return one_line(f"model {self.name}, {sha256}licence: {self.licence}")


@dataclass(frozen=True)
class DetectorFile:
    """A detector's file in WEIGHTS; DETECTORS.md states its origin.

    Attributes:
        name: of the file.
        sha256: of the file, hexadecimal.
        licence: an SPDX identifier.
    """

    name: str
    sha256: str
    licence: str

    @property
    def path(self) -> Path:
        """The path of the packaged file."""
        return WEIGHTS / self.name


YUNET = DetectorFile(
    name="yunet_n_320_320.onnx",
    sha256="81dbde155e982455488235acb8ec2dec5d647edf7cf7080d33e4abb69b93a0d2",
    licence="Apache-2.0",
)
BLAZEFACE = DetectorFile(
    name="face_detection_short_range.tflite",
    sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    licence="Apache-2.0",
)


def packaged_detector(file: DetectorFile) -> bytes:
    """Read a packaged detector's file and check its SHA-256.

    Args:
        file: which one.

    Raises:
        TrackerError: if it is missing or damaged.
    """
    content = _read(file.path)
    _expect_sum(file.path, content, file.sha256, "detector")
    return content


def own_detector(path: Path) -> bytes:
    """Read a user's detector file.

    Args:
        path: of the file.

    Raises:
        TrackerError: if it cannot be read, or is larger than LARGEST_DETECTOR.
    """
    return _read(path, LARGEST_DETECTOR)


def url_of_model(model: Path | str) -> str | None:
    """Return the URL of a served model, such as triton://localhost:8001/edge68; None for a file or a name.

    Args:
        model: a file, a name or a URL. A Path has lost a slash of a URL, which is put back.
    """
    match = re.match(r"([A-Za-z][\w+.-]+):/" + ("" if isinstance(model, Path) else "/"), str(model))
    return None if match is None else f"{match[1]}://{str(model)[match.end() :].lstrip('/')}"


def landmark_model(path: Path | None = None) -> Path:
    """Find a landmark model: the file at path, or one of PACKAGED or RESEARCH by its name, with its SHA-256 checked.

    Args:
        path: a file or a name; None for the default, the first of PACKAGED. A user's file is not checked here; the
            engine checks its spec.

    Returns:
        The path of the model's file.

    Raises:
        TrackerError: if there is no such file, or a model of that name is missing or damaged.
    """
    name = PACKAGED[0] if path is None else str(path)
    if name in (*PACKAGED, *RESEARCH):
        file = _file_of(name)
        if name in RESEARCH and not file.parent.is_dir():
            raise TrackerError(
                f"{name} is for research only and is not part of the installed package; take "
                f"tracker/weights/research/{name}.onnx from the source repository and give that file as the model"
            )
        return _with_checksum(file)
    assert path is not None
    if (url := url_of_model(path)) is not None:
        raise TrackerError(
            f"expected the file or the name of a landmark model, {redact_source(url)} is run by a server"
        )
    if not os.path.isfile(path):
        names = named_models()
        raise TrackerError(
            f"landmark model: expected an .onnx or .plan file that exists, or one of {', '.join(names)}, got "
            f"{path}{suggest(name, names)}"
        )
    return path


def named_models() -> list[str]:
    """Return the names of the models that load by name here; those of RESEARCH are in the repository only."""
    return [name for name in (*PACKAGED, *RESEARCH) if name in PACKAGED or _file_of(name).parent.is_dir()]


def identify_model(model: Path | str, licence: str) -> ModelIdentity:
    """Return the identity of a model.

    Args:
        model: its file, or the URL of a served one.
        licence: as its spec states it.

    Raises:
        TrackerError: if the file cannot be read.
    """
    if (url := url_of_model(model)) is not None:
        return ModelIdentity(redact_source(url), licence, None)
    path = Path(model)
    named = {_file_of(name): name for name in (*PACKAGED, *RESEARCH)}
    return ModelIdentity(named.get(path, str(path)), licence, sha256_of(path))


def identify_engine(engine: Engine) -> ModelIdentity:
    """Return the identity of the model that an engine runs.

    Args:
        engine: that runs it; with the attribute path for a file, or url for a model on a server. An engine of your own
            may have neither; then the name of its class is taken.

    Returns:
        The identity, see identify_model.

    Raises:
        TrackerError: the file cannot be read.
    """
    model = getattr(engine, "path", None) or getattr(engine, "url", None)
    if model is None:
        return ModelIdentity(type(engine).__name__, engine.spec.licence, None)
    return identify_model(model, engine.spec.licence)


def _file_of(name: str) -> Path:
    """Return the file of a model named in PACKAGED or RESEARCH."""
    return (WEIGHTS / "research" if name in RESEARCH else WEIGHTS) / f"{name}.onnx"


def _with_checksum(model: Path) -> Path:
    """Return the model's file after comparing its content with the SHA-256 in the file beside it."""
    try:
        expected = model.with_suffix(".sha256").read_text().split()[0]
    except (OSError, IndexError):
        raise TrackerError(
            f"{model.with_suffix('.sha256')} is missing or empty; install landmark-tracker again"
        ) from None
    _expect_sum(model, _read(model), expected, "landmark model")
    return model


def _expect_sum(path: Path, content: bytes, expected: str, what: str) -> None:
    if (got := hashlib.sha256(content).hexdigest()) != expected:
        raise TrackerError(
            f"the packaged {what} {path} is damaged: expected SHA-256 {expected}, got {got}; "
            "install landmark-tracker again"
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; raise TrackerError if it cannot be read."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path, most_bytes: int | None = None) -> bytes:
    try:
        return read_plain(path, most_bytes)
    except OSError as error:
        raise TrackerError(f"{path}: cannot read the model: {error.strerror}; check the path") from None
