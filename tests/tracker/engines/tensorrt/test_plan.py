"""A plan is handed out only as it was written, for its key, from a folder of one's own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracker.engines.spec import KEY, ModelSpec
from tracker.engines.tensorrt.plan import (
    EngineKey,
    ForeignPlan,
    Gpu,
    checked_plan,
    described_plan,
    first_gpu,
    load_tensorrt,
    write_plan,
)
from tracker.errors import TrackerError

ORIN = EngineKey("ab" * 32, "tensorrt", "10.3.0", "12.6", ("sm87",), "Orin (nvgpu)", "fp32", (1, 4, 16))
SPEC = ModelSpec(128, "ibug68", 0.5, "softmax", "none", {"epochs": 3}, "here")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / ORIN.file_name()
    tmp_path.chmod(0o700)
    write_plan(path, b"plan", ORIN, SPEC, 1.23456)
    return path


def change(plan: Path, **parts: Any) -> None:
    sidecar = plan.with_name(f"{plan.name}.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | parts))


class TestKey:
    def test_file_name(self) -> None:
        name = "abababababababab_tensorrt-10.3.0_cuda-12.6_sm87_Orin-nvgpu-_fp32_1-4-16.plan"
        assert ORIN.file_name() == name
        assert ORIN.timings_name() == "tensorrt-10.3.0_cuda-12.6_sm87_Orin-nvgpu-.timings"
        assert ORIN.builder() == "TensorRT 10.3.0"

    def test_file_names_differ(self) -> None:
        others = [
            {"onnx_sha256": "cd" * 32},
            {"flavour": "tensorrt_rtx"},
            {"version": "10.3.1"},
            {"cuda": "13.0"},
            {"compute_capabilities": ("sm87", "sm89")},
            {"gpu": "Thor"},
            {"precision": "fp16"},
            {"faces": (1, 2, 16)},
        ]
        names = {dataclasses.replace(ORIN, **other).file_name() for other in others}  # type: ignore[arg-type]
        assert len(names | {ORIN.file_name()}) == 1 + len(others)


class TestPlan:
    def test_comes_back(self, plan: Path) -> None:
        assert checked_plan(plan, ORIN) == b"plan"
        assert described_plan(plan) == (ORIN, SPEC)
        sidecar = json.loads(plan.with_name(f"{plan.name}.json").read_text())
        assert (sidecar["size_bytes"], sidecar["build_s"]) == (4, 1.235)

    def test_altered(self, plan: Path) -> None:
        plan.write_bytes(b"pl4n")
        with pytest.raises(ForeignPlan, match="its SHA-256 is not the one in its sidecar"):
            checked_plan(plan, ORIN)

    def test_of_another_key(self, plan: Path) -> None:
        with pytest.raises(ForeignPlan, match=r"it was built for another version, gpu$"):
            checked_plan(plan, dataclasses.replace(ORIN, version="10.16", gpu="Thor"))

    @pytest.mark.parametrize(
        "missing", ["the engine .* does not exist; `python -m export.tensorrt` builds one", "its sidecar is missing"]
    )
    def test_missing(self, plan: Path, missing: str) -> None:
        (plan if "sidecar" not in missing else plan.with_name(f"{plan.name}.json")).unlink()
        for use in (described_plan, lambda path: checked_plan(path, ORIN)):
            with pytest.raises(ForeignPlan, match=missing):
                use(plan)

    @pytest.mark.parametrize(
        "key", [None, [], {}, {"gpu": "Orin"}, dataclasses.asdict(ORIN) | {"flavour": "x"}], ids=str
    )
    def test_sidecar_without_a_key(self, plan: Path, key: Any) -> None:
        change(plan, key=key)
        with pytest.raises(ForeignPlan, match="its sidecar is damaged"):
            described_plan(plan)

    @pytest.mark.parametrize("metadata", [{}, {KEY: "{"}, {KEY: json.dumps({"size": 1})}], ids=str)
    def test_sidecar_without_a_spec(self, plan: Path, metadata: Any) -> None:
        change(plan, metadata=metadata)
        with pytest.raises(TrackerError, match=KEY) as error:
            described_plan(plan)
        assert str(plan) in str(error.value)

    def test_sidecar_of_an_earlier_version(self, plan: Path) -> None:
        sidecar = plan.with_name(f"{plan.name}.json")
        old = {name: part for name, part in json.loads(sidecar.read_text()).items() if name != "metadata"}
        sidecar.write_text(json.dumps(old))
        with pytest.raises(ForeignPlan, match="its sidecar is damaged"):
            checked_plan(plan, ORIN)

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX modes")
    def test_in_a_folder_that_others_can_write(self, plan: Path) -> None:
        plan.parent.chmod(0o770)
        with pytest.raises(TrackerError, match="others may write there"):
            checked_plan(plan, ORIN)


TREE = """
import os, sys, tempfile
from pathlib import Path
from tracker.engines.tensorrt.plan import EngineKey, ForeignPlan, checked_plan, described_plan, write_plan
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError

