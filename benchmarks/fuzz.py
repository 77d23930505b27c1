"""python -m benchmarks.fuzz --minutes 10: feeds mutated files and unusual arguments to everything that reads input.

Every input must give a result or the project's own error with one sentence: no other exception, no crash, no hang, no
excessive memory. benchmarks/fuzz.md has the results. Linux only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from train.extras import needs_extra

NEEDED = ("cv2", "h5py", "hypothesis", "lightning", "onnx", "onnxruntime", "torch", "tritonclient")  # by the readers

with needs_extra(__name__, "benchmarks.fuzz", "dev", *NEEDED):
    from benchmarks._lib.fuzzing.campaign import Campaign, Finding, Worker, load_finding
    from benchmarks._lib.fuzzing.faults import SEEDED
    from benchmarks._lib.fuzzing.reader import FAULTS, NAMES
    from benchmarks._lib.machine import machine, versions
    from tracker.cli.command import run_command
    from tracker.cli.suggestions import suggest
    from tracker.errors import TrackerError

FOUND = 1


def main() -> int:
    """Run the command line; the status is 1 if something was found, or a seeded fault was not."""
    found: list[bool] = []

    def fuzz(
        minutes: float = 10.0,
        readers: str = "",
        seed: int = 0,
        seeded: bool = False,
        seconds: float = 60.0,
        replay: Path | None = None,
        findings: Path = Path("out/fuzz"),
    ) -> None:
        """Fuzz everything that reads, or find faults that are seeded in it.

        Args:
            minutes: for all readers together; what is imported for them takes another minute or two.
            readers: their names, separated by commas; all where none are given.
            seed: of all that is random; the same seed gives the same inputs.
            seeded: put each of the known faults into the code by turn, and say which are found.
            seconds: the most that is spent on a seeded fault.
            replay: a file of an earlier finding, to be read once more.
            findings: the folder that gets the inputs of what was found.
        """
        if replay is not None:
            found.append(read_again(replay))
        elif seeded:
            found.append(find_seeded(_names(readers), seed, seconds))
        else:
            found.append(fuzz_readers(_names(readers), minutes, seed, findings))

    return run_command(fuzz, "benchmarks.fuzz") or (FOUND if any(found) else 0)


def _names(readers: str) -> list[str]:
    names = [name.strip() for name in readers.split(",") if name.strip()] or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        hint = suggest(unknown[0], NAMES)
        raise TrackerError(f"--readers: unknown {', '.join(unknown)}; known: {', '.join(NAMES)}{hint}")
    return names


def fuzz_readers(names: Sequence[str], minutes: float, seed: int, findings: Path) -> bool:
    """Fuzz each reader for its share of the time and print the table; return whether anything was found."""
    end_s = time.monotonic() + 60 * minutes
    campaigns = [Campaign(name, seed) for name in names]
    with Worker() as worker:
        for i, campaign in enumerate(campaigns):
            before_s = time.monotonic()
            campaign.begin(worker)
            end_s += time.monotonic() - before_s
            campaign.run(worker, (end_s - time.monotonic()) / (len(campaigns) - i))
            print(f"{campaign.reader}: {campaign.inputs} inputs, {len(campaign.findings)} findings", file=sys.stderr)
            for finding in campaign.findings.values():
                print(f"    python -m benchmarks.fuzz --replay {finding.save(findings)}", file=sys.stderr)
    print(table(campaigns), f"seed {seed}, {minutes:g} minutes, {machine()}, {versions()}", sep="\n\n")
    found = [finding for campaign in campaigns for finding in campaign.findings.values()]
    for finding in found:
        kind, text, place, _ = finding.outcome
        print(f"{finding.reader}: {kind} ({finding.count} times) at {place}: {text}")
        print(f"    python -m benchmarks.fuzz --replay {finding.save(findings)}")
    return bool(found)


def table(campaigns: Sequence[Campaign]) -> str:
    """Format the table of outcomes by reader."""
    rows = [
        "| reader | inputs | a second | accepted | refused | lines reached | foreign | crashes | timeouts | memory |"
    ]
    rows.append("|" + " --- |" * 10)
    for each in campaigns:
        share = f"{len(each.lines)} of {each.all_lines} ({100 * len(each.lines) / max(each.all_lines, 1):.0f} %)"
        numbers = [each.inputs, round(each.inputs / each.seconds), each.counts["accepted"], each.counts["refused"]]
        cells = [each.reader, *numbers, share, *(each.counts[kind] for kind in FAULTS)]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def find_seeded(readers: Sequence[str], seed: int, seconds: float) -> bool:
    """Look for each seeded fault and print which are found; return whether any is not.

    A fault counts as found if the input that shows it is read correctly without the fault.
    """
    tried = missed = 0
    with Worker() as sound:
        for name, fault in SEEDED.items():
            if fault.reader not in readers:
                continue
            campaign = Campaign(fault.reader, seed)
            found: list[Finding] = []

            def is_the_faults(finding: Finding, found: list[Finding] = found) -> bool:
                if sound.read(finding.reader, finding.files).kind not in FAULTS:
                    found.append(finding)
                return bool(found)

            with Worker(name) as worker:
                campaign.begin(worker)
                campaign.run(worker, seconds, is_the_faults)
            tried, missed = tried + 1, missed + (not found)
            told = f"{found[0].outcome.kind}, {' '.join(found[0].outcome.text[:100].split())}" if found else "NOT FOUND"
            print(f"| {name} | {fault.reader} | {campaign.inputs} | {campaign.seconds:.0f} s | {told} |", flush=True)
    print(f"{tried - missed} of {tried} seeded faults found")
    return missed > 0


def read_again(path: Path) -> bool:
    """Read the input of a finding again and print the outcome; return whether it is a fault."""
    try:
        reader, files = load_finding(path)
    except (OSError, ValueError, KeyError) as error:
        raise TrackerError(f"--replay {path}: expected a file of an earlier finding ({error})") from None
    with Worker() as worker:
        kind, text, place, _ = worker.read(reader, files)
    print(f"{reader}: {kind} at {place}: {text}")
    return kind in FAULTS


if __name__ == "__main__":
    sys.exit(main())
