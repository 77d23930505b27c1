"""The fuzzing itself: what it mutates stays whole, faults that are seeded are found, a crash and a hang are told."""

from __future__ import annotations

import importlib.util
import io
import pickle
import random
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks._lib.fuzzing import worker
from benchmarks._lib.fuzzing.bytes_changed import change_bytes, change_json, change_text, change_yaml
from benchmarks._lib.fuzzing.campaign import Campaign, Change, Finding, Worker, load_finding
from benchmarks._lib.fuzzing.faults import SEEDED, faulty
from benchmarks._lib.fuzzing.formats_changed import change_message, change_pickle, change_zip, fields_of
from benchmarks._lib.fuzzing.reader import MODULES, NAMES, Outcome, Reader, Wrong
from tracker.errors import TrackerError
from tracker.weights.packaged import WEIGHTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the worker's limits are Linux's")


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


INPUTS = {
    change_bytes: b"any bytes at all" * 3,
    change_text: b"n_points: 3\n{\n1 2\n3 4.5\n-6 7e3\n}\n",
    change_yaml: b"a: 1\nb:\n  c: text\n",
    change_json: b'{"a": [1, 2.5, null, {"b": "text"}], "c": true}',
    change_message: (WEIGHTS / "edge68_fast.onnx").read_bytes()[-3000:],
    change_zip: zipped({"a/data.pkl": pickle.dumps({"a": [1, 2.5, "x"]}, 2), "a/0": bytes(64)}),
}


@pytest.mark.parametrize("change", INPUTS, ids=lambda change: change.__name__)
def test_changes_follow_from_the_seed_and_differ(change: Change) -> None:
    made = [change(random.Random(seed), INPUTS[change], [INPUTS[change]]) for seed in range(300)]
    assert made == [change(random.Random(seed), INPUTS[change], [INPUTS[change]]) for seed in range(300)]
    assert len(set(made)) > 200


def test_changed_pickles_can_mostly_be_read() -> None:
    """Else no change would come further than the pickle."""
    content = pickle.dumps({"a": [1, 2.5, "x"], "b": {"c": None}}, 2)
    read = 0
    for seed in range(300):
        try:
            pickle.loads(change_pickle(random.Random(seed), content))
        except Exception:
            continue
        read += 1
    assert read > 150


def test_a_message_is_taken_apart() -> None:
    assert fields_of(b"\x08\x96\x01\x12\x03abc\x1d\1\0\0\0") == [(1, 0, 150), (2, 2, b"abc"), (3, 5, b"\1\0\0\0")]
    assert fields_of(b"\x12\x09abc") == fields_of(b"text") == []


def test_every_fault_fits_the_code() -> None:
    """A fault is a change of a module's text; where the code has moved on it has to be written anew."""
    assert len(SEEDED) >= 20
    for name, fault in SEEDED.items():
        spec = importlib.util.find_spec(fault.module)
        assert spec is not None and spec.origin is not None and fault.reader in NAMES
        compile(faulty(fault, Path(spec.origin).read_text("utf-8")), name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a sidecar without an entry", "points that are not finite"])
def test_a_seeded_fault_is_found(name: str) -> None:
    campaign = Campaign(SEEDED[name].reader, seed=0)
    with Worker(name) as faulty_worker:
        campaign.run(faulty_worker, 60, lambda finding: True)
    (finding,) = campaign.findings.values()
    with Worker() as sound:
        assert sound.read(finding.reader, finding.files).kind in ("accepted", "refused")


@pytest.mark.slow
def test_the_table_the_status_and_the_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not fuzz.fuzz_readers(["pts"], 0.2, seed=3, findings=tmp_path / "none")
    row = capsys.readouterr().out.splitlines()[2].split("|")
    inputs, accepted, refused = (int(row[i]) for i in (2, 4, 5))
    assert row[1].strip() == "pts" and inputs == accepted + refused > 3
    assert not (tmp_path / "none").exists()
    saved = Finding("pts", Outcome("foreign", "x"), {"a.pts": b"1 2\n3"}).save(tmp_path)
    assert load_finding(saved) == ("pts", {"a.pts": b"1 2\n3"})
    assert not fuzz.read_again(saved)
    assert "pts: refused at tracker/datasets/pts_files.py" in capsys.readouterr().out


RUNS_CODE = """
import signal, sys
from benchmarks._lib.fuzzing import reader, worker
READERS = {"code": reader.Reader(list, lambda folder: exec((folder / "code").read_text()), (), ())}
if __name__ == "__main__":
    reader.MODULES["runs_code"] = ("code",)
    worker.MEMORY_MB = 300
    worker.main()
"""


class TestWorker:
    def test_judges_errors(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker, "MEMORY_MB", 1 << 20)  # this process has run other tests, too

        def outcome(error: Exception | None) -> str:
            def read(folder: Path) -> None:
                if error is not None:
                    raise error

            reader = Reader(list, read, (TrackerError, ValueError), ())
            return worker.outcome(worker.Watched(reader), tmp_path / "input", {"a": b""}, False).kind

        assert outcome(None) == "accepted"
        assert outcome(TrackerError("a.onnx: expected a model, got none; give one")) == "refused"
        assert outcome(ValueError("a.pts: expected numbers")) == "refused"
        for error in (KeyError("a"), Wrong("nan"), MemoryError(), ValueError("two\nlines"), ValueError("")):
            assert outcome(error) == "foreign"
        assert outcome(UnicodeDecodeError("utf-8", b"", 0, 1, "odd")) == "foreign"  # a ValueError, but not one of ours

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("import ctypes; ctypes.string_at(0)", "crash"),
            ("import os; os._exit(3)", "crash"),
            ("signal.setitimer(signal.ITIMER_PROF, 0.2)\nwhile True: pass", "timeout"),
            ("b'x' * (400 << 20)", "memory"),
        ],
    )
    def test_an_end_of_the_process_is_an_outcome(
        self, code: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The worker reads with a reader that runs this code, and the next input with a new process."""
        (tmp_path / "runs_code.py").write_text(RUNS_CODE)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:.")
        with Worker(module="runs_code") as process:
            assert process.read("code", {"code": code.encode()}).kind == kind
            assert process.read("code", {"code": b"pass"}).kind == "accepted"


def test_every_reader_is_there() -> None:
    assert len(NAMES) == len(set(NAMES)) == sum(map(len, MODULES.values()))


def test_an_unknown_reader(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.fuzz", "--readers", "pts,modles"])
    assert fuzz.main() == 2
    assert "unknown modles; known: metadata, onnx" in capsys.readouterr().err
