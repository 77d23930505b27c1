"""TrackerError, the error that a user can act on."""

import re
from collections.abc import Iterable

from tracker.cli.suggestions import suggest
from tracker.redaction import redact

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class TrackerError(Exception):
    """A user's mistake or a missing part: one sentence that says what was expected, what came and what to do.

    Command lines print the sentence alone and exit with status 2; applications catch the error. Passwords, such as
    those in URLs, and control characters are removed from the sentence.

    Args:
        sentence: the message.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(one_line(redact(sentence)))


def one_line(text: str) -> str:
    """Make a text that quotes a file printable: without line breaks, terminal control codes and lone surrogates."""
    return _CONTROL.sub(" ", text).encode("utf-8", "backslashreplace").decode()


def expect_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is not one of the choices.

    Args:
        what: the option, for the message.
        value: what was given.
        choices: the valid values.

    Raises:
        TrackerError: naming the choices, and the most similar one.
    """
    known = [*choices]
    if not isinstance(value, str) or value not in known:
        hint = suggest(value, known) if isinstance(value, str) else ""
        raise TrackerError(f"{what}: expected one of {', '.join(known)}, got {value!r}{hint}")
