"""The specification of a model, which export writes into the ONNX metadata for the runtime.

The file may be damaged or come from another program, so every value is checked before it is used.
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
SIZES = (8, 1024)  # the smallest and the largest side of a crop, in pixels
LONGEST, LONGEST_TEXT, DEEPEST = 1_000_000, 10_000, 50  # limits: characters of the JSON and of a text in it; levels
LARGEST = 1e6  # limit of the numbers of the visibility
CONTRACT = 1  # uint8 RGB crops (N, S, S, 3) in; points_px, scores, covariances_px2 out


@dataclass(frozen=True)
class ModelSpec:
    """What a landmark model expects and what its outputs mean.

    Attributes:
        size: side of the crop in pixels.
        scheme: name of the landmark scheme.
        presence: threshold of the mean point score at which a crop counts as a face, fitted on validation data.
        decode: how points are computed from heatmaps: the decoder's name, then a semicolon and its settings.
        licence: terms of use of the model.
        config: the training configuration.
        commit: of the code that exported the model.
        view: side of the crop, as a multiple of the larger extent of the landmarks.
        temperature: by which the heatmaps are divided before decoding, fitted on validation data.
        contract: version of the inputs and outputs.
        provenance: texts by name about the origin of the model (pictures, labels, teacher, their licences), as given
            to export.run.
        visibility: slope and offsets from which it is computed how likely each landmark is to be visible, see
            tracker.face.visibility; empty if they were not fitted.
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

    @property
    def decoder(self) -> str:
        """Name of the decoder, as decode begins with it."""
        return self.decode.partition(";")[0]

    def landmark_scheme(self) -> Scheme:
        """Return the landmark scheme."""
        return SCHEMES[self.scheme]

    def landmark_visibility(self) -> Visibility | None:
        """How visible the landmarks are, by their covariances; None where it was not fitted."""
        if not self.visibility:
            return None
        return Visibility(float(self.visibility["slope"]), tuple(map(float, self.visibility["offsets"])))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes for one face of INPUT (uint8) and OUTPUTS (float32), by name."""
        count = self.landmark_scheme().count
        outputs = ((count, 2), (count,), (count, 3))
        return {INPUT: (self.size, self.size, 3), **dict(zip(OUTPUTS, outputs))}

    def to_metadata(self) -> dict[str, str]:
        """Return the ONNX metadata: a JSON text by KEY."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: object, source: str) -> ModelSpec:
        """Read the specification from a model's metadata.

        Args:
            metadata: texts by name.
            source: of the model, for error messages.

        Returns:
            The checked specification.

        Raises:
            TrackerError: it is missing, not understood or inconsistent.
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
        """Check all values.

        Args:
            source: of the model, for error messages.

        Raises:
            TrackerError: this runtime does not support one of them.
        """
        if type(self.contract) is not int or self.contract != CONTRACT:
            raise TrackerError(
                f"{source}: made for contract {_short(self.contract)}, this runtime supports {CONTRACT}; "
                "export it again"
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
                f"{source}: wants crops of {_short(self.view)} x the face, this runtime makes {VIEW}; export it again"
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
            raise TrackerError(
                f"{source}: its config must be a JSON object, got {_short(self.config)}; export it again"
            )
        if not isinstance(self.provenance, dict) or not all(
            _is_short_text(key) and _is_short_text(value) for key, value in self.provenance.items()
        ):
            raise TrackerError(
                f"{source}: its provenance must be a JSON object of texts, got {_short(self.provenance)}; "
                "export it again"
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
    """Parse a JSON text, with limits on its size.

    Args:
        text: the text.

    Returns:
        Its content.

    Raises:
        ValueError: it is not JSON, is longer than LONGEST characters, or has more than DEEPEST levels.
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
    """Return whether it is a text of at most LONGEST_TEXT characters that can be printed."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    """Return whether a text can be printed; JSON may contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(value: object) -> str:
    """Format a value for a message: in one line, and shortened."""
    text = ascii(value) if isinstance(value, str) and not _is_unicode(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
