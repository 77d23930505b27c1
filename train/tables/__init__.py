"""Every row of the papers' tables as a training: what was published, the options, and where they depart from the paper.

python -m train.tables lists them, writes them as configurations of train.run, and checks that they run.
"""

from __future__ import annotations

from collections.abc import Mapping

from train.tables import hih, star, subpixel, yang_yeh
from train.tables.row import Paper, Row

ROWS: Mapping[str, Row] = {row.id: row for module in (yang_yeh, star, subpixel, hih) for row in module.rows()}
"""By their ids, which are the names of their configurations."""

__all__ = ["ROWS", "Paper", "Row"]
