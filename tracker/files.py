"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Write the file whole or not at all. Raises OSError.

    Who writes a file a frame names it by text: Python 3.12 never forgets a name that pathlib has parsed.
    """
    part = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
