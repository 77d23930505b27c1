"""The options of tracker.run that send to avatar programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracker.sinks.avatar_faces import AvatarFaces
from tracker.sinks.base import Sink
from tracker.sinks.openseeface import OpenSeeFacePackets
from tracker.sinks.opentrack import OpenTrackPose
from tracker.sinks.vmc import Shapes, VmcMessages


@dataclass(frozen=True)
class Avatars:
    """Receivers by protocol, HOST:PORT of one or several; None: not asked for."""

    openseeface: str | Sequence[str] | None = None
    vmc: str | Sequence[str] | None = None
    opentrack: str | Sequence[str] | None = None
    vmc_shapes: Shapes = "arkit"

    def open(self) -> Iterator[Sink]:
        """The sinks asked for, one after the other. Raises TrackerError as they do."""
        faces = AvatarFaces()
        if self.openseeface is not None:
            yield OpenSeeFacePackets(self.openseeface, faces=faces)
        if self.vmc is not None:
            yield VmcMessages(self.vmc, self.vmc_shapes, faces)
        if self.opentrack is not None:
            yield OpenTrackPose(self.opentrack, faces)
