"""What a model says of itself: the contract between export and the runtime, carried in the ONNX metadata.

The metadata may be of a foreign or damaged file, so every value is checked before it is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tracker.errors import TrackerError
from tracker.face.crop import VIEW
from tracker.face.schemes import SCHEMES, Scheme
from tracker.face.visibility import Visibility

KEY = "landmark_tracker.spec"
INPUT = "crops"
OUTPUTS = ("points_px", "scores", "covariances_px2")
SIZES = (8, 1024)  # the least and the most pixels that a crop may have along a side
LONGEST, LONGEST_TEXT, DEEPEST = 1_000_000, 10_000, 50  # characters of the JSON and of one text in it; levels of it
LARGEST = 1e6  # of the numbers that tell the visibility
CONTRACT = 1  # uint8 RGB crops (N, S, S, 3) in; points_px, scores, covariances_px2 out


@dataclass(frozen=True)
class ModelSpec:
    """How a landmark model wants its input and what its output means.

    contract: version of the inputs and outputs. size: side of the crop in pixels. scheme: name of the landmarks'
    scheme. view: side of the crop over the larger extent of the landmarks. presence: the mean point score from
    which on a crop is taken to show a face, fitted on validation data. decode: how maps become points. temperature:
    what the maps are divided by before, fitted on validation data. licence: of what it was trained on. config: the
    training configuration. commit: of the code that exported it. provenance: texts by name that say where the model
    comes from (pictures, labels, teacher, their licences), as export.run was given them. visibility: slope and offsets
    that tell how likely each landmark is to be visible, see tracker.face.visibility; empty where they were not fitted.
    """

    size: int
    scheme: str
    presence: float
    decode: str
    licence: str
    config: dict[str, Any]
    commit: str
    view: float = VIEW
    temperature: float = 1.0
    contract: int = CONTRACT
    provenance: dict[str, str] = field(default_factory=dict)
    visibility: dict[str, Any] = field(default_factory=dict)

    def landmark_scheme(self) -> Scheme:
        """The scheme itself."""
        return SCHEMES[self.scheme]

    def landmark_visibility(self) -> Visibility | None:
        """How visible the landmarks are, by their covariances; None where it was not fitted."""
        if not self.visibility:
            return None
        return Visibility(float(self.visibility["slope"]), tuple(map(float, self.visibility["offsets"])))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of INPUT, uint8, and of the OUTPUTS, float32, by name and for one face."""
        count = self.landmark_scheme().count
        outputs = ((count, 2), (count,), (count, 3))
        return {INPUT: (self.size, self.size, 3), **dict(zip(OUTPUTS, outputs))}

    def to_metadata(self) -> dict[str, str]:
        """As ONNX metadata: one JSON text."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: object, source: str) -> ModelSpec:
        """The spec in the metadata of the model from source, a table of texts.

        Raises TrackerError for one that is missing, foreign or contradicting.
        """
        if not isinstance(metadata, Mapping) or KEY not in metadata:
            raise TrackerError(
                f"{source}: expected a landmark model with a {KEY} entry in its metadata, found none; "
                "export one with `python -m export.run`"
            )
        try:
            spec = cls(**parse_json(metadata[KEY]))
        except (ValueError, TypeError):
            known = ", ".join(each.name for each in fields(cls))
            raise TrackerError(f"{source}: its {KEY} metadata is not understood; expected JSON with {known}") from None
        spec.check(source)
        return spec

    def check(self, source: str) -> None:
        """Raises TrackerError, which names the source, for values that this runtime cannot work with."""
        if type(self.contract) is not int or self.contract != CONTRACT:
            raise TrackerError(
                f"{source}: made for contract {_short(self.contract)}, this runtime speaks {CONTRACT}; export it again"
            )
        if not isinstance(self.scheme, str) or self.scheme not in SCHEMES:
            known = ", ".join(SCHEMES)
            raise TrackerError(f"{source}: unknown landmark scheme {_short(self.scheme)}; known: {known}")
        if type(self.size) is not int or not SIZES[0] <= self.size <= SIZES[1]:
            least, most = SIZES
            raise TrackerError(
                f"{source}: its size must be a whole number of pixels in {least}..{most}, got {_short(self.size)}; "
                "export it again"
            )
        if not _is_number(self.presence) or not 0 <= self.presence <= 1:
            raise TrackerError(f"{source}: its presence must be in 0..1, got {_short(self.presence)}; export it again")
        if not _is_number(self.view) or self.view != VIEW:
            raise TrackerError(
                f"{source}: wants crops of {_short(self.view)} x the face, this runtime cuts {VIEW}; export it again"
            )
        if not _is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise TrackerError(
                f"{source}: its temperature must be a number above 0, got {_short(self.temperature)}; export it again"
            )
        for name in ("decode", "licence", "commit"):
            value = getattr(self, name)
            if not _is_short_text(value):
                raise TrackerError(f"{source}: its {name} must be a text, got {_short(value)}; export it again")
        if not isinstance(self.config, dict):
            raise TrackerError(f"{source}: its config must be a table, got {_short(self.config)}; export it again")
        if not isinstance(self.provenance, dict) or not all(
            _is_short_text(key) and _is_short_text(value) for key, value in self.provenance.items()
        ):
            raise TrackerError(
                f"{source}: its provenance must be a table of texts, got {_short(self.provenance)}; export it again"
            )
        self._check_visibility(source)

    def _check_visibility(self, source: str) -> None:
        count, table = self.landmark_scheme().count, self.visibility
        if table == {}:
            return
        if isinstance(table, dict) and set(table) == {"slope", "offsets"} and isinstance(table["offsets"], list):
            numbers = [table["slope"], *table["offsets"]]
            if len(numbers) == 1 + count and all(_is_number(each) and abs(each) <= LARGEST for each in numbers):
                return
        raise TrackerError(
            f"{source}: its visibility must be a slope and {count} offsets of at most {LARGEST:g}, got "
            f"{_short(table)}; export it again"
        )


def parse_json(text: object) -> Any:
    """What a JSON text holds.

    Raises ValueError where it is none, is longer than LONGEST characters, or has more than DEEPEST levels.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ValueError(f"expected a JSON text of at most {LONGEST} characters")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels") from None
    layer = [content]
    for _ in range(DEEPEST):
        layer = [each for value in layer for each in _inner(value)]
        if not layer:
            return content
    raise ValueError(f"more than {DEEPEST} levels")


def _inner(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_short_text(value: object) -> bool:
    """Whether it is a text of at most LONGEST_TEXT characters that can be printed."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    """Whether it can be printed; JSON can hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(value: object) -> str:
    """For a message: in one line, and not at length."""
    text = ascii(value) if isinstance(value, str) and not _is_unicode(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
