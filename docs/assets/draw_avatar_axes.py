"""python docs/assets/draw_avatar_axes.py: draws the axes and turns of avatar protocols into avatar_axes.svg.

The heads are the mean head, turned and seen as a camera sees it; the arrows are computed from the same turns.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tracker.analysis.head_pose import mean_head_mm
from tracker.face.geometry import Array
from tracker.face.schemes import IBUG68

OUTPUT = Path(__file__).with_name("avatar_axes.svg")
CELL, TOP, FOCAL, AWAY_MM = 210, 46, 800.0, 900.0
TURNS = (  # degrees of pitch, yaw, roll as tracker.HeadPose has them, and how each protocol says the turn
    ((0, 0, 0), "looks into the camera", ("all 0", "0 0 0 1", "180 0 90")),
    ((25, 0, 0), "looks down", ("Pitch -25", "x above 0", "first -155")),
    ((0, 25, 0), "turns to the picture's left", ("Yaw 25", "y above 0", "second -25")),
    ((0, 0, 25), "tilts clockwise", ("Roll 25", "z above 0", "third 65")),
)
SYSTEMS = (
    ("opentrack", (("TX", (1, 0)), ("TY", (0, -1))), "TZ: away from the camera"),
    ("VMC (Unity)", (("x", (-1, 0)), ("y", (0, -1))), "z: forward, towards the camera"),
    ("OpenSeeFace, points", (("x", (1, 0)), ("y", (0, 1))), "pixels"),
    ("OpenSeeFace, 3D", (("x", (-1, 0)), ("y", (0, 1))), "z: backwards, away from the camera"),
)


def main() -> None:
    """Write the drawing."""
    width, height = CELL * 4 + 20, 600
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<text x="14" y="24" font-weight="bold" fill="#1f2933">The picture as the camera has it, not mirrored</text>',
    ]
    for index, (degrees, name, said) in enumerate(TURNS):
        lines += _head(degrees, 10 + CELL * index + CELL / 2, TOP + 110)
        lines += _texts(10 + CELL * index + CELL / 2, TOP + 230, (name, *_said(said)))
    lines.append('<text x="14" y="392" font-weight="bold" fill="#1f2933">Axes, drawn over the picture</text>')
    for index, (name, axes, third) in enumerate(SYSTEMS):
        x, y = 10 + CELL * index + CELL / 2, 470.0
        for label, (right, down) in axes:
            lines.append(_arrow(x, y, x + 55 * right, y + 45 * down))
            lines += _texts(x + 68 * right, y + 56 * down + 5, (label,))
        lines += _texts(x, 558, (name, third))
    OUTPUT.write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")


def _said(said: tuple[str, str, str]) -> tuple[str, str, str]:
    return f"opentrack: {said[0]}", f"VMC: {said[1]}", f"OpenSeeFace: {said[2]}"


def _head(degrees: tuple[float, float, float], x: float, y: float) -> list[str]:
    pitch, yaw, roll = (cv2.Rodrigues(np.radians(angle) * axis)[0] for angle, axis in zip(degrees, np.eye(3)))
    turn = roll @ yaw @ pitch
    middle = np.array([0, 35, 0])
    points = _seen((mean_head_mm() - middle) @ turn.T) + [x, y]
    lines = []
    for curve in IBUG68.curves:
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points[list(curve.indices)])
        kind = "polygon" if curve.closed else "polyline"
        lines.append(f'<{kind} points="{path}" fill="none" stroke="#52606d"/>')
    tip, end = _seen(np.array([[0, -4, -39], [0, -4, -110]]) @ turn.T) + [x, y]
    return [
        *lines,
        _arrow(*tip, *end, "#c2410c"),
        f'<circle cx="{tip[0]:.1f}" cy="{tip[1]:.1f}" r="3" fill="#c2410c"/>',
    ]


def _seen(points_mm: Array) -> Array:
    """Pixels of points before the camera, from the picture's middle."""
    return np.asarray(points_mm[:, :2] * (FOCAL / (points_mm[:, 2:] + AWAY_MM)) * 1.05)


def _arrow(x: float, y: float, to_x: float, to_y: float, colour: str = "#1d4ed8") -> str:
    along = np.array([to_x - x, to_y - y])
    length = float(np.hypot(*along))
    if length < 4:
        return ""
    along = along / length
    aside = np.array([-along[1], along[0]])
    back = np.array([to_x, to_y]) - 8 * along
    (ax, ay), (bx, by) = back + 4 * aside, back - 4 * aside
    head = f"M{ax:.1f} {ay:.1f} L{to_x:.1f} {to_y:.1f} L{bx:.1f} {by:.1f}"
    return f'<path d="M{x:.1f} {y:.1f} L{to_x:.1f} {to_y:.1f} {head}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _texts(x: float, y: float, texts: tuple[str, ...]) -> list[str]:
    lines = []
    for row, text in enumerate(texts):
        weight = ' font-weight="bold"' if row == 0 and len(texts) > 1 else ""
        place = f'x="{x:.0f}" y="{y + 18 * row:.0f}"'
        lines.append(f'<text {place} text-anchor="middle" fill="#1f2933"{weight}>{text}</text>')
    return lines


if __name__ == "__main__":
    main()
