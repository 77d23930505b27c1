"""benchmarks.decode reads the net's maps as the model's own decoding does, or refuses."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from benchmarks import decode
from tracker.errors import TrackerError
from tracker.weights.packaged import landmark_model


def test_the_packaged_model_is_decoded_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its check compares NumPy's points with the engine's."""
    for name in ("CALLS", "ROUNDS"):
        monkeypatch.setattr(decode, name, 1)
    decode.decode(report=tmp_path / "decode.json")
    assert {*json.loads((tmp_path / "decode.json").read_text())["ms"]} == {"1 faces", "4 faces"}


def test_another_decoder_is_refused(tmp_path: Path) -> None:
    model = onnx.load(landmark_model())
    for each in model.metadata_props:
        each.value = each.value.replace("softmax_mean;", "dark;")
    onnx.save(model, str(tmp_path / "dark.onnx"))
    with pytest.raises(TrackerError, match=r"read by local_softmax or softmax_mean, got .*dark\.onnx with dark"):
        decode.decode(tmp_path / "dark.onnx", tmp_path / "decode.json")
