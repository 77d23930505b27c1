from pathlib import Path

import numpy as np
import pytest

from benchmarks.model_errors import _read_groups, by_group
from tracker.errors import TrackerError


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


def test_a_table_is_found_by_the_pictures_name(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,age,race\na.jpg,3-9,x\nb,10-19,y\n")
    assert _read_groups(table) == {"a": {"age": "3-9", "race": "x"}, "b": {"age": "10-19", "race": "y"}}
    table.write_text("file\n")
    with pytest.raises(TrackerError, match="expected a table"):
        _read_groups(table)
    with pytest.raises(TrackerError, match="cannot be read"):
        _read_groups(tmp_path / "gone.csv")
