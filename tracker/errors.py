"""The error a user can do something about."""

from tracker.redaction import redact


class TrackerError(Exception):
    """A user's mistake or a missing part: one sentence saying what was expected, what came, what to do.

    Command lines print the sentence alone and exit with status 2; applications catch it. Passwords in URLs and the like
    are taken out of the sentence.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(redact(sentence))
