"""The error a user can do something about."""

import re
from collections.abc import Iterable

from tracker.redaction import redact

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class TrackerError(Exception):
    """A user's mistake or a missing part: one sentence saying what was expected, what came, what to do.

    Command lines print the sentence alone and exit with status 2; applications catch it. Passwords in URLs and the like
    are taken out of the sentence, and what cannot be printed in one line.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(one_line(redact(sentence)))


def one_line(text: str) -> str:
    """A text that can be printed anywhere, whatever it quotes of a file: without line breaks, codes that steer a
    terminal, and halves of characters."""
    return _CONTROL.sub(" ", text).encode("utf-8", "backslashreplace").decode()


def expect_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Raise TrackerError, naming the choices, for a value that is none of them."""
    known = [*choices]
    if not isinstance(value, str) or value not in known:
        raise TrackerError(f"{what}: expected one of {', '.join(known)}, got {value!r}")
