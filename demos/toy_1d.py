"""python demos/toy_1d.py: one landmark on a heatmap of 11 cells, soft-argmax with l2 against the structured loss.

The demonstration of Yang & Yeh, ICCV 2025, section 5.1 and Fig. 2: the heatmap itself is what gradient descent
updates, its label is cell 5, and it starts with a peak on cell 9 and a lower one on cell 1. The paper gives neither
the peaks' shape, nor the step size, nor the unit of the margin: here they are START, RATE (the same for both losses),
and cells over [-1, 1], as train/losses/structured.py has them.

Soft-argmax updates the label's cell in the right direction, but by an eighteenth of the largest update and less. It
moves the higher peak towards the label, from cell 9 to cell 8, as a cell's update is its probability times the error
times its distance from the mean, so that cell 9 sinks faster than cell 8. From step 52 on the highest cell is 1, on the
other side; when the mean is right, neither peak is on the label. That takes wide peaks, with cell 8 higher than cell 1,
and departs from the paper, whose two highest values are at cells 9 and 1: from there both peaks stay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from torch import Tensor

from train.losses.structured import structured_loss

CELLS = torch.linspace(-1, 1, 11)
LABEL = 5
START = torch.maximum(*(top * torch.exp(-(torch.arange(11.0) - cell).square() / 8) for cell, top in ((9, 4), (1, 2))))
RATE = 0.4
LEAST_ARROW = 1e-4  # of the largest update of a step: smaller ones have no arrow
LONGEST_ARROW = 1.8  # of a step, in units of the heatmap
SHOWN = (10, 20, 50)  # steps, as in the paper's figure

Loss = Callable[[Tensor], Tensor]


def soft_argmax_l2(heatmap: Tensor) -> Tensor:
    """Return the squared error of the softmax's mean (Eq. 4); heatmap (11,)."""
    return (torch.softmax(heatmap, 0) @ CELLS - CELLS[LABEL]).square()


def structured(heatmap: Tensor) -> Tensor:
    """Return the loss of Eq. 11 with epsilon 1 and the squared distance as margin; heatmap (11,)."""
    label = torch.nn.functional.one_hot(torch.tensor(LABEL), len(CELLS)).float()
    margin = (CELLS - CELLS[LABEL]).square()
    return structured_loss(heatmap[None], label[None], margin[None])


LOSSES: dict[str, Loss] = {"soft-argmax, l2": soft_argmax_l2, "structured": structured}


def descend(loss: Loss, steps: int = 50, rate: float = RATE) -> tuple[Tensor, Tensor]:
    """Gradient descent from START: the heatmaps (steps + 1, 11), and what each next step adds to them."""
    heatmaps, updates = [START], []
    for _ in range(steps + 1):
        heatmap = heatmaps[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(heatmap), heatmap)
        updates.append(-rate * gradient)
        heatmaps.append(heatmaps[-1] + updates[-1])
    return torch.stack(heatmaps[:-1]), torch.stack(updates)


def moving(update: Tensor) -> Tensor:
    """The cells whose update (11,) gets an arrow."""
    return (update.abs() > LEAST_ARROW * update.abs().max()).nonzero().flatten()


def arrows(update: Tensor) -> Tensor:
    """The lengths (11,) of the arrows of an update (11,): in proportion to it, the longest is LONGEST_ARROW."""
    return LONGEST_ARROW * update / update.abs().max()


def draw(axes: Axes, heatmap: Tensor, update: Tensor, title: str) -> None:
    """Draw the heatmap as bars, the label and the highest cell in colour, and arrows for changes of cells.

    The changes of the label's cell and of the one that changes most stand beside their arrows as numbers.
    """
    colours = ["#c8ccd2"] * len(heatmap)
    colours[int(heatmap.argmax())] = "#d1495b"
    colours[LABEL] = "#2e7d5b"
    axes.bar(range(len(heatmap)), heatmap.tolist(), color=colours)
    moved, lengths = moving(update), arrows(update)
    form = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.006, "minlength": 0.1}
    axes.quiver(moved, heatmap[moved], 0 * moved, lengths[moved], **form)
    for cell in {LABEL, int(update.abs().argmax())}:
        above = float(heatmap[cell] + lengths[cell].clamp(min=0)) + 0.2
        number = np.format_float_positional(float(update[cell]), precision=2, fractional=False, sign=True)
        axes.text(cell, above, number, ha="center", va="bottom", fontsize=9)
    axes.set(title=title, xticks=range(len(heatmap)), ylim=(-0.8, 10.2))


def figure(path: Path) -> None:
    """The paper's Fig. 2: a row for each loss, a column for each step shown."""
    picture, rows = plt.subplots(len(LOSSES), len(SHOWN), figsize=(11, 5.5), sharey=True, layout="constrained")
    for row, (name, loss) in zip(rows, LOSSES.items()):
        heatmaps, updates = descend(loss, max(SHOWN))
        for axes, step in zip(row, SHOWN):
            draw(axes, heatmaps[step], updates[step], f"{name}, step {step}")
    picture.suptitle(
        "green: the label; red: the highest cell, where that is another one\n"
        "arrows: what the next step adds, each panel to its own scale; numbers: of the label and of the largest change"
    )
    picture.savefig(path, dpi=120)
    plt.close(picture)


def animation(path: Path) -> None:
    """Animate both losses side by side, one frame per step."""
    picture, both = plt.subplots(1, len(LOSSES), figsize=(9, 3.6), sharey=True)
    runs = {name: descend(loss, max(SHOWN)) for name, loss in LOSSES.items()}

    def frame(step: int) -> None:
        for axes, (name, (heatmaps, updates)) in zip(both, runs.items()):
            axes.clear()
            draw(axes, heatmaps[step], updates[step], f"{name}, step {step}")

    FuncAnimation(picture, frame, frames=max(SHOWN) + 1).save(path, writer=PillowWriter(fps=8))  # type: ignore[arg-type]
    plt.close(picture)


def main(folder: Path = Path("out")) -> None:
    """Write toy_1d.png and toy_1d.gif, and say when each loss put the highest cell on the label.

    Args:
        folder: where to write; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, loss in LOSSES.items():
        there = (descend(loss, max(SHOWN))[0].argmax(1) == LABEL).nonzero()
        print(f"{name}: " + (f"on the label from step {int(there[0])}" if len(there) else f"not by step {max(SHOWN)}"))
    figure(folder / "toy_1d.png")
    animation(folder / "toy_1d.gif")
    print(f"{folder / 'toy_1d.png'}, {folder / 'toy_1d.gif'}")


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main)
