"""Packaged files: their checksums, their licences, and what the user is told when one is missing or damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.weights import packaged
from tracker.weights.packaged import (
    BLAZEFACE,
    WEIGHTS,
    YUNET,
    DetectorFile,
    ModelIdentity,
    landmark_model,
    packaged_detector,
)

ROOT = Path(__file__).resolve().parents[3]
CONTENT = bytes(range(256)) * 64


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class TestDetectors:
    @pytest.mark.parametrize("file", [YUNET, BLAZEFACE], ids=lambda file: file.name)
    def test_files_are_in_the_package_with_their_licence(self, file: DetectorFile) -> None:
        """SHA-256 and size as in DETECTORS.md, which names the origin and the copyright."""
        content = packaged_detector(file)
        card = (WEIGHTS / "DETECTORS.md").read_text("utf-8")
        for part in (
            file.name,
            hashlib.sha256(content).hexdigest(),
            f"{len(content):,} bytes",
            "Copyright",
            "OpenMMLab",
        ):
            assert part in card
        licence = (WEIGHTS / "LICENSE-APACHE-2.0.txt").read_text("utf-8")
        assert "Version 2.0, January 2004" in licence and "9. Accepting Warranty" in licence

    def test_the_wheel_takes_them_along(self) -> None:
        tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        patterns = project["tool"]["setuptools"]["package-data"]["tracker"]
        named = [path for path in WEIGHTS.iterdir() if path.is_file() and path.suffix != ".py"]
        assert [p.name for p in named if not any(p.match(pattern) for pattern in patterns)] == []
        assert "tracker/weights/LICENSE-APACHE-2.0.txt" in project["project"]["license-files"]

    @given(at=st.integers(0, len(CONTENT) - 1), flip=st.integers(1, 255))
    def test_any_changed_byte_is_noticed(self, at: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
        changed = bytearray(CONTENT)
        changed[at] ^= flip
        path = put(tmp_path_factory.getbasetemp() / "changed.onnx", bytes(changed))
        known = DetectorFile(path.name, hashlib.sha256(CONTENT).hexdigest(), "MIT")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packaged, "WEIGHTS", path.parent)
            with pytest.raises(TrackerError, match="expected SHA-256"):
                packaged_detector(known)

    def test_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packaged, "WEIGHTS", tmp_path)
        with pytest.raises(TrackerError) as error:
            packaged_detector(YUNET)
        assert_sentence(error.value, str(tmp_path / YUNET.name), "No such file")


class TestLandmarkModel:
    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder of weights as it is packaged."""
        folder = tmp_path / "weights"
        for name in packaged.PACKAGED:
            put(folder / f"{name}.onnx")
            put(folder / f"{name}.sha256", f"{hashlib.sha256(CONTENT).hexdigest()}  {name}.onnx\n".encode())
        monkeypatch.setattr(packaged, "WEIGHTS", folder)
        return folder

    def test_packaged(self, weights: Path) -> None:
        assert landmark_model() == weights / "edge68.onnx"

    @pytest.mark.parametrize("name", packaged.PACKAGED)
    def test_packaged_by_name(self, name: str, weights: Path) -> None:
        assert landmark_model(Path(name)) == weights / f"{name}.onnx"

    @pytest.mark.parametrize("name", packaged.RESEARCH)
    def test_research_models_are_in_the_repository_alone(self, name: str, weights: Path) -> None:
        with pytest.raises(TrackerError) as error:
            landmark_model(Path(name))
        assert_sentence(error.value, name, "research only", f"tracker/weights/research/{name}.onnx")
        model = put(weights / f"research/{name}.onnx")
        put(model.with_suffix(".sha256"), hashlib.sha256(CONTENT).hexdigest().encode())
        assert landmark_model(Path(name)) == model
        assert packaged.identify_model(model, "research only").name == name

    def test_identity(self, weights: Path, tmp_path: Path) -> None:
        assert str(packaged.identify_model(landmark_model(), "MIT")) == (
            f"model edge68, SHA-256 {hashlib.sha256(CONTENT).hexdigest()[:8]}, licence: MIT"
        )
        mine = put(tmp_path / "edge68.onnx", b"anything")
        assert packaged.identify_model(mine, "own").name == str(mine)

    def test_another_name_is_told_the_known_ones(self) -> None:
        with pytest.raises(TrackerError) as error:
            landmark_model(Path("edge98"))
        assert_sentence(error.value, "edge98", *packaged.PACKAGED)

    def test_explicit_is_anybodys(self, tmp_path: Path) -> None:
        mine = put(tmp_path / "mine.onnx", b"anything")
        assert landmark_model(mine) == mine

    def test_explicit_missing(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError) as error:
            landmark_model(tmp_path / "nowhere.onnx")
        assert_sentence(error.value, str(tmp_path / "nowhere.onnx"), "landmark model: expected", "edge68, edge68_fast")

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
    assert Path(packaged.__file__).parent == packaged.WEIGHTS


def assert_sentence(error: TrackerError, *parts: str) -> None:
    """One line that holds every part."""
    assert "\n" not in str(error)
    for part in parts:
        assert part in str(error)


def test_what_a_foreign_model_says_of_itself_is_shown_in_one_line() -> None:
    shown = str(ModelIdentity("own.onnx", "free\x1b[2J\nmodel edge68, licence: MIT \ud800", "ab" * 32))
    assert shown == "model own.onnx, SHA-256 abababab, licence: free [2J model edge68, licence: MIT \\ud800"
