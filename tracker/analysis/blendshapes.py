"""The 52 face channels of ARKit, as far as 68 landmarks can measure them.

Each channel has a flag: "observed" if there are landmarks on the part that moves; "weak" if the same landmarks are also
moved by other movements; "none" if the landmarks do not show the movement. Channels with "none" have no value, because
0 would claim, for example, that the tongue is not out, which is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Observability = Literal["observed", "weak", "none"]


def _both(name: str, flag: Observability) -> dict[str, Observability]:
    return {f"{name}Left": flag, f"{name}Right": flag}


CHANNELS: Mapping[str, Observability] = {
    **_both("browDown", "observed"),
    "browInnerUp": "observed",
    **_both("browOuterUp", "observed"),
    "cheekPuff": "none",
    **_both("cheekSquint", "none"),
    **_both("eyeBlink", "observed"),
    **_both("eyeLookDown", "none"),
    **_both("eyeLookIn", "none"),
    **_both("eyeLookOut", "none"),
    **_both("eyeLookUp", "none"),
    **_both("eyeSquint", "none"),  # looks like a half closed eye
    **_both("eyeWide", "observed"),
    "jawForward": "none",
    **_both("jaw", "weak"),
    "jawOpen": "observed",
    "mouthClose": "none",  # lips closed while the jaw is open
    **_both("mouthDimple", "none"),
    **_both("mouthFrown", "observed"),
    "mouthFunnel": "weak",
    **_both("mouth", "weak"),
    **_both("mouthLowerDown", "weak"),
    **_both("mouthPress", "none"),
    "mouthPucker": "weak",
    "mouthRollLower": "weak",
    "mouthRollUpper": "weak",
    "mouthShrugLower": "none",
    "mouthShrugUpper": "none",
    **_both("mouthSmile", "observed"),
    **_both("mouthStretch", "weak"),
    **_both("mouthUpperUp", "weak"),
    **_both("noseSneer", "none"),
    "tongueOut": "none",
}
"""ARKit's names with the flag of each. Left and right are the subject's."""


def blendshapes(motion: Mapping[str, float]) -> dict[str, float]:
    """Convert the motion of a face to ARKit's channels.

    Args:
        motion: as FaceMotion.step returns it.

    Returns:
        The value of each channel that is observed or weak, 0 to 1.
    """
    opened, narrow = max(motion["mouth_open"], 0.0), max(-motion["mouth_width"], 0.0)
    values = {
        "browInnerUp": (motion["brow_inner_right"] + motion["brow_inner_left"]) / 2,
        "jawOpen": motion["mouth_open"],
        "jawLeft": motion["jaw_side"],
        "jawRight": -motion["jaw_side"],
        "mouthLeft": motion["mouth_side"],
        "mouthRight": -motion["mouth_side"],
        "mouthFunnel": narrow * opened,
        "mouthPucker": narrow * (1 - opened),
        "mouthRollLower": -motion["lower_lip_height"],
        "mouthRollUpper": -motion["upper_lip_height"],
    }
    for end in ("Left", "Right"):
        side = end.lower()
        up = motion[f"corner_up_{side}"]
        values[f"browDown{end}"] = -motion[f"brow_height_{side}"]
        values[f"browOuterUp{end}"] = motion[f"brow_outer_{side}"]
        values[f"eyeBlink{end}"] = -motion[f"eye_{side}"]
        values[f"eyeWide{end}"] = motion[f"eye_{side}"]
        values[f"mouthFrown{end}"] = -up
        values[f"mouthSmile{end}"] = up
        values[f"mouthStretch{end}"] = motion[f"corner_out_{side}"] - max(up, 0.0)
        values[f"mouthUpperUp{end}"] = motion[f"upper_lip_up_{side}"]
        values[f"mouthLowerDown{end}"] = motion[f"lower_lip_down_{side}"]
    return {name: min(max(value, 0.0), 1.0) for name, value in values.items()}
