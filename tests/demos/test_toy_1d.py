"""The paper's small demonstration says what the paper says (Yang & Yeh, ICCV 2025, section 5.1, Fig. 2)."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch
from torch import Tensor

pytest.importorskip("matplotlib")
import matplotlib.pyplot as plt
from matplotlib.quiver import Quiver

from demos.toy_1d import LABEL, LONGEST_ARROW, LOSSES, SHOWN, START, descend, draw, main, moving


def peaks(heatmap: Tensor) -> list[int]:
    """The cells (11,) that are higher than both of their neighbours."""
    padded = torch.nn.functional.pad(heatmap, (1, 1), value=-torch.inf)
    return ((heatmap > padded[:-2]) & (heatmap > padded[2:])).nonzero().flatten().tolist()


def test_starts_with_two_peaks_and_none_on_the_label() -> None:
    assert peaks(START) == [1, 9]
    assert START[9] > START[1]


def test_the_structured_loss_has_its_peak_on_the_label_within_a_few_steps() -> None:
    heatmaps, _ = descend(LOSSES["structured"])
    assert (heatmaps[10:].argmax(1) == LABEL).all()
    second = heatmaps[50].sort().values[-2]
    assert heatmaps[50, LABEL] - second > 3  # "a significant gap"


def test_the_structured_loss_raises_the_label_and_lowers_all_others() -> None:
    _, updates = descend(LOSSES["structured"])
    assert (updates[:, LABEL] > 0).all()
    assert (updates[:, [k for k in range(11) if k != LABEL]] < 0).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_soft_argmax_has_not_at_step_50(rate: float) -> None:
    heatmaps, updates = descend(LOSSES["soft-argmax, l2"], rate=rate)
    assert (heatmaps.argmax(1) != LABEL).all()
    assert updates[0, LABEL].abs() < updates[0].abs().max() / 5  # the label's own update is small


@pytest.mark.parametrize("step", SHOWN)
def test_the_small_correct_update_of_soft_argmax_is_drawn(step: int) -> None:
    """The paper's first observation: the label's cell goes up, by little, in all three panels."""
    _, updates = descend(LOSSES["soft-argmax, l2"], max(SHOWN))
    assert LABEL in moving(updates[step])
    assert 0 < updates[step, LABEL] < updates[step].abs().max() / 20
    assert updates[step].abs().max() > 1e-3  # it has not converged


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", SHOWN)
def test_arrows_are_as_long_as_their_update_and_its_number_stands_at_the_label(loss: str, step: int) -> None:
    """Else the label's update by soft-argmax looks as large as that of the peaks."""
    heatmaps, updates = descend(LOSSES[loss], max(SHOWN))
    update = updates[step]
    picture, axes = plt.subplots()
    draw(axes, heatmaps[step], update, "")
    (quiver,) = (each for each in axes.collections if isinstance(each, Quiver))
    cells = moving(update)
    torch.testing.assert_close(torch.as_tensor(quiver.V) / LONGEST_ARROW, update[cells] / update.abs().max())
    numbers = {text.get_position()[0]: float(text.get_text()) for text in axes.texts}
    assert {*numbers} == {LABEL, int(update.abs().argmax())}
    assert numbers == {cell: pytest.approx(float(update[cell]), rel=0.05) for cell in numbers}
    plt.close(picture)


def test_soft_argmax_moves_the_higher_peak_by_a_cell_and_no_further() -> None:
    heatmaps, _ = descend(LOSSES["soft-argmax, l2"], 2000)
    assert [peaks(heatmaps[step]) for step in (10, 20, 50, 2000)] == [[1, 9], [1, 9], [1, 8], [1, 8]]
    assert heatmaps[50].argmax() == 8


@pytest.mark.parametrize("rate", [0.1, 2.0])
def test_soft_argmax_leaves_narrow_peaks_where_they_are(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cells 9 and 1 have the two highest values."""
    narrow = torch.tensor([1.0, 2.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.5, 1.5, 3.0, 1.5])
    monkeypatch.setattr("demos.toy_1d.START", narrow)
    heatmaps, _ = descend(LOSSES["soft-argmax, l2"], 2000, rate)
    highest = heatmaps.argsort(1)[:, -2:].sort(1).values
    assert (highest == torch.tensor([1, 9])).all()


@pytest.mark.slow
def test_draws_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(tmp_path / "made")
    picture = cv2.imread(str(tmp_path / "made/toy_1d.png"))
    assert picture is not None
    assert picture.std() > 10
    assert (tmp_path / "made/toy_1d.gif").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "soft-argmax, l2: not by step 50" in said
    assert "structured: on the label from step" in said
