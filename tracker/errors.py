"""The error a user can do something about."""


class TrackerError(Exception):
    """A user's mistake or a missing part: one sentence saying what was expected, what came, what to do.

    Command lines print the sentence alone and exit with status 2; applications catch it.
    """
