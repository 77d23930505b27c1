"""Options of tracker.run for avatar programs."""

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
    """Receivers of each protocol.

    Attributes:
        openseeface: HOST:PORT of one receiver or several; None for none.
        vmc: the same for the Virtual Motion Capture protocol.
        opentrack: the same for opentrack.
        vmc_shapes: see VmcMessages.
    """

    openseeface: str | Sequence[str] | None = None
    vmc: str | Sequence[str] | None = None
    opentrack: str | Sequence[str] | None = None
    vmc_shapes: Shapes = "arkit"

    def open(self) -> Iterator[Sink]:
        """Open the sinks for these receivers.

        Yields:
            One sink after the other; they share one AvatarFaces.

        Raises:
            TrackerError: a sink cannot be opened.
        """
        faces = AvatarFaces()
        if self.openseeface is not None:
            yield OpenSeeFacePackets(self.openseeface, faces=faces)
        if self.vmc is not None:
            yield VmcMessages(self.vmc, self.vmc_shapes, faces)
        if self.opentrack is not None:
            yield OpenTrackPose(self.opentrack, faces)
