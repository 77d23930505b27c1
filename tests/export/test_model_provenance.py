from pathlib import Path

import pytest

from export.provenance import read_provenance
from tracker.errors import TrackerError


def test_texts_by_name(tmp_path: Path) -> None:
    file = tmp_path / "chain.yaml"
    file.write_text("pictures: FairFace (CC BY 4.0)\nlabels: >\n  by FaceMesh\n  (Apache-2.0)\n")
    assert read_provenance(file) == {"pictures": "FairFace (CC BY 4.0)", "labels": "by FaceMesh (Apache-2.0)"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected lines such as"),
        (b"just a text", "expected lines such as"),
        (b"- a\n- b", "expected lines such as"),
        (b"date: 2026-11-29", "expected a text"),
        (b"a: {b: c}", "expected a text"),
        (b"1: text", "expected a text"),
        (b"a: " + b"x" * 10_001, "expected a text"),
        (b"a: &a [*a]", "is not a YAML file"),
        (b"a: [", "is not a YAML file"),
        (b"\xff\xfe", "is not a YAML file"),
        (b"a: !!python/object/apply:os.system [id]", "is not a YAML file"),
    ],
)
def test_anything_else_is_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "chain.yaml"
    file.write_bytes(content)
    with pytest.raises(TrackerError) as error:
        read_provenance(file)
    assert words in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"--provenance .*: cannot be read: No such file"):
        read_provenance(tmp_path / "gone.yaml")
