"""Configuration files are found by their name, where the user has none of that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from train.packaged_configs import CHECKOUT, INSTALLED, find_config, with_found_configs


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_checkout_has_one_copy() -> None:
    assert CHECKOUT == ROOT / "configs"
    assert not INSTALLED.exists()


@pytest.mark.parametrize("path", sorted(CHECKOUT.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_file_is_found_by_its_name(path: Path) -> None:
    kind = path.relative_to(CHECKOUT).parts[0]
    assert kind in ("train", "export", "provenance")
    assert find_config(path.relative_to(CHECKOUT / kind), kind) == path  # type: ignore[arg-type]
    assert find_config(path.relative_to(ROOT), "train") == path
    assert find_config(path, "train") == path


def test_the_users_own_file_comes_first() -> None:
    Path("edge68.yaml").touch()
    assert find_config("edge68.yaml", "train") == Path("edge68.yaml")
    Path("edge68_fast.yaml").symlink_to("nowhere")  # a broken link is the user's mistake to hear of
    assert find_config("edge68_fast.yaml", "train") == Path("edge68_fast.yaml")


@pytest.mark.parametrize(
    "name", ["nothing.yaml", "../train/edge68.yaml", "/edge68.yaml", "hourglass", "", ".", "edge68"]
)
def test_other_names_stay(name: str) -> None:
    assert find_config(name, "train") == Path(name)


def test_the_commands_have_different_files() -> None:
    assert find_config("edge68.yaml", "train") != find_config("edge68.yaml", "export")


def test_arguments() -> None:
    found = str(CHECKOUT / "train/edge68.yaml")
    given = ["fit", "--config", "edge68.yaml", "--config=edge68.yaml", "--data.root", "edge68.yaml", "--config"]
    expected = ["fit", "--config", found, f"--config={found}", "--data.root", "edge68.yaml", "--config"]
    assert with_found_configs(given, "train") == expected
    assert with_found_configs(["--config", "a: 1"], "train") == ["--config", "a: 1"]


def test_a_training_takes_a_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from train.command_line import TrainingCLI

    monkeypatch.setattr("sys.argv", ["train.run", "fit", "--config", "edge68.yaml", "--print_config"])
    with pytest.raises(SystemExit, match=r"^0$"):
        TrainingCLI.run()
    assert "class_path: train.models.edge.EdgeHourglass" in capsys.readouterr().out


def test_an_export_takes_a_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from export.run import main

    monkeypatch.setattr("sys.argv", ["export.run", "--config", "edge68_int8.yaml", "--print_config"])
    assert main() == 0
    assert "precision: int8" in capsys.readouterr().out
