from pathlib import Path

import numpy as np
import pytest

from benchmarks.label_accuracy import raw_and_removed
from benchmarks.model_errors import _read_groups, by_group, error_over_deviation, in_sigmas, leave_out_guesses
from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68


def test_groups_are_averaged_apart_and_a_common_offset_is_removed() -> None:
    errors = np.zeros((40, 68, 2))
    errors[..., 0] = 0.03
    errors[::2, :, 1] = 0.04
    groups = [{"side": "even" if face % 2 == 0 else "odd", "age": ""} for face in range(40)]
    found = by_group(errors, groups)
    assert found["side"]["even"]["mean_percent"] == pytest.approx(5)
    assert found["side"]["odd"]["mean_percent"] == pytest.approx(3)
    assert found["side"]["odd"]["faces"] == 20
    assert found["age"] == {}
    everyone = found["all"]["all"]
    assert everyone["mean_percent"] == pytest.approx(4)
    assert everyone["offset_removed_percent"] == pytest.approx(2)  # what is left is 0.02 up or down
    low, high = everyone["interval_95"]
    assert 3.6 < low < 4 < high < 4.4


def test_interval_of_equal_faces_is_a_point() -> None:
    found = by_group(np.full((9, 68, 2), 0.01), [{}] * 9)["all"]["all"]
    assert found["interval_95"] == pytest.approx([1.414, 1.414])


def test_guessed_points_do_not_count() -> None:
    errors = np.full((3, 68, 2), 0.03)
    errors[..., 1] = 0.04
    errors[0, [*range(9, 17), 40]] = 7.0
    errors[2] = 9.0
    notes = ["guess 9-16: outside the picture; a note; guess 40: shadow", "faint 3 4: no guess", "guess 0-67: dark"]
    kept = leave_out_guesses(errors, notes)
    assert np.isnan(kept).all(2).sum(1).tolist() == [9, 0, 68]
    assert set(raw_and_removed(kept, IBUG68)["raw_percent"].values()) == {5.0}
    found = by_group(kept, [{"side": "left"}, {"side": "right"}, {"side": "right"}])
    assert {name: group["faces"] for name, group in found["side"].items()} == {"left": 1, "right": 1}
    assert found["all"]["all"]["mean_percent"] == pytest.approx(5)
    with pytest.raises(TrackerError, match="each point to be no guess in one face at least"):
        leave_out_guesses(errors[2:], notes[2:])


def test_errors_in_sigmas() -> None:
    rng = np.random.default_rng(1)
    errors, roots = rng.normal(size=(9, 2)), rng.normal(size=(9, 2, 2))
    full = roots @ roots.transpose(0, 2, 1)
    expected = [np.sqrt(error @ np.linalg.solve(matrix, error)) for error, matrix in zip(errors, full)]
    np.testing.assert_allclose(in_sigmas(errors, full[:, [0, 0, 1], [0, 1, 1]]), expected, rtol=1e-9)


def test_deviations_that_are_too_small_are_found() -> None:
    sigmas = np.linalg.norm(np.random.default_rng(0).normal(size=(100, 68, 2)), axis=2)
    assert error_over_deviation(sigmas) == pytest.approx(1, abs=0.02)
    assert error_over_deviation(1.5 * sigmas) == pytest.approx(1.5, abs=0.03)
    sigmas[::20] *= 50
    assert error_over_deviation(sigmas) == pytest.approx(1, abs=0.05)


def test_a_table_is_found_by_the_pictures_name(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,age,race\na.jpg,3-9,x\nb,10-19,y\n")
    assert _read_groups(table) == {"a": {"age": "3-9", "race": "x"}, "b": {"age": "10-19", "race": "y"}}
    table.write_text("file\n")
    with pytest.raises(TrackerError, match="expected a table"):
        _read_groups(table)
    with pytest.raises(TrackerError, match="cannot be read"):
        _read_groups(tmp_path / "gone.csv")


def test_a_dot_in_a_name_begins_no_suffix(tmp_path: Path) -> None:
    """InfAnFace's tables name pictures like ads_1072.Still005.jpg without .jpg."""
    table = tmp_path / "flags.csv"
    table.write_text("name,turned\nads_1072.Still005,1.0\ngoogle2.JPG,0.0\na/b.Still1.png,1.0\n")
    assert [*_read_groups(table)] == ["ads_1072.Still005", "google2", "b.Still1"]
