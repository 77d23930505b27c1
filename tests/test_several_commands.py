"""Programs of several commands list them."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("matplotlib")
import benchmarks.figures.__main__ as figures
import train.tables.__main__ as tables


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("program", [figures, tables], ids=["benchmarks.figures", "train.tables"])
def test_help_lists_the_commands(
    program: object, flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", flag])
    assert program.main() == 0  # type: ignore[attr-defined]
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in program.COMMANDS)  # type: ignore[attr-defined]
