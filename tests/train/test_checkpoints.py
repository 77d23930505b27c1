"""A checkpoint is data: whatever it holds, nothing of it runs, and what is wrong with it is said in one sentence."""

from __future__ import annotations

import copy
import math
import os
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from train.checkpoints import CheckpointError, build, load_weights, read_checkpoint
from train.loaders import FaceData
from train.task import LandmarkTask

NET, OBJECTIVE = ("hyper_parameters", "net"), ("hyper_parameters", "objective")
SOURCE = ("datamodule_hyper_parameters", "source")
FOREIGN = {"class_path": "unasked.Net", "init_args": {}}


@pytest.fixture(scope="module")
def sound(checkpoint: Path) -> dict[str, Any]:
    return read_checkpoint(checkpoint)


@pytest.fixture
def changed(sound: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Writes the sound checkpoint with one entry replaced, and few weights: changed(value, key, key, ...)."""

    def write(value: object, *keys: str) -> Path:
        raw = {key: sound[key] for key in ("epoch", "global_step", "loops", "callbacks", "lr_schedulers")}
        raw |= {key: copy.deepcopy(sound[key]) for key in (NET[0], SOURCE[0])}
        raw |= {"state_dict": {"net.a": torch.zeros(3)}, "optimizer_states": []}
        place: Any = raw
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        torch.save(raw, tmp_path / "changed.ckpt")
        return tmp_path / "changed.ckpt"

    return write


@pytest.fixture
def unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that any import finds; the file returned is there as soon as it has run."""
    mark = tmp_path / "it ran"
    code = f"open({str(mark)!r}, 'w').close()\nimport torch\nclass Net(torch.nn.Module): stride = 4\n"
    (tmp_path / "unasked.py").write_text(code)
    (tmp_path / "unasked.yaml").write_text("class_path: unasked.Net\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "unasked", raising=False)
    return mark


def refused(path: str | Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path, **options)
    text = str(error.value)
    assert "\n" not in text and len(text) < 500 + len(str(path))
    assert str(path).replace("\0", " ") in text
    return text


class TestSound:
    def test_is_built_with_its_weights(self, sound: dict[str, Any], checkpoint: Path, w300: Path) -> None:
        task = build(LandmarkTask, sound, checkpoint)
        load_weights(task, sound, checkpoint)
        for name, tensor in task.state_dict().items():
            torch.testing.assert_close(tensor, sound["state_dict"][name], rtol=0, atol=0)
        data = build(FaceData, sound, checkpoint)
        assert (data.size, data.source.root) == (32, w300)  # type: ignore[attr-defined]

    def test_a_training_can_go_on_from_it(self, checkpoint: Path) -> None:
        assert read_checkpoint(checkpoint, resume=True)["optimizer_states"]

    def test_one_without_the_optimizer_is_not_resumed(self, changed: Callable[..., Path]) -> None:
        path = changed(None, "optimizer_states")
        read_checkpoint(path)
        assert "the optimizer_states of this one is a NoneType" in refused(path, resume=True)


class TestTrust:
    """A class of another package is refused before it is imported, wherever it is named."""

    @pytest.mark.parametrize(
        ("value", "keys"),
        [
            (FOREIGN, NET),
            (FOREIGN, OBJECTIVE),
            (FOREIGN, SOURCE),
            (FOREIGN, (*NET, "init_args", "place")),
            (FOREIGN, (*NET, "init_args", "unknown")),
            ([[{"deeper": FOREIGN}]], (*NET, "init_args", "channels")),
            (FOREIGN, ("hyper_parameters", "learning_rate")),
            (FOREIGN, (*SOURCE, "init_args", "root")),
            (FOREIGN, ("hyper_parameters", "weights")),
            ({"landmarks": FOREIGN}, ("hyper_parameters", "weights")),
            ("unasked.Net", NET),
            ("unasked.Net", (*NET, "init_args", "place")),
            ("unasked.Net", ("datamodule_hyper_parameters", "augmentation")),
            ("unasked.yaml", NET),
            ("{class_path: unasked.Net}", (*NET, "init_args", "place")),
            ({"class_path": "unasked"}, NET),
            ({"class_path": "Net"}, NET),
            ({"class_path": "train.unasked.Net"}, NET),
            ({"class_path": "trains.unasked.Net"}, NET),
            ({"class_path": ".unasked.Net"}, NET),
            ({"class_path": "train/../unasked.Net"}, NET),
            ({"class_path": ["unasked", "Net"]}, NET),
            ({"init_args": {"place": "unasked.Net"}}, NET),
            ({"class_path": "train.models.edge.EdgeHourglass", "dict_kwargs": FOREIGN}, NET),
            ("unasked.Net", ("hyper_parameters", "net.class_path")),
            ("unasked.Net", ("hyper_parameters", "_class_path")),
            ("unasked.Net", ("hyper_parameters", "_instantiator")),
            ("unasked.Net", ("datamodule_hyper_parameters", "_instantiator")),
        ],
    )
    def test_foreign_code_does_not_run(
        self, value: object, keys: tuple[str, ...], changed: Callable[..., Path], unasked: Path
    ) -> None:
        refused(changed(value, *keys))
        assert not unasked.exists()

    def test_says_what_to_do(self, changed: Callable[..., Path]) -> None:
        text = refused(changed(FOREIGN, *NET))
        assert "its hyper_parameters.net is a unasked.Net, whose code is not part of train" in text
        assert text.endswith("add --trust unasked")

    @pytest.mark.parametrize("name", ["train.task.LandmarkTask.x", "train.task.nothing", "train.task.normalise"])
    def test_what_is_no_class_of_train(self, name: str, changed: Callable[..., Path]) -> None:
        refused(changed({"class_path": name}, *NET))

    def test_a_class_that_train_merely_uses(self, changed: Callable[..., Path]) -> None:
        assert "train.datasets.Path" in refused(changed({"class_path": "train.datasets.Path"}, *SOURCE))

    def test_a_trusted_package_is_used(self, changed: Callable[..., Path], unasked: Path) -> None:
        path = changed(FOREIGN, *NET)
        refused(path, trust=["unaske", "Net", "unasked.Ne"])
        assert not unasked.exists()
        raw = read_checkpoint(path, trust=["other", "unasked"])
        assert unasked.exists()
        assert type(build(LandmarkTask, {**raw, "state_dict": {}}, path).net).__name__ == "Net"

    def test_a_pickle_that_calls_something(self, tmp_path: Path, unasked: Path) -> None:
        class Calls:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "made"),)

        torch.save({"state_dict": {"a": Calls()}}, tmp_path / "calls.ckpt")
        assert refused(tmp_path / "calls.ckpt").endswith("this file is not one")
        assert not (tmp_path / "made").exists()


