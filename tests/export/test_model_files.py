"""Model files that are foreign, damaged or made to mislead: each loads and answers, or is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tracker.doctor import doctor
from tracker.engines.onnx import OnnxEngine
from tracker.engines.onnx_file import external_files, metadata_of, model_sha256
from tracker.engines.spec import DEEPEST, KEY, LONGEST, OUTPUTS, SIZES, ModelSpec, parse_json
from tracker.errors import TrackerError
from tracker.face.schemes import SCHEMES

SPEC = ModelSpec(32, "ibug68", 0.5, "softmax", "drawn", {"data": {"root": "faces"}}, "here")
SIZE = 32


def model(spec: dict[str, Any] | str | bytes, side: Any = SIZE, count: Any = 68, **changes: Any) -> onnx.ModelProto:
    """A model that answers zeros, in the contract's form unless changed: faces, dtype, output, real_count."""
    faces = changes.get("faces", "faces")
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, [faces, side, side, 3])
    kinds = {"points_px": [2], "scores": [], "covariances_px2": [3]}
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=changes.get("dtype", TensorProto.FLOAT)),
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["means", "column"], ["column_of_means"]),
        helper.make_node("MatMul", ["column_of_means", "zeros"], ["flat"]),
    ]
    real, kind = changes.get("real_count", 68), changes.get("dtype", TensorProto.FLOAT)
    zeros = np.zeros((1, real * 6), helper.tensor_dtype_to_np_dtype(kind))
    constants = {"column": np.array([-1, 1]), "zeros": zeros}
    outputs = []
    nodes.append(helper.make_node("Split", ["flat"], ["p", "s", "c"], axis=1, split=[real * 2, real, real * 3]))
    for short, (name, last) in zip("psc", kinds.items()):
        name = changes.get("output", name) if name == "scores" else name
        constants[f"{short}_shape"] = np.array([-1, real, *last])
        nodes.append(helper.make_node("Reshape", [short, f"{short}_shape"], [name]))
        outputs.append(helper.make_tensor_value_info(name, kind, [faces, count, *last]))
    tensors = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "g", [crops], outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    entry = made.metadata_props.add()
    entry.key = KEY
    if isinstance(spec, bytes):
        entry.value = "@" * len(spec)
        broken = made.SerializeToString().replace(b"@" * len(spec), spec)
        made = onnx.ModelProto()
        made.ParseFromString(broken)
        return made
    entry.value = spec if isinstance(spec, str) else json.dumps(spec)
    return made


def spec_with(**changes: Any) -> dict[str, Any]:
    return {**asdict(SPEC), **changes}