NOBODY, OTHER = 65534, 12345
key = EngineKey("ab" * 32, "tensorrt", "10.3.0", "12.6", ("sm87",), "Orin", "fp32", (1, 4, 16))
spec = ModelSpec(128, "ibug68", 0.5, "softmax", "none", {}, "here")

def make(*folders):
    path = Path(tempfile.mkdtemp(dir=sys.argv[1])).joinpath(*folders, "a.plan")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_plan(path, b"plan", key, spec, 1.0)
    for entry in (path.parents[len(folders)], *path.parents[:len(folders)], path, path.with_name("a.plan.json")):
        os.chown(entry, NOBODY, NOBODY)
        os.chmod(entry, 0o755 if entry.is_dir() else 0o644)
    return path

def link(path, target, owner):
    path.symlink_to(target)
    os.lchown(path, owner, owner)
    return path

def changed(owner=NOBODY, mode=None, entry=lambda plan: plan, folders=("a", "b")):
    plan = make(*folders)
    os.chown(entry(plan), owner, owner)
    if mode is not None:
        os.chmod(entry(plan), mode)
    return plan

sidecar = lambda plan: plan.with_name("a.plan.json")
folder, above = lambda plan: plan.parent, lambda plan: plan.parent.parent
open_folder = changed(mode=0o777, entry=above)
good = {
    "own": make("a"),
    "roots": changed(owner=0),
    "sidecar of root": changed(owner=0, entry=sidecar),
    "folder of root": changed(owner=0, entry=folder),
    "read by nobody else": changed(mode=0o600),
    "below a sticky folder": changed(owner=0, mode=0o1777, entry=above),
    "by a link of one's own": link(make("a").parent.parent / "link", make("a").parent, NOBODY) / "a.plan",
    "by a relative link": link(make("a").parent.parent / "link", "a/../a", NOBODY) / "a.plan",
}
first = make("a")
good["a link to the file"] = link(first.with_name("b.plan"), "a.plan", NOBODY)
link(first.with_name("b.plan.json"), "a.plan.json", NOBODY)
second = make("a")
loop = link(second.with_name("loop"), "loop", NOBODY) / "a.plan"
third = make("a")
foreign_link = link(third.with_name("b.plan"), "a.plan", OTHER)
link(third.with_name("b.plan.json"), "a.plan.json", NOBODY)
pipe = make("a")
pipe.unlink(); os.mkfifo(pipe); os.chown(pipe, NOBODY, NOBODY)
bad = {
    "plan of another": changed(owner=OTHER),
    "sidecar of another": changed(owner=OTHER, entry=sidecar),
    "folder of another": changed(owner=OTHER, entry=folder),
    "folder above of another": changed(owner=OTHER, entry=above),
    "sticky folder of another": changed(owner=OTHER, mode=0o1777, entry=above),
    "plan for all": changed(mode=0o666),
    "plan for a group": changed(mode=0o664),
    "sidecar for all": changed(mode=0o646, entry=sidecar),
    "folder for all": changed(mode=0o777, entry=folder),
    "folder for a group": changed(mode=0o775, entry=folder),
    "sticky folder around the plan": changed(mode=0o1777, entry=folder),
    "folder above for all": open_folder,
    "folder above for a group": changed(mode=0o775, entry=above),
    "link of another": link(make("a").parent.parent / "link", make("a").parent, OTHER) / "a.plan",
    "link of another to the file": foreign_link,
    "own link through an open folder": link(make("a").parent / "link", open_folder.parent, NOBODY) / "a.plan",
    "dots through an open folder": open_folder.parent.parent / "b" / ".." / "b" / "a.plan",
    "link in a circle": loop,
    "pipe": pipe,
}
os.setgroups([]); os.setgid(NOBODY); os.setuid(NOBODY)
wrong = []
for what, plan in good.items():
    for use in (lambda path: checked_plan(path, key), described_plan):
        try:
            use(plan)
        except TrackerError as error:
            wrong.append(f"{what}: {error}")
for what, plan in bad.items():
    for use in (lambda path: checked_plan(path, key), described_plan):
        try:
            use(plan)
            wrong.append(f"{what} was trusted")
        except TrackerError as error:
            if chr(10) in str(error) or "native code" not in str(error) and "not a trusted engine" not in str(error):
                wrong.append(f"{what}: {error}")
