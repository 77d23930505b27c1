"""Finds the packaged files, the landmark models and the face detectors, and checks each against its SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tracker.errors import TrackerError, one_line
from tracker.redaction import redact_source
from tracker.system.files import read_plain

PACKAGED = ("edge68", "edge68_fast")
"""The packaged landmark models' names: the default, and a smaller one for six tenths of its time."""
RESEARCH = ("edge68_300w", "edge68_fast_300w")
"""Models that were trained on 300W, for research only: in the repository, not in the installed package."""
WEIGHTS = Path(str(resources.files("tracker"))) / "weights"
LARGEST_DETECTOR = 64 << 20
"""Bytes of a detector's file at most; YuNet has 0.3 MB."""


@dataclass(frozen=True)
class ModelIdentity:
    """Which model a run uses: its name here, or else its path or URL, its licence, and the SHA-256 (hex) of its file.

    Of a model that a server runs there is no file here: sha256 is None.
    """

    name: str
    licence: str
    sha256: str | None

    def __str__(self) -> str:
        sha256 = "" if self.sha256 is None else f"SHA-256 {self.sha256[:8]}, "
        return one_line(f"model {self.name}, {sha256}licence: {self.licence}")


@dataclass(frozen=True)
class DetectorFile:
    """A detector's file in WEIGHTS, whose DETECTORS.md says where it comes from: its name, SHA-256 (hex), licence."""

    name: str
    sha256: str
    licence: str

    @property
    def path(self) -> Path:
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
    """The content of a packaged detector's file, checked. Raises TrackerError for one that is missing or damaged."""
    content = _read(file.path)
    _expect_sum(file.path, content, file.sha256, "detector")
    return content


def own_detector(path: Path) -> bytes:
    """The content of a detector's file that the user named, of at most LARGEST_DETECTOR bytes.

    Raises TrackerError for one that cannot be read, or is larger.
    """
    return _read(path, LARGEST_DETECTOR)


def url_of_model(model: Path | str) -> str | None:
    """Return the URL if the model is one that a server runs, such as triton://localhost:8001/edge68, else None.

    A Path has lost a slash of it, which is put back.
    """
    match = re.match(r"([A-Za-z][\w+.-]+):/" + ("" if isinstance(model, Path) else "/"), str(model))
    return None if match is None else f"{match[1]}://{str(model)[match.end() :].lstrip('/')}"


def find_model(model: Path | str | None = None) -> Path | str:
    """Return the file of a landmark model as landmark_model finds it, or the URL of one that a server runs.

    Raises:
        TrackerError: as landmark_model. Of a URL nothing is checked here: whoever opens the engine does.
    """
    url = None if model is None else url_of_model(model)
    return landmark_model(None if model is None else Path(model)) if url is None else url


def landmark_model(path: Path | None = None) -> Path:
    """Find a landmark model: the file at path, or one of PACKAGED or RESEARCH by its name, with its SHA-256 checked.

    Args:
        path: a file or a name; None for the default, which is the first of PACKAGED. A file at path may be anybody's:
            it has no checksum here, and the engine checks what it says of itself.

    Raises:
        TrackerError: there is no such file, or a model of that name is missing or damaged.
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
        raise TrackerError(
            f"the landmark model {path} is not a file; give an .onnx or .plan file with --model, "
            f"or the name of a packaged one: {', '.join(PACKAGED)}"
        )
    return path


def identify_model(model: Path | str, licence: str) -> ModelIdentity:
    """Return the identity of the model in a file, or at a URL. Raises TrackerError for a file that cannot be read."""
    if (url := url_of_model(model)) is not None:
        return ModelIdentity(redact_source(url), licence, None)
    path = Path(model)
    named = {_file_of(name): name for name in (*PACKAGED, *RESEARCH)}
    return ModelIdentity(named.get(path, str(path)), licence, sha256_of(path))


def _file_of(name: str) -> Path:
    """Where the model of that name, one of PACKAGED or RESEARCH, lies."""
    return (WEIGHTS / "research" if name in RESEARCH else WEIGHTS) / f"{name}.onnx"


def _with_checksum(model: Path) -> Path:
    """The model, after its content was compared with the SHA-256 beside it."""
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
    """Of a file, hex. Raises TrackerError for one that cannot be read."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path, most_bytes: int | None = None) -> bytes:
    try:
        return read_plain(path, most_bytes)
    except OSError as error:
        raise TrackerError(f"{path}: cannot read the model: {error.strerror}; check the path") from None