def refused(path: Path) -> str:
    with pytest.raises(TrackerError) as error:
        OnnxEngine(path)
    text = str(error.value)
    assert "\n" not in text and len(text) < 900 and text.startswith(str(path))
    return text


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[onnx.ModelProto], Path]:
    def save(made: onnx.ModelProto) -> Path:
        (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
        return tmp_path / "m.onnx"

    return save


Save = Callable[[onnx.ModelProto], Path]


class TestSpec:
    def test_the_model_of_these_tests_is_sound(self, saved: Save) -> None:
        engine = OnnxEngine(saved(model(spec_with())))
        assert engine.spec == SPEC
        assert engine.run(np.zeros((3, SIZE, SIZE, 3), np.uint8)).covariances_px2.shape == (3, 68, 3)

    @pytest.mark.parametrize(
        ("size", "side"),
        [
            ("S", "S"),
            (0, 0),
            (-32, SIZE),
            (10**6, 10**6),
            (32.0, SIZE),
            (True, 1),
            (None, "S"),
            ([32], SIZE),
            (1025, 1025),
        ],
    )
    def test_the_size_is_checked_before_it_is_used(self, saved: Save, size: object, side: object) -> None:
        text = refused(saved(model(spec_with(size=size), side)))
        assert f"its size must be a whole number of pixels in {SIZES[0]}..{SIZES[1]}, got " in text

    def test_names_that_are_no_text(self, saved: Save) -> None:
        path = saved(model(spec_with(), output="a_long_name_of_scores"))
        path.write_bytes(path.read_bytes().replace(b"a_long_name_of_scores", b"a_long\xc2name_of_scores"))
        assert "the names of its inputs and outputs are not text" in refused(path)

    @pytest.mark.parametrize("side", ["S", None, 64, 0])
    def test_the_size_is_the_inputs(self, saved: Save, side: object) -> None:
        assert "contradict its spec" in refused(saved(model(spec_with(), side)))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"contract": True}, "made for contract True"),
            ({"contract": 1.0}, "made for contract 1.0"),
            ({"contract": 2}, "made for contract 2"),
            ({"scheme": {}}, "unknown landmark scheme"),
            ({"scheme": None}, "unknown landmark scheme"),
            ({"scheme": "x" * 5000}, "unknown landmark scheme"),
            ({"presence": True}, "presence must be in 0..1"),
            ({"presence": "0.5"}, "presence must be in 0..1"),
            ({"presence": float("inf")}, "presence must be in 0..1"),
            ({"presence": 10**400}, "presence must be in 0..1"),
            ({"visibility": []}, "its visibility must be a slope and 68 offsets"),
            ({"visibility": {"slope": 1.0}}, "its visibility must be a slope and 68 offsets"),
            ({"visibility": {"slope": 1.0, "offsets": [0.0] * 67}}, "its visibility must be a slope and 68 offsets"),
            ({"visibility": {"slope": "1", "offsets": [0.0] * 68}}, "its visibility must be a slope and 68 offsets"),
            ({"visibility": {"slope": float("nan"), "offsets": [0.0] * 68}}, "its visibility must be a slope"),
            ({"visibility": {"slope": 1.0, "offsets": [10**400] * 68}}, "its visibility must be a slope"),
            ({"view": "1.25"}, "wants crops of"),
            ({"view": float("nan")}, "wants crops of"),
            ({"temperature": 0}, "its temperature must be"),
            ({"temperature": float("nan")}, "its temperature must be"),
            ({"temperature": "1"}, "its temperature must be"),
            ({"decode": 3}, "its decode must be a text"),
            ({"licence": None}, "its licence must be a text"),
            ({"licence": "x" * 20_000}, "its licence must be a text"),
            ({"licence": "\ud800"}, "its licence must be a text"),
            ({"commit": ["a"]}, "its commit must be a text"),
            ({"config": []}, "its config must be a JSON object"),
            ({"config": "x"}, "its config must be a JSON object"),
            ({"provenance": None}, "its provenance must be a JSON object of texts"),
            ({"provenance": ["a"]}, "its provenance must be a JSON object of texts"),
            ({"provenance": {"labels": 3}}, "its provenance must be a JSON object of texts"),
            ({"provenance": {"labels": "x" * 20_000}}, "its provenance must be a JSON object of texts"),
            ({"provenance": {"\ud800": "x"}}, "its provenance must be a JSON object of texts"),
        ],
    )
    def test_a_value_of_the_wrong_kind(self, saved: Save, change: dict[str, Any], words: str) -> None:
        assert words in refused(saved(model(spec_with(**change))))

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 100_000,
            "[" * 900 + "]" * 900,
            '{"size": ' + '{"a":' * 5000 + "1" + "}" * 5001,
            json.dumps(spec_with(config={"a": json.loads("[" * 60 + "]" * 60)})),
            "[1, 2]",
            "1" * 5000,
            '{"a": "' + "x" * LONGEST + '"}',
            "\x00",
            b"\xff\xfe\xff",
        ],
        ids=lambda text: str(text[:20]),
    )
    def test_json_that_is_too_much_or_none(self, saved: Save, text: str | bytes) -> None:
        refused(saved(model(text)))

    @pytest.mark.parametrize("metadata", [None, [], "text", 3, {}, {KEY: None}, {KEY: 3}, {KEY: {}}, [KEY]])
    def test_metadata_of_another_kind(self, metadata: object) -> None:
        with pytest.raises(TrackerError, match="here: "):
            ModelSpec.from_metadata(metadata, "here")

    def test_depth_is_counted(self) -> None:
        parse_json("[" * (DEEPEST - 1) + "1" + "]" * (DEEPEST - 1))
        with pytest.raises(ValueError, match="levels"):
            parse_json("[" * (DEEPEST + 1) + "1" + "]" * (DEEPEST + 1))

    @settings(max_examples=50)
    @given(
        st.dictionaries(
            st.sampled_from([*asdict(SPEC), "surprise"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
                max_leaves=8,
            ),
            min_size=1,
        )
    )
    def test_any_change_is_refused_or_can_be_worked_with(self, changes: dict[str, Any]) -> None:
        try:
            spec = ModelSpec.from_metadata({KEY: json.dumps(spec_with(**changes))}, "here")
        except TrackerError as error:
            text = str(error)
            assert text.startswith("here: ") and len(text) < 600
            return
        assert spec.shapes()["crops"] == (spec.size, spec.size, 3) and type(spec.size) is int
        assert SIZES[0] <= spec.size <= SIZES[1] and 0 <= spec.presence <= 1 and spec.temperature > 0
        assert spec.landmark_scheme() is SCHEMES[spec.scheme]
        assert ModelSpec.from_metadata(spec.to_metadata(), "here") is not spec

    @given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
    def test_any_text_is_refused(self, text: str) -> None:
        with pytest.raises(TrackerError):
            ModelSpec.from_metadata({KEY: text}, "here")


class TestGraph:
    @pytest.mark.parametrize(
        "made",
        [
            model(spec_with(), faces=4),
            model(spec_with(), dtype=TensorProto.DOUBLE),
            model(spec_with(), output="score"),
            model(spec_with(scheme="wflw98")),
            model(spec_with(), count=None, real_count=20),
        ],
        ids=["one number of faces", "dtype", "name", "scheme", "unknown"],
    )
    def test_must_have_the_contracts_form(self, saved: Save, made: onnx.ModelProto) -> None:
        refused(saved(made))

    def test_one_that_answers_otherwise_than_it_says(self, saved: Save) -> None:
        path = saved(model(spec_with(), real_count=20))
        with pytest.raises(TrackerError) as error:
            OnnxEngine(path).run(np.zeros((1, SIZE, SIZE, 3), np.uint8))
        assert str(error.value).startswith(f"{path}: ")

    def test_no_faces_have_no_landmarks(self, saved: Save) -> None:
        engine = OnnxEngine(saved(model(spec_with())))
        output = engine.run(np.zeros((0, SIZE, SIZE, 3), np.uint8))
        shapes = [values.shape for values in (output.points_px, output.scores, output.covariances_px2)]
        assert shapes == [(0, *engine.spec.shapes()[name]) for name in OUTPUTS]

    @pytest.mark.parametrize(
        ("crops", "found"),
        [
            (None, "NoneType"),
            ([[1]], "list"),
            (np.zeros((SIZE, SIZE, 3), np.uint8), r"\(32, 32, 3\) uint8"),
            (np.zeros((1, SIZE, 31, 3), np.uint8), r"\(1, 32, 31, 3\) uint8"),
            (np.zeros((1, SIZE, SIZE, 3)), r"\(1, 32, 32, 3\) float64"),
            (np.uint8(3), "uint8"),
        ],
    )
    def test_other_crops_are_refused(self, saved: Save, crops: Any, found: str) -> None:
        engine = OnnxEngine(saved(model(spec_with())))
        with pytest.raises(TrackerError, match=rf"expected crops \(N, {SIZE}, {SIZE}, 3\) uint8, got .*{found}"):
            engine.run(crops)

    def test_one_that_fails_when_it_runs(self, saved: Save) -> None:
        made = model(spec_with())
        made.graph.initializer.append(numpy_helper.from_array(np.array(7), "eighth"))
        made.graph.node.insert(2, helper.make_node("Gather", ["means", "eighth"], ["eighth_mean"]))
        made.graph.node.insert(3, helper.make_node("Add", ["means", "eighth_mean"], ["sums"]))
        made.graph.node[4].input[0] = "sums"
        path = saved(made)
        with pytest.raises(TrackerError, match="cannot run it on crops of \\(2, 32, 32, 3\\)"):
            OnnxEngine(path).run(np.zeros((2, SIZE, SIZE, 3), np.uint8))

    @settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_few_bytes_changed(self, tmp_path: Path, data: st.DataObject) -> None:
        """It loads, as what changed may be a weight, or is refused; no other exception comes out."""
        content = bytearray(model(spec_with()).SerializeToString())
        start = content.index(b"metadata") if data.draw(st.booleans()) and b"metadata" in content else 0
        for place in data.draw(st.lists(st.integers(start, len(content) - 1), min_size=1, max_size=6)):
            content[place] = data.draw(st.integers(0, 255))
        path = tmp_path / "mutated.onnx"
        path.write_bytes(content)
        metadata_of(bytes(content))
        try:
            OnnxEngine(path).run(np.zeros((1, SIZE, SIZE, 3), np.uint8))
        except TrackerError as error:
            text = str(error)
            assert text.startswith(str(path)) and "\n" not in text

    @pytest.mark.parametrize(("special", "kind"), [("/dev/zero", "a device"), ("pipe", "a pipe")])
    def test_what_is_no_file(self, tmp_path: Path, special: str, kind: str) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert f"cannot read the model: it is {kind}" in refused(tmp_path / special)

    def test_the_doctor_says_the_same_sentence(self, saved: Save, capsys: pytest.CaptureFixture[str]) -> None:
        path = saved(model(spec_with(size=True), 1))
        doctor(model=path)
        assert f"model: {path}: its size must be" in capsys.readouterr().out


LONG = "a" * 300  # no file system has names of so many bytes


class TestExternalData:
    """Weights in files beside the model."""

    @pytest.fixture
    def split(self, tmp_path: Path) -> Path:
        folder = tmp_path / "there"
        folder.mkdir()
        onnx.save(
            model(spec_with()),
            str(folder / "m.onnx"),
            save_as_external_data=True,
            location="m.data",
            size_threshold=1000,
        )
        assert (folder / "m.data").stat().st_size
        return folder / "m.onnx"

    def test_loads_from_anywhere(self, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder, given_as in (
            (split.parent, "m.onnx"),
            (tmp_path, "there/m.onnx"),
            (tmp_path, "./there/../there/m.onnx"),
            (Path("/"), str(split)),
            (Path("/"), split),
        ):
            monkeypatch.chdir(folder)
            assert OnnxEngine(given_as).run(np.ones((2, SIZE, SIZE, 3), np.uint8)).points_px.shape == (2, 68, 2)

    def test_the_hash_is_also_of_the_weights(self, split: Path, saved: Save) -> None:
        before = model_sha256(split)
        data = split.with_name("m.data")
        content = bytearray(data.read_bytes())
        content[-1] ^= 1
        data.write_bytes(content)
        assert model_sha256(split) != before
        alone = saved(model(spec_with()))
        assert model_sha256(alone) == hashlib.sha256(alone.read_bytes()).hexdigest()

    def test_says_which_file_is_missing(self, split: Path) -> None:
        split.with_name("m.data").unlink()
        assert "its weights are in 'm.data', which is not in the same folder" in refused(split)

    @pytest.mark.parametrize("where", ["initializer", "constant", "subgraph", "function"])
    @pytest.mark.parametrize(
        "location",
        ["../m.data", "/etc/passwd", "a/../../m.data", "..", "", ".", "link", "//etc/passwd", "loop", "C:\\a", LONG],
    )
    def test_paths_that_leave_the_folder(self, split: Path, where: str, location: str) -> None:
        (split.parent.parent / "m.data").write_bytes(bytes(10_000))
        (split.parent / "link").symlink_to(split.parent.parent / "m.data")
        (split.parent / "loop").symlink_to("loop")
        made = onnx.load(str(split), load_external_data=False)
        tensor = TensorProto(name="more", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location
        constant = helper.make_node("Constant", [], ["more"], value=tensor)
        if where == "initializer":
            made.graph.initializer.append(tensor)
        elif where == "constant":
            made.graph.node.append(constant)
        elif where == "subgraph":
            inner = helper.make_graph([constant], "inner", [], [])
            made.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
        else:
            made.functions.add().node.append(constant)
        split.write_bytes(made.SerializeToString())
        text = refused(split)
        assert "expected its weights in files in the same folder" in text or "which is not in the same folder" in text

    def test_a_model_behind_links_as_the_hugging_face_hub_keeps_it(self, split: Path, tmp_path: Path) -> None:
        blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
        shutil.copytree(split.parent, blobs)
        snapshot.mkdir()
        for name in ("m.onnx", "m.data"):
            (snapshot / name).symlink_to(blobs / name)
        (file,) = external_files(snapshot / "m.onnx", split.read_bytes())
        assert file == snapshot / "m.data"