print(chr(10).join(wrong))
"""


class TestTrust:
    @pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs root, to give files to others")
    def test_owners_and_permissions_of_all_that_leads_to_it(self) -> None:
        """As a user without root's rights: files, sidecars, folders and links of root, of the user and of others."""
        with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which only root can enter
            os.chmod(folder, 0o755)
            command = [sys.executable, "-c", TREE, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.stdout, done.stderr, done.returncode) == ("\n", "", 0)

    @pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
    @pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
    def test_what_is_written_is_trusted_whatever_the_umask(self, mask: int, tmp_path: Path) -> None:
        before = os.umask(mask)
        try:
            write_plan(tmp_path / "a.plan", b"plan", ORIN, SPEC, 1.0)
        finally:
            os.umask(before)
        assert checked_plan(tmp_path / "a.plan", ORIN) == b"plan"

    @pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
    def test_a_file_that_others_can_write_is_built_anew(self, plan: Path) -> None:
        """No other name was trusted on the way, so that the caller may replace it."""
        plan.chmod(0o666)
        with pytest.raises(ForeignPlan, match="others may write there"):
            checked_plan(plan, ORIN)
        write_plan(plan, b"plan", ORIN, SPEC, 1.0)
        assert checked_plan(plan, ORIN) == b"plan"

    @pytest.mark.parametrize("text", ["[" * 5000, '{"key": ' * 5000, "9" * 5000, '"a"', "null", "[]", "NaN"])
    def test_a_sidecar_that_is_none(self, plan: Path, text: str) -> None:
        plan.with_name(f"{plan.name}.json").write_text(text)
        for use in (described_plan, lambda path: checked_plan(path, ORIN)):
            with pytest.raises(ForeignPlan, match="its sidecar is damaged"):
                use(plan)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"faces": [1, 4]},
            {"faces": "146"},
            {"faces": [1, 4, "16"]},
            {"faces": [0, 4, 16]},
            {"faces": [True, 4, 16]},
            {"gpu": 3},
            {"compute_capabilities": [["sm87"]]},
            {"flavour": ["tensorrt"]},
        ],
        ids=str,
    )
    def test_a_key_of_wrong_types(self, plan: Path, wrong: dict[str, Any]) -> None:
        change(plan, key=json.loads(json.dumps(dataclasses.asdict(ORIN) | wrong)))
        with pytest.raises(ForeignPlan, match="its sidecar is damaged"):
            described_plan(plan)

    @pytest.mark.parametrize("metadata", [5, None, [KEY], KEY], ids=str)
    def test_metadata_that_are_none(self, plan: Path, metadata: Any) -> None:
        change(plan, metadata=metadata)
        with pytest.raises(ForeignPlan, match="its sidecar is damaged"):
            described_plan(plan)


class TestGpu:
    def test_is_asked_of_the_driver(self, fake_orin: Callable[..., None]) -> None:
        fake_orin()
        assert first_gpu() == Gpu("12.6", "sm87", "Orin (nvgpu)")

    @pytest.mark.parametrize("failing", ["CDLL", "cuInit", "cuDeviceGet", "cuDeviceGetAttribute"])
    def test_none(self, fake_orin: Callable[..., None], failing: str) -> None:
        fake_orin(failing)
        assert first_gpu() is None


class TestPackage:
    @pytest.mark.parametrize(
        ("flavour", "command"), [("tensorrt", "JetPack"), ("tensorrt_rtx", "pip install tensorrt-rtx-cu13")]
    )
    def test_missing(self, monkeypatch: pytest.MonkeyPatch, flavour: str, command: str) -> None:
        monkeypatch.setitem(sys.modules, flavour, None)
        with pytest.raises(TrackerError, match="is not installed") as error:
            load_tensorrt(flavour)
        assert command in str(error.value) and "\n" not in str(error.value)

    def test_both_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for flavour in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.setitem(sys.modules, flavour, None)
        with pytest.raises(TrackerError, match=r"JetPack.*pip install tensorrt-rtx-cu13"):
            load_tensorrt()

    def test_without_its_libraries(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: cannot open')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
        with pytest.raises(TrackerError, match=r"installed, but cannot be imported \(libnvinfer\.so\.10"):
            load_tensorrt("tensorrt")

    def test_a_folder_of_that_name_is_not_the_package(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "tensorrt/samples").mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
        with pytest.raises(TrackerError, match="TensorRT is not installed"):
            load_tensorrt("tensorrt")
        monkeypatch.delitem(sys.modules, "tensorrt", raising=False)

    def test_unknown(self) -> None:
        with pytest.raises(TrackerError, match="unknown flavour 'tensorrtx'"):
            load_tensorrt("tensorrtx")
