"""Detects when the eyes of one face are closed: blinks, longer closures, and lowered lids that may be a look down.

"Closed" is relative to the opening of the person's own open eyes. A closed eye and an eye that looks down have the same
measured height. Two signs distinguish a closure: it is as short as a blink, or the lower lid rises, as it does when
the eye is squeezed shut. If the lids stay down longer and the lower lid does not rise, the state is "untold" (not
decided): closed, or looking down.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, NamedTuple

import numpy as np

from tracker.analysis.expression import eye_opening, lower_lid_depth
from tracker.face.landmarks import Landmarks

EyeState = Literal["open", "closed", "untold"]

# A closure begins below the first fraction of this person's usual opening and ends above the second. Chosen on six
# clips with nine closures labelled by eye (use "choose" in benchmarks/eye_labels): with 0.70 to 0.75 one model misses
# none and the other one, without false alarms; below 0.70 more are missed. The lowest of these is taken, because smiles
# and squints narrow the eyes, too.
CLOSED_BELOW, OPEN_ABOVE = 0.70, 0.75
LID_RAISED = 0.75
"""The lower lid is raised if its depth below the eye corners is less than this fraction of its usual depth. In the
blinks of the same clips it is about half of the usual depth."""

FALL_TO, FALL_S = 0.80, 0.3
"""Lids that close fall below this fraction of their highest opening in the last FALL_S; squints and smiles are slower.
With this condition, one of the nine closures, which is followed by a squint, is untold."""

BLINK_S = 0.5
"""Lids that are down for longer are not a blink."""

TYPICAL_OPENING = 0.30
"""The opening assumed for a face that has just appeared, with the weight of PRIOR_SAMPLES samples, because its eyes may
be closed or narrow. Lids that are low by this value but not by the person's own openings are untold."""

LEVEL_S, LEVEL_QUANTILE = 60.0, 0.7
"""The usual opening is this quantile of the openings in the last LEVEL_S seconds: it does not fall if the eyes are
closed for up to 40 % of the time, and does not rise if they are opened wide for a moment."""

SAMPLE_S = 0.1
PRIOR_SAMPLES = KNOWN_SAMPLES = 50
STUCK_S = 30.0
"""While the eyes are closed, their openings do not count for the usual opening, once KNOWN_SAMPLES of open eyes were
seen. After this time they count again: then the distance or the light of the face has probably changed."""

GAP_S = 0.5
"""A closure is dropped if the face was not seen for longer than this."""


class Blink(NamedTuple):
    """A time during which the lids were down. A blink takes 0.1 to 0.4 s; if it is longer, it is a closure.

    Attributes:
        start_s: when the lids went down, in seconds.
        duration_s: how long they were down, in seconds.
        told: False if the lids were down for longer than a blink and it is not known whether the eyes were closed or
            looked down.
    """

    start_s: float
    duration_s: float
    told: bool = True


class Blinks:
    """Detects the blinks of one face from its landmarks, frame by frame. Make one object for each face id.

    Any frame rate will do, but a blink between two frames is not seen. In about the first 15 s, narrow eyes may count
    as untold, until their usual opening is known. Eyes that stay closed for more than about 50 s count as open again.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, to go on with another person."""
        self._samples: deque[tuple[float, float, float]] = deque()  # time, opening, depth of the lower lid
        self._level = self._own_level = self._depth = math.nan
        self._open_count = 0
        self._first_s = math.inf
        self._seen_s = -math.inf
        self._from_s: float | None = None
        self._raised_s, self._low = 0.0, False
        self._recent: deque[tuple[float, float]] = deque()  # time and opening, of the last FALL_S
        self._before = math.nan
        self._opening = math.nan

    @property
    def opening(self) -> float:
        """How far the eyes are open: 1 is usual for this person, about 0.5 is closed; nan before the first step."""
        return self._opening

    @property
    def since_s(self) -> float | None:
        """When the lids went down, in seconds; None while the eyes are open."""
        return self._from_s

    @property
    def state(self) -> EyeState:
        """The current state; lids that are down count as closed as long as it may be a blink."""
        if self._from_s is None:
            return "open"
        return "closed" if self._told(self._seen_s - self._from_s) else "untold"

    @property
    def closed(self) -> bool:
        """Whether the eyes are closed now."""
        return self.state == "closed"

    def step(self, landmarks: Landmarks, timestamp_s: float) -> Blink | None:
        """Take the next frame.

        Args:
            landmarks: raw landmarks (face.raw), with six points around each eye.
            timestamp_s: time of the frame in seconds. A frame that is not later than the last one is ignored.

        Returns:
            The blink or closure that ends in this frame, or None.

        Raises:
            TrackerError: the scheme has no six points around each eye.
        """
        right, left = eye_opening(landmarks)
        ratio, passed_s = (right.ratio + left.ratio) / 2, timestamp_s - self._seen_s
        if not (passed_s > 0 and ratio >= 0):
            return None
        depth = lower_lid_depth(landmarks)
        self._seen_s = timestamp_s
        self._first_s = min(self._first_s, timestamp_s)
        if passed_s > GAP_S:
            self._from_s = None
        self._learn(ratio, depth, timestamp_s)
        self._recent.append((timestamp_s, ratio))
        while self._recent[0][0] < timestamp_s - FALL_S:
            self._recent.popleft()
        self._opening = ratio / self._level
        if self._from_s is None:
            if self._opening >= CLOSED_BELOW:
                return None
            self._from_s, self._raised_s, self._low = timestamp_s, 0.0, False
            self._before = max(each for _, each in self._recent)
        elif self._opening >= OPEN_ABOVE:
            lasted_s = timestamp_s - self._from_s
            blink = Blink(self._from_s, lasted_s, self._told(lasted_s))
            self._from_s = None
            return blink
        elif self._open_count >= KNOWN_SAMPLES and depth < LID_RAISED * self._depth:
            self._raised_s += passed_s
        self._low |= ratio < min(CLOSED_BELOW * self._own_level, FALL_TO * self._before)
        return None

    def _told(self, lasted_s: float) -> bool:
        return self._low and (lasted_s <= BLINK_S or self._raised_s >= lasted_s / 2)

    def _learn(self, ratio: float, depth: float, timestamp_s: float) -> None:
        """Add a sample of the open eyes and update the usual opening."""
        samples = self._samples
        if samples and timestamp_s - samples[-1][0] < SAMPLE_S:
            return
        shut_s = 0.0 if self._from_s is None else timestamp_s - self._from_s
        if self._from_s is not None and self._open_count >= KNOWN_SAMPLES and shut_s < STUCK_S:
            return
        self._open_count += self._from_s is None
        samples.append((timestamp_s, ratio, depth))
        while samples[0][0] < timestamp_s - LEVEL_S:
            samples.popleft()
        openings, depths = np.array(samples)[:, 1:].T
        self._own_level = self._level = float(np.quantile(openings, LEVEL_QUANTILE))
        self._depth = float(np.median(depths))
        if timestamp_s - self._first_s < LEVEL_S:
            with_prior = np.concatenate([openings, np.full(PRIOR_SAMPLES, TYPICAL_OPENING)])
            self._level = max(self._level, float(np.quantile(with_prior, LEVEL_QUANTILE)))
