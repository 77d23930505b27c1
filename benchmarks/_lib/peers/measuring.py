"""Runs systems over the same frames, in turns, and gathers what they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks._lib.peers.figures import ClipTracks, Track, convert, figures, nearest_face
from benchmarks._lib.peers.frames import FrameSet, blocks
from benchmarks._lib.peers.process import Answer, Block, PeerError
from benchmarks._lib.peers.systems import Running, System
from tracker.errors import TrackerError
from tracker.face.geometry import Array


def measure(frames: FrameSet, systems: Sequence[System]) -> dict[str, Any]:
    """Measure systems on a set of frames.

    Each block of frames goes to each system in turn, and the order of the systems changes from block to block. Before
    the first block each has it once to warm up, which counts nowhere.

    Args:
        frames: what to look at.
        systems: whom to ask; one that fails is not measured, and the others go on.

    Returns:
        The record of the set: figures by number of points and system, what each system says of itself, and why others
        are missing.

    Raises:
        TrackerError: if one of our models fails, or there is no frame.
    """
    session = _Session(frames, systems)
    try:
        session.run()
    finally:
        session.close()
    if not any(clip.truths for clip in session.clips):
        raise TrackerError(f"{frames.name}: expected frames, there are none")
    return {
        "about": frames.about,
        "still": frames.still,
        "tables": session.tables(),
        "systems": {system.name: running.about for system, running in session.running.items()},
        "not_measured": session.reasons,
    }


class _Session:
    """Systems that are running, and what they have given. reasons: why others are not measured, by name."""

    def __init__(self, frames: FrameSet, systems: Sequence[System]) -> None:
        self._frames = frames
        self._systems = systems
        self.running: dict[System, Running] = {}
        self.reasons: dict[str, str] = {}
        self.clips: list[ClipTracks] = []

    def run(self) -> None:
        for system in self._systems:
            with self._or_leave_out(system):
                _expect_fit(system, self._frames)
                self.running[system] = system.start()
        for clip in self._frames.clips:
            self.clips.append(ClipTracks(clip.fps))
            for turn, (block, truths) in enumerate(blocks(self._frames.name, self._frames.still, clip)):
                if len(self.clips) == 1 and turn == 0:
                    self._warm_up(replace(block, clip="warm-up"))
                self.clips[-1].truths += truths
                self._turn(turn, block, truths)

    def tables(self) -> dict[str, dict[str, Any]]:
        """The figures by number of points: the most points, and the most that the most systems have."""
        able = {
            number: [system for system in self.running if (system.numbers[list(indices)] >= 0).all()]
            for number, indices in self._frames.sets.items()
        }
        chosen = dict.fromkeys([next((n for n in able if able[n]), None), max(able, key=lambda n: len(able[n]))])
        return {
            str(number): figures(
                self.clips,
                [system.name + end for system in able[number] for end in self._outputs(system).values()],
                self._frames.sets[number],
                self._frames.still,
            )
            for number in chosen
            if number is not None and able[number]
        }

    def close(self) -> None:
        for running in self.running.values():
            running.close()

    def _warm_up(self, block: Block) -> None:
        for system in [*self.running]:
            with self._or_leave_out(system):
                self.running[system].step(block)

    def _turn(self, turn: int, block: Block, truths: Sequence[Array]) -> None:
        order = [*self.running]
        shift = turn % max(1, len(order))
        for system in order[shift:] + order[:shift]:
            with self._or_leave_out(system):
                answers = self.running[system].step(block)
                for output, end in self._outputs(system).items():
                    track = self.clips[-1].tracks.setdefault(system.name + end, Track())
                    track.points += [_points(system, one, output, truth) for one, truth in zip(answers, truths)]
                    track.ms += [answer.ms for answer in answers]
                    track.turns.append(len(answers))

    def _outputs(self, system: System) -> Mapping[str, str]:
        return {"": ""} if self._frames.still else system.outputs

    @contextmanager
    def _or_leave_out(self, system: System) -> Iterator[None]:
        """End a peer that cannot be measured and note why; a failure of ours ends the run."""
        try:
            yield
        except PeerError as error:
            if system.ours:
                raise
            self.reasons[system.name] = str(error)
            if system in self.running:
                self.running.pop(system).close()


def _expect_fit(system: System, frames: FrameSet) -> None:
    if frames.still and not system.stills:
        raise PeerError(f"{system.name} has no mode for single pictures")
    if system.clip not in (None, frames.name):
        raise PeerError(f"the points of {system.name} are those of another clip")


def _points(system: System, answer: Answer, output: str, truth: Array) -> Array:
    faces = answer.faces[output]
    if faces and min(map(len, faces)) <= (most := int(system.numbers.max())):
        raise PeerError(f"{system.name}: expected {most + 1} points in a face, got {min(map(len, faces))}")
    return nearest_face([convert(points, system.numbers, system.shift_px) for points in faces], truth)
