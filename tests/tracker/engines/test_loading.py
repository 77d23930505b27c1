"""Which engine a model is opened with, and what is said of models that none opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tracker import Tracker, TrackerError
from tracker.engines import loading
from tracker.engines.loading import ENGINES, EngineOptions, find_model, load_engine
from tracker.engines.onnx import OnnxEngine
from tracker.weights import packaged
from tracker.weights.packaged import WEIGHTS, identify_model, landmark_model, url_of_model

MODEL = WEIGHTS / "edge68.onnx"


@pytest.mark.parametrize("kind", ["path", "text"])
def test_a_file_by_its_suffix(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(loading, "ENGINES", {".mine": lambda *given: opened.append(given) or "an engine"})
    path = tmp_path / "model.mine"
    assert load_engine(path if kind == "path" else str(path), "cuda", True, 3) == "an engine"  # type: ignore[comparison-overlap]
    assert opened == [(str(path), EngineOptions("cuda", True, 3))]


def test_an_engine_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new scheme of URLs reaches the tracker by its line in ENGINES alone."""
    engine = OnnxEngine(MODEL)
    asked: list[str] = []
    opener = {"mine://": lambda url, _: asked.append(url) or engine}
    monkeypatch.setattr(loading, "ENGINES", {**ENGINES, **opener})
    assert Tracker("mine://here/edge68").engine is engine
    assert Tracker(Path("mine://here/edge68")).engine is engine  # a Path joins the slashes
    assert asked == ["mine://here/edge68"] * 2


def test_other_files_are_for_onnx_runtime(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(MODEL.read_bytes())
    assert isinstance(load_engine(tmp_path / "model"), OnnxEngine)


def test_a_url_that_no_engine_opens() -> None:
    with pytest.raises(TrackerError) as error:
        Tracker("https://anna:SECRET@models.example/edge68.onnx")
    assert str(error.value) == (
        "no engine opens https://models.example/edge68.onnx; expected the file of a model or a URL that begins with "
        "triton://"
    )


def test_a_provider_is_for_onnx_runtime() -> None:
    with pytest.raises(TrackerError, match="--provider cuda is for a model that ONNX Runtime runs here, got triton://"):
        Tracker("triton://127.0.0.1:1/edge68", provider="cuda")


@pytest.mark.parametrize(
    "url",
    [
        "triton://",
        "triton://localhost",
        "triton://localhost:8001",
        "triton://localhost:8001/",
        "triton://localhost/edge68",
        "triton://localhost:0/edge68",
        "triton://localhost:99999/edge68",
        "triton://localhost:port/edge68",
        "triton://:8001/edge68",
        "triton://[::1:8001/edge68",
        "triton://localhost:8001/edge68/1",
        "triton://localhost:8001/edge68?token=SECRET",
        "triton://localhost:8001/edge68#SECRET",
        "triton://anna:SECRET@localhost:8001/edge68",
        "TRITON://localhost:8001/",
    ],
)
def test_a_malformed_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)  # nothing is asked of it
    with pytest.raises(TrackerError) as error:
        load_engine(url)
    assert "such as triton://localhost:8001/edge68, got " in str(error.value)
    assert "SECRET" not in str(error.value)


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with pytest.raises(TrackerError, match=r"not installed; pip install 'landmark-tracker\[triton\]'"):
        Tracker("triton://localhost:8001/edge68")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("triton://h:1/m", "triton://h:1/m"),
        (Path("triton://h:1/m"), "triton://h:1/m"),
        ("edge68", None),
        ("triton:/h", None),  # of a text this may be a file's name
        (Path("C:/models/edge68.onnx"), None),
        ("C:\\models\\edge68.onnx", None),
        (Path("folder/a.onnx"), None),
    ],
)
def test_what_a_url_is(given: Path | str, url: str | None) -> None:
    assert url_of_model(given) == url


def test_a_url_is_no_file(tmp_path: Path) -> None:
    assert find_model("triton://h:1/m") == "triton://h:1/m"
    assert find_model() == landmark_model()
    with pytest.raises(TrackerError, match="expected the file or the name of a landmark model, triton://h:1/m is run"):
        landmark_model(Path("triton://h:1/m"))


def test_the_identity_of_a_served_model_has_no_secret() -> None:
    identity = identify_model("triton://anna:SECRET@h:1/m", "MIT")
    assert identity == packaged.ModelIdentity("triton://h:1/m", "MIT", None)
    assert str(identity) == "model triton://h:1/m, licence: MIT"


def test_a_model_from_a_file_does_not_import_the_client() -> None:
    code = "import sys; from tracker import Tracker; Tracker(); print({*sys.modules} & {'grpc', 'tritonclient'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
