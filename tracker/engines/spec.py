"""What a model says of itself: the contract between export and the runtime, carried in the ONNX metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tracker.errors import TrackerError
from tracker.face.crop import VIEW
from tracker.face.schemes import SCHEMES, Scheme

KEY = "landmark_tracker.spec"
INPUT = "crops"
OUTPUTS = ("points_px", "scores", "covariances_px2")
CONTRACT = 1  # uint8 RGB crops (N, S, S, 3) in; points_px, scores, covariances_px2 out


@dataclass(frozen=True)
class ModelSpec:
    """How a landmark model wants its input and what its output means.

    contract: version of the inputs and outputs. size: side of the crop in pixels. scheme: name of the landmarks'
    scheme. view: side of the crop over the larger extent of the landmarks. presence: the mean point score from
    which on a crop is taken to show a face, fitted on validation data. decode: how maps become points. temperature:
    what the maps are divided by before, fitted on validation data. licence: of what it was trained on. config: the
    training configuration. commit: of the code that exported it.
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

    def landmark_scheme(self) -> Scheme:
        """The scheme itself."""
        return SCHEMES[self.scheme]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of INPUT, uint8, and of the OUTPUTS, float32, by name and for one face."""
        count = self.landmark_scheme().count
        outputs = ((count, 2), (count,), (count, 3))
        return {INPUT: (self.size, self.size, 3), **dict(zip(OUTPUTS, outputs))}

    def to_metadata(self) -> dict[str, str]:
        """As ONNX metadata: one JSON text."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> ModelSpec:
        """The spec of the model from source. Raises TrackerError for one that is missing, foreign or contradicting."""
        if KEY not in metadata:
            raise TrackerError(
                f"{source}: expected a landmark model with a {KEY} entry in its metadata, found none; "
                "export one with `python -m export.run`"
            )
        try:
            spec = cls(**json.loads(metadata[KEY]))
        except (ValueError, TypeError):
            known = ", ".join(field.name for field in fields(cls))
            raise TrackerError(f"{source}: its {KEY} metadata is not understood; expected JSON with {known}") from None
        spec._check(source)
        return spec

    def _check(self, source: str) -> None:
        if self.contract != CONTRACT:
            raise TrackerError(
                f"{source}: made for contract {self.contract}, this runtime speaks {CONTRACT}; export it again"
            )
        if self.scheme not in list(SCHEMES):  # of a list, as anything may stand in a damaged file
            raise TrackerError(f"{source}: unknown landmark scheme {self.scheme!r}; known: {', '.join(SCHEMES)}")
        if not isinstance(self.presence, (int, float)) or not 0 <= self.presence <= 1:
            raise TrackerError(f"{source}: its presence must be in 0..1, got {self.presence!r}; export it again")
        if self.view != VIEW:
            raise TrackerError(
                f"{source}: wants crops of {self.view} x the face, this runtime cuts {VIEW}; export it again"
            )
