"""python docs/assets/draw_points.py: draws the 68 points of the mean head, with their numbers, into points68.svg."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker.analysis.head_pose import mean_head_mm
from tracker.face.schemes import IBUG68

SIDE, MARGIN = 640, 40
LOWER_LIP, OPEN_MM = [*range(55, 60), *range(65, 68)], 6.0  # its mouth is shut, and numbers would cover each other
OUTPUT = Path(__file__).with_name("points68.svg")


def main() -> None:
    """Write the drawing."""
    head = mean_head_mm()[:, :2].copy()
    head[LOWER_LIP, 1] += OPEN_MM
    low, high = head.min(0), head.max(0)
    points = (head - low) * ((SIDE - 2 * MARGIN) / (high - low).max()) + MARGIN
    points[:, 0] += (SIDE - 2 * MARGIN - np.ptp(points[:, 0])) / 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" font-family="sans-serif">',
        f'<rect width="{SIDE}" height="{SIDE}" fill="#ffffff"/>',
    ]
    for curve in IBUG68.curves:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points[list(curve.indices)])
        kind = "polygon" if curve.closed else "polyline"
        lines.append(f'<{kind} points="{path}" fill="none" stroke="#9aa5b1"/>')
    for index, (x, y) in enumerate(points):
        lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#c2410c"/>')
        lines.append(f'<text x="{x + 3:.1f}" y="{y - 4:.1f}" font-size="11" fill="#1f2933">{index}</text>')
    OUTPUT.write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
