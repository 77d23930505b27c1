"""The provenance of a model, a YAML file of texts that is stored in the model's metadata."""

from __future__ import annotations

from pathlib import Path

import yaml

from tracker.cli.config_files import MOST_BYTES, expect_limits
from tracker.engines.spec import LONGEST_TEXT
from tracker.errors import TrackerError


def read_provenance(path: Path) -> dict[str, str]:
    """Read a mapping of names to texts, such as `labels: FaceMesh (Apache-2.0) by train.label`.

    Args:
        path: of the YAML file.

    Returns:
        The texts by name, with white space collapsed.

    Raises:
        TrackerError: if the file cannot be read, or is not a mapping to texts of at most LONGEST_TEXT characters each.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8")
        expect_limits(text)
        table = yaml.safe_load(text)
    except OSError as error:
        raise TrackerError(f"--provenance {path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise TrackerError(f"--provenance {path}: is not a YAML file: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(table, dict) or not table:
        raise TrackerError(f"--provenance {path}: expected lines such as `labels: where they come from`")
    for name, value in table.items():
        if not isinstance(name, str) or not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise TrackerError(
                f"--provenance {path}: expected a text of at most {LONGEST_TEXT} characters for {str(name)[:40]}; "
                "put it in quotes"
            )
    return {name: " ".join(value.split()) for name, value in table.items()}
