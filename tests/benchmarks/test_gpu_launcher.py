"""The launcher of the measurement, with a stand-in for Python: what is found is brought back whatever ends it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks/gpu/run.sh"
NEEDED = ("bash", "timeout", "realpath", "awk", "tar")
pytestmark = pytest.mark.skipif(
    os.name != "posix" or not all(map(shutil.which, NEEDED)), reason="the launcher is for Linux, with GNU's tools"
)

# Called as `python -m pip ...` and as `python -m benchmarks.gpu ... --output FOLDER ...`. Says which of its results are
# there already, writes results and weights, and then works as long as it is told.
STAND_IN = """#!/usr/bin/env bash
[ "$2" = pip ] && exit 0
while [ "$1" != --output ]; do shift; done
cd "$2" || exit
echo "found: $(ls -x *.json 2>/dev/null)"
echo '{"state": "done"}' >"$NAME.json"
echo half >weights.0.pt
echo $$ >"$PIDS"
sleep "$WORKS_S" &
wait $!
exit 3
"""


class Call:
    """Runs the launcher in folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.results, self.temporary, self.pids = folder / "results", folder / "temporary", folder / "pids"
        self.bundle, self.python = folder / "bundle", folder / "python"
        (self.bundle / "wheels").mkdir(parents=True)
        self.temporary.mkdir()
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def start(self, works_s: float, name: str = "crop", minutes: str = "1") -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHON": str(self.python), "TMPDIR": str(self.temporary), "NAME": name}
        environment |= {"PIDS": str(self.pids), "WORKS_S": str(works_s)}
        command = ["bash", str(RUN), str(self.bundle), str(self.results), minutes]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def brought_back(self) -> dict[str, str]:
        """The text of each file in results.tar."""
        found: dict[str, str] = {}
        with tarfile.open(self.results / "results.tar") as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    found[Path(member.name).name] = file.read().decode()
        return found


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(tmp_path)


def test_results_log_and_status_come_back(call: Call) -> None:
    process = call.start(works_s=0)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    found = call.brought_back()
    assert found["crop.json"] == '{"state": "done"}\n' and "found:" in found["log.txt"]
    assert (call.results / "weights.0.pt").read_text() == "half\n"
    assert sorted(path.name for path in call.results.iterdir()) == ["results.tar", "weights.0.pt"]
    assert list(call.temporary.iterdir()) == []


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_call_that_is_ended_brings_back_what_there_is(call: Call, with_signal: signal.Signals) -> None:
    """And it ends at once, with all that it has started."""
    process = call.start(works_s=300)
    while not call.pids.exists() or not call.pids.read_text().endswith("\n"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(with_signal)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert "crop.json" in call.brought_back() and (call.results / "weights.0.pt").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(call.pids.read_text()), 0)
    assert list(call.temporary.iterdir()) == []


@pytest.mark.slow
def test_one_that_is_killed_has_brought_back_what_there_was(call: Call) -> None:
    """Within some seconds, and the file is whole."""
    process = call.start(works_s=8)
    deadline = time.monotonic() + 60
    while not (call.results / "weights.0.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.communicate(timeout=60)
    assert "crop.json" in call.brought_back()


def test_a_second_call_starts_from_the_results_of_the_first(call: Call) -> None:
    call.start(works_s=0).communicate(timeout=60)
    call.start(works_s=0, name="edge").communicate(timeout=60)
    found = call.brought_back()
    assert {"crop.json", "edge.json"} <= found.keys()
    assert "found: crop.json" in found["log.txt"]


def test_results_that_cannot_be_read_are_left_as_they_are(call: Call) -> None:
    call.results.mkdir()
    (call.results / "results.tar").write_text("no archive")
    process = call.start(works_s=0)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "results.tar of an earlier call cannot be read; name another folder" in output
    assert (call.results / "results.tar").read_text() == "no archive"
    assert list(call.temporary.iterdir()) == []
