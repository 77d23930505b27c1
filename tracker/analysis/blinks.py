"""When the eyes of one face are closed: blinks, longer closures, and lowered lids that may be a look down.

What counts as closed is a share of the person's own open eyes. A closed eye and one that looks down measure the same
height. Two things tell a closure: it is as short as a blink, or the lower lid rises, as it does when the eye is
squeezed. Lids that stay down longer with the lower one at rest are "untold": closed, or looking down.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, NamedTuple

import numpy as np

from tracker.analysis.expression import eye_opening, lower_lid_depth
from tracker.face.landmarks import Landmarks

EyeState = Literal["open", "closed", "untold"]

# A closure begins below the first share of this person's open eyes and ends above the second. Chosen on six clips with
# nine closures labelled by eye (use "choose" in benchmarks/eye_labels): 0.70 to 0.75 miss none by one model and one by
# another, and find none falsely; the lowest, since smiles and squints narrow the eyes. Below 0.70 more are missed.
CLOSED_BELOW, OPEN_ABOVE = 0.70, 0.75
LID_RAISED = 0.75
"""The lower lid is raised where its depth below the corners is less than this share of its usual depth. In blinks of
the same clips it is about half of it."""

FALL_TO, FALL_S = 0.80, 0.3
"""Lids that close fall below this share of where they were in the last FALL_S; squints and smiles are slower. With it
one of the nine closures, which a squint follows, is untold."""

BLINK_S = 0.5
"""Lids that are down for longer are no blink."""

TYPICAL_OPENING = 0.30
"""Of a face that has just appeared, as if seen so for PRIOR_SAMPLES: its eyes may be closed, or narrow. Lids that are
low by this and not by the person's own openings are untold."""

LEVEL_S, LEVEL_QUANTILE = 60.0, 0.7
"""The level of the open eyes is this quantile of the openings in so many seconds: the eyes may be closed for two
fifths of the time without lowering it, and a wide look does not raise it."""

SAMPLE_S = 0.1
PRIOR_SAMPLES = KNOWN_SAMPLES = 50
STUCK_S = 30.0
"""While the eyes are closed their openings are left out of the level, once KNOWN_SAMPLES of open eyes were seen; but
not longer than this: then the face has changed, its distance or its light."""

GAP_S = 0.5
"""A closure is forgotten when the face was not seen for longer."""


class Blink(NamedTuple):
    """The lids were down from start_s on for duration_s. A blink takes 0.1 to 0.4 s; a longer one is a closure.

    told: False where the lids were down for longer than a blink and their shape does not tell a closed eye from one
    that looks down.
    """

    start_s: float
    duration_s: float
    told: bool = True


class Blinks:
    """Blinks of one face, from its landmarks frame by frame; one object for each face id.

    Frames may come at any rate; a blink that falls between two of them is not seen. Narrow eyes may count as untold in
    about the first 15 s, until their level is known. Eyes that stay closed for longer than about 50 s count as open
    again.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next landmarks are another person's."""
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
        """How far the eyes are open: 1 as usual for this person, about 0.5 closed; nan before the first step."""
        return self._opening

    @property
    def since_s(self) -> float | None:
        """When the lids that are down now went down; None while the eyes are open."""
        return self._from_s

    @property
    def state(self) -> EyeState:
        """What the eyes are now; lids that are down count as closed while that may be a blink."""
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
            landmarks: raw ones, with six points around each eye: face.raw.
            timestamp_s: seconds. A time that stands still or runs back is left out.

        Returns:
            The blink or closure that ends with these landmarks.

        Raises:
            TrackerError: for another scheme, as eye_opening does.
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
        """Add to the samples of the open eyes, and find their level anew."""
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
