"""Eyes and mouth: known shapes give known openings, errors are those of many draws, blinks are told from the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tracker import Blink, Blinks, Tracker, TrackerError, convert, eye_opening, mouth_opening
from tracker.face.geometry import Array, flip_points, similarity, transform_points
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import COFW29, IBUG49, IBUG51, IBUG68, WFLW98


def face_with(eyes: float = 0.3, mouth: float = 0.2, left: float | None = None) -> Array:
    """(68, 2) eyes 30 px wide and a mouth 40 px wide, open by those shares; the other points at 0."""
    points = np.zeros((68, 2))
    for first, x, ratio in ((36, 0, eyes), (42, 60, eyes if left is None else left)):
        points[first : first + 6, 0] = x + np.array([0, 10, 20, 30, 20, 10])
        points[first : first + 6, 1] = 30 * ratio / 2 * np.array([0, -1, -1, 0, 1, 1])
    points[60:68, 0] = 25 + np.array([0, 10, 20, 30, 40, 30, 20, 10])
    points[60:68, 1] = 80 + 40 * mouth / 2 * np.array([0, -1, -1, -1, 0, 1, 1, 1])
    return points


def labelled(points_px: Array) -> Landmarks:
    return Landmarks.from_points(points_px, IBUG68)


def test_known_openings() -> None:
    face = labelled(face_with(eyes=0.25, left=0.4, mouth=0.6))
    assert [opening.ratio for opening in eye_opening(face)] == pytest.approx([0.25, 0.4])
    assert mouth_opening(face).ratio == pytest.approx(0.6)
    assert [opening.error for opening in (*eye_opening(face), mouth_opening(face))] == [0, 0, 0]


def test_the_formula_is_the_papers(face68: Array) -> None:
    """Soukupova & Cech, eq. 1, with p1 .. p6 around each eye, on a real face."""
    for first, opening in zip((36, 42), eye_opening(labelled(face68))):
        p1, p2, p3, p4, p5, p6 = face68[first : first + 6]
        paper = (math.dist(p2, p6) + math.dist(p3, p5)) / (2 * math.dist(p1, p4))
        assert opening.ratio == pytest.approx(paper)


def test_closed_and_degenerate() -> None:
    assert [opening.ratio for opening in eye_opening(labelled(face_with(eyes=0)))] == [0, 0]
    assert all(math.isnan(opening.ratio) for opening in eye_opening(labelled(np.zeros((68, 2)))))
    assert Blinks().step(labelled(np.zeros((68, 2))), 0.0) is None


@given(scale=st.floats(0.1, 9), turn=st.floats(-3, 3), eyes=st.floats(0, 0.6), left=st.floats(0, 0.6))
def test_size_roll_and_mirror_do_not_matter(scale: float, turn: float, eyes: float, left: float) -> None:
    points = face_with(eyes, 0.3, left)
    moved = labelled(transform_points(similarity(scale, turn, (3, 4), (50, -6)), points))
    assert [o.ratio for o in (*eye_opening(moved), mouth_opening(moved))] == pytest.approx([eyes, left, 0.3], abs=1e-9)
    mirrored = labelled(flip_points(points, 100, IBUG68.flip))
    assert [o.ratio for o in (*eye_opening(mirrored), mouth_opening(mirrored))] == pytest.approx([left, eyes, 0.3])


def test_errors_are_those_of_many_draws() -> None:
    rng, points = np.random.default_rng(0), face_with()
    xx, yy = rng.uniform(0.05, 0.3, (2, 68))
    covariances = np.stack([xx, rng.uniform(-0.9, 0.9, 68) * np.sqrt(xx * yy), yy], 1)
    factors = np.linalg.cholesky(covariances[:, [0, 1, 1, 2]].reshape(68, 2, 2))
    draws = points + (factors @ rng.normal(0, 1, (1500, 68, 2, 1)))[..., 0]
    drawn = [[o.ratio for o in (*eye_opening(labelled(d)), mouth_opening(labelled(d)))] for d in draws]
    face = Landmarks(points, np.ones(68), covariances, IBUG68)
    stated = [o.error for o in (*eye_opening(face), mouth_opening(face))]
    assert stated == pytest.approx(np.std(drawn, axis=0), rel=0.08)


def test_schemes() -> None:
    face = labelled(face_with())
    assert eye_opening(convert(face, IBUG49)) == eye_opening(convert(face, IBUG51)) == eye_opening(face)
    assert mouth_opening(convert(face, IBUG51)) == mouth_opening(face)
    with pytest.raises(TrackerError, match=r"expected landmarks with 8 points around the inner_lips.*got ibug49"):
        mouth_opening(convert(face, IBUG49))
    for scheme in (COFW29, WFLW98):
        with pytest.raises(TrackerError, match=f"6 points around the right_eye.*got {scheme.name}"):
            eye_opening(Landmarks.from_points(np.zeros((scheme.count, 2)), scheme))


def blinks_of(
    ratios: Iterable[float], fps: float = 25.0, found: Blinks | None = None, start_s: float = 0
) -> list[Blink]:
    found = found or Blinks()
    steps = (found.step(labelled(face_with(eyes=ratio)), start_s + i / fps) for i, ratio in enumerate(ratios))
    return [blink for blink in steps if blink]


@settings(max_examples=40)
@given(
    open_ratio=st.floats(0.2, 0.5),
    fps=st.sampled_from((15.0, 25.0, 30.0, 60.0)),
    start=st.floats(0.3, 2),
    lasts=st.floats(0.14, 0.4),
    noise=st.integers(0, 99),
)
def test_a_blink_is_found_at_any_rate_and_opening(
    open_ratio: float, fps: float, start: float, lasts: float, noise: int
) -> None:
    """Eyes half closed for a while, with as much noise as a still face has: one event, to the frame."""
    seconds = np.arange(round(3 * fps)) / fps
    shares = np.where((seconds >= start) & (seconds < start + lasts), 0.5, 1)
    ratios = open_ratio * (shares + np.random.default_rng(noise).normal(0, 0.03, len(shares)))
    (blink,) = blinks_of(ratios, fps)
    assert 0 <= blink.start_s - start < 1 / fps + 1e-9
    assert abs(blink.duration_s - lasts) < 1 / fps + 1e-9


@settings(max_examples=30)
@given(level=st.floats(0.2, 0.5), share=st.floats(0.3, 1))
def test_a_squint_is_no_blink(level: float, share: float) -> None:
    """Seven tenths of the open eyes divide the two; the level falls by 4 % of the way in the .4 s that it takes."""
    assume(not 0.68 < share < 0.7)
    assert len(blinks_of(level * np.array([1.0] * 10 + [share] * 10 + [1.0] * 5))) == (share < 0.7)


def test_closed_is_told_while_it_lasts() -> None:
    found = Blinks()
    assert blinks_of([0.3] * 10 + [0.15] * 5, found=found) == [] and found.closed
    assert blinks_of([0.3], found=found, start_s=0.6) == [Blink(pytest.approx(0.4), pytest.approx(0.2))]  # type: ignore[arg-type]
    assert not found.closed


def test_who_begins_with_closed_eyes_is_learned() -> None:
    """Opening is no blink; the first one after it is found."""
    assert len(blinks_of([0.15] * 25 + [0.3] * 25 + [0.15] * 4 + [0.3] * 10)) == 1


def test_a_gap_or_another_face_ends_no_blink() -> None:
    found = Blinks()
    blinks_of([0.3] * 10 + [0.15] * 3, found=found)
    assert blinks_of([0.3] * 5, found=found, start_s=2) == [] and not found.closed
    blinks_of([0.15] * 3, found=found, start_s=3)
    found.reset()
    assert not found.closed
    assert blinks_of([0.15] * 50, found=found, start_s=1) == []  # narrow eyes, and a clock that began anew


def test_time_that_stands_still_or_runs_back_is_left_out() -> None:
    found = Blinks()
    blinks_of([0.3] * 10, found=found)
    for late in (0.36, 0.2, -1.0):
        assert found.step(labelled(face_with(eyes=0.1)), late) is None
    assert not found.closed


@pytest.mark.parametrize(("clip", "closed_frames"), [("lbax4n.mpg", [(27, 31)]), ("bbaf2n.mpg", [(43, 46), (51, 57)])])
def test_real_blinks(shared: Path, clip: str, closed_frames: list[tuple[int, int]]) -> None:
    """Seen by eye in the pictures: from the first frame with the lids over the pupils to the first without."""
    found = Blinks()
    results = Tracker(max_faces=1).run(shared / "data/video/clips" / clip)
    steps = [found.step(face.raw, result.timestamp_s) for result in results for face in result.faces]
    blinks = [(25 * b.start_s, 25 * (b.start_s + b.duration_s)) for b in steps if b]
    assert blinks == [(pytest.approx(a, abs=1.5), pytest.approx(b, abs=4)) for a, b in closed_frames]