class TestDamaged:
    @pytest.mark.parametrize("url", ["http://h/a.ckpt", "https://h/a", "s3://b/a.ckpt", "file:///a", "hf:a", "a::b"])
    def test_urls(self, url: str) -> None:
        assert "expected a checkpoint in a local file, got a URL" in refused(url)

    @pytest.mark.parametrize("name", ["edge68", "edge68_fast_300w"])
    def test_packaged_models(self, name: str) -> None:
        assert refused(name).startswith(f"{name}: expected a checkpoint of train.run; the packaged models have none")

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        assert "cannot read the checkpoint: it is a folder" in refused(tmp_path)
        assert "No such file" in refused(tmp_path / "gone.ckpt")
        os.mkfifo(tmp_path / "pipe")
        assert "cannot read the checkpoint: it is a pipe" in refused(tmp_path / "pipe")
        refused("nul\0byte")

    @pytest.mark.parametrize(
        "content", [b"", b"hello", bytes(range(256)) * 9, b"PK\x03\x04", b"PK\x05\x06" + bytes(18)]
    )
    def test_other_bytes(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "some.ckpt").write_bytes(content)
        assert refused(tmp_path / "some.ckpt").endswith("expected a checkpoint of train.run, this file is not one")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_few_bytes_changed_or_cut(self, checkpoint: Path, tmp_path: Path, data: st.DataObject) -> None:
        """It is read, as what changed may be a weight, or refused; no other exception comes out."""
        content = bytearray(checkpoint.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
            content[place] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content))) :]
        path = tmp_path / "mutated.ckpt"
        path.write_bytes(content)
        with suppress(CheckpointError):
            read_checkpoint(path)

    def test_what_unpacks_to_more_than_it_is(self, checkpoint: Path, tmp_path: Path) -> None:
        with zipfile.ZipFile(checkpoint) as old, zipfile.ZipFile(tmp_path / "z.ckpt", "w", zipfile.ZIP_DEFLATED) as new:
            for member in old.infolist():
                new.writestr(member.filename, old.read(member))
            new.writestr("archive/zeros", bytes(10_000_000))
        refused(tmp_path / "z.ckpt")

    def test_what_counts_some_of_its_bytes_often(self, sound: dict[str, Any], tmp_path: Path) -> None:
        """Members that overlap: 200 tensors, whose numbers are those of the first."""
        torch.save({**sound, "more": [torch.full((1000,), 0.5) for _ in range(200)]}, tmp_path / "large.ckpt")
        path = tmp_path / "small.ckpt"
        with zipfile.ZipFile(tmp_path / "large.ckpt") as old, zipfile.ZipFile(path, "w") as new:
            for member in old.infolist():
                first = next((m for m in new.infolist() if m.file_size == member.file_size == 4000), None)
                if first is None:
                    new.writestr(member.filename, old.read(member))
                else:
                    new.filelist.append(copy.copy(first))
                    new.filelist[-1].filename = member.filename
        assert path.stat().st_size < (tmp_path / "large.ckpt").stat().st_size - 500_000
        assert len(torch.load(path, weights_only=True)["more"]) == 200  # else nothing would be shown
        assert refused(path).endswith("this file is not one")

    @pytest.mark.parametrize("content", [[1], "text", 3, None, {}, {"state_dict": {}}, OrderedDict(), torch.zeros(3)])
    def test_another_object(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "some.ckpt")
        assert "expected a checkpoint of train.run, this" in refused(tmp_path / "some.ckpt")

    @pytest.mark.parametrize(
        ("value", "key"),
        [
            ([], "state_dict"),
            (None, "hyper_parameters"),
            ("train", "datamodule_hyper_parameters"),
            (True, "epoch"),
            (1.5, "global_step"),
            ({1: torch.zeros(1)}, "state_dict"),
            ({"net.a": [1.0]}, "state_dict"),
            ({"net.a": torch.zeros(1, dtype=torch.complex64)}, "state_dict"),
            ({"net.a": torch.zeros(1).to_sparse()}, "state_dict"),
            ({"net.a": torch.zeros(1, device="meta")}, "state_dict"),
            ({"net.a": torch.zeros(1).expand(1 << 40)}, "state_dict"),
            ({3: 3}, "hyper_parameters"),
            ({"net": torch.zeros(3)}, "hyper_parameters"),
        ],
    )
    def test_an_entry_of_the_wrong_kind(self, changed: Callable[..., Path], value: object, key: str) -> None:
        refused(changed(value, key))

    def test_a_configuration_without_end(self, changed: Callable[..., Path]) -> None:
        itself: list[Any] = []
        itself.append(itself)
        assert "nested more than" in refused(changed(itself, "hyper_parameters", "milestones"))
        doubled: list[Any] = []
        for _ in range(25):
            doubled = [doubled, doubled]
        assert "more than 10000 values" in refused(changed(doubled, "hyper_parameters", "milestones"))

    @pytest.mark.parametrize("value", ["x" * 20_000_000, 10**400, -(1 << 63)], ids=["text", "number", "negative"])
    def test_a_value_that_is_too_long(self, changed: Callable[..., Path], value: object) -> None:
        assert "its configuration holds a" in refused(changed(value, "hyper_parameters", "scheme"))

    @pytest.mark.parametrize(
        ("option", "value"), [("channels", [10**6] * 4), ("channels", [10**9] * 4), ("stacks", 10**9)]
    )
    def test_a_net_that_is_larger_than_its_weights(
        self, changed: Callable[..., Path], option: str, value: object
    ) -> None:
        path = changed(value, *NET, "init_args", option)
        with pytest.raises(CheckpointError, match="its weights do not fit the net: the net has more of them"):
            build(LandmarkTask, read_checkpoint(path), path)

    @pytest.mark.parametrize(
        ("value", "keys"),
        [
            ("four", ("hyper_parameters", "size")),
            ([1, 2], ("hyper_parameters", "net")),
            (-3.5, (*NET, "init_args", "stacks")),
            ({"unknown": 1}, ("hyper_parameters", "weights")),
            (1, ("hyper_parameters", "unknown")),
            ("ibug69", ("hyper_parameters", "scheme")),
            ([], (*NET, "init_args", "channels")),
            (0, (*NET, "init_args", "stem")),
            (None, NET),
        ],
    )
    def test_a_configuration_that_does_not_fit(
        self, changed: Callable[..., Path], value: object, keys: tuple[str, ...]
    ) -> None:
        path = changed(value, *keys)
        with pytest.raises(CheckpointError) as error:
            build(LandmarkTask, read_checkpoint(path), path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


class TestWeights:
    def test_must_fit(self, sound: dict[str, Any], checkpoint: Path) -> None:
        task = build(LandmarkTask, sound, checkpoint)
        first, *others = sound["state_dict"]
        weights = sound["state_dict"]
        for damaged, words in (
            ({name: weights[name] for name in others}, f"the net: {first} is missing"),
            ({**weights, "net.more": torch.zeros(2)}, "net.more is not in the net"),
            ({**weights, first: torch.zeros(2, 9)}, f"{first} has the shape (2, 9) instead of ("),
            ({}, f"{first} is missing and {len(others)} more"),
            ({**weights, first: weights[first] * math.nan}, f"{first} has values that are not finite"),
        ):
            before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
            with pytest.raises(CheckpointError) as error:
                load_weights(task, {"state_dict": damaged}, checkpoint)
            assert words in str(error.value) and str(checkpoint) in str(error.value)
            for name, tensor in task.state_dict().items():
                assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("metadata", [{"": {"version": "2"}}, {"net": 1}, "net", {"net": {"version": 1.5}}, [1]])
def test_versions_of_layers_that_are_no_numbers(changed: Callable[..., Path], metadata: object) -> None:
    weights = OrderedDict({"net.a": torch.zeros(3)})
    weights._metadata = metadata  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match="layers state no versions"):
        read_checkpoint(changed(weights, "state_dict"))


def test_versions_of_layers_as_torch_states_them(changed: Callable[..., Path]) -> None:
    weights = OrderedDict({"net.a": torch.zeros(3)})
    weights._metadata = OrderedDict({"": {"version": 1}, "net": {}})  # type: ignore[attr-defined]
    assert read_checkpoint(changed(weights, "state_dict"))["state_dict"].keys() == {"net.a"}
