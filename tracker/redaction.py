"""Removes passwords and other secrets from everything that is shown, logged or written.

A URL keeps its scheme, host, port and path, a GStreamer pipeline its elements, any other text everything but the
values of names such as password or token. Text that cannot be distinguished from a secret is removed as well.
"""

from __future__ import annotations

import os
import re

HIDDEN = "***"
_SCHEME = re.compile(r"[A-Za-z][\w+.-]{0,40}://")  # bounded, to avoid quadratic time
_HOST = re.compile(r"(\[[\w:.%]*\]|[^:%\[\]\s]*)(:\d{1,5})?")
_PATH_ENDS = re.compile(r"[?#;=&|,\s\"'<>]|%3[fbd]|%2[36]", re.IGNORECASE)  # where parameters may begin, %-encoded too
_ENCODED = re.compile(r"[A-Za-z][\w+.-]{0,40}%3A%2F%2F\S*", re.IGNORECASE)  # a %-encoded URL
_ELEMENT = re.compile(r"[A-Za-z][\w-]*")
_NAMES = (
    "pass|password|passwd|passphrase|passcode|pwd|pw|user-?pw|proxy-?pw|pin|token|secret|credentials?|api-?key|key|"
    "auth|authorization|sig|signature|session|session-?id|sid|cookies?|user-?id|proxy-?id|user-?name|user|usr|login|"
    "jwt|otp"
)
_ENDINGS = "password|passwd|passphrase|token|secret|api-?key|access-?key|signature|credentials?"
"""Endings of names that mark a secret, as in PGPASSWORD."""
_NAME = rf"(?:(?<![A-Za-z])(?:{_NAMES})|(?:{_ENDINGS}))".replace("-?", "[-_]?")
_VALUE = r"""(?!\*\*\*)(?:\(\w+\)\s*)?(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\S+)"""
_ASSIGNED = re.compile(rf"({_NAME}[\"']?\s*=\s*){_VALUE}", re.IGNORECASE)
_STATED = re.compile(  # as in YAML, JSON and headers
    r"((?:pass(?:word|wd|phrase)|\bpwd|user[-_]?pw|token|secret|(?:api|access)[-_]?key)"
    rf"(?:[\"']\s*:\s*|\s*:\s+|:(?!//))|\bBearer\s+){_VALUE}",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(\b(?:authorization|set-cookie)[\"']?\s*[:=])[^\n]*", re.IGNORECASE)
_QUERY = re.compile(r"\?[^\s?]*=\S*")
_LOGIN = re.compile(r"^[^:]*:.*@", re.DOTALL)  # of one word
_DRIVE = re.compile(r"\W*[A-Za-z]:[\\/]")
_MOST_PASSES = 5  # the rest of a URL may look like a part of another one
_SPACED_LOGIN = re.compile(r"(://)[^\s/@:\[]+:(?!\d{1,5}\b)[^\s@]*\s[^@\n]*@\S*")  # a password with a space


def redact(text: str) -> str:
    """Remove the secrets from a text such as a message. The function is idempotent."""
    for _ in range(_MOST_PASSES):
        before, text = text, _redact_once(text)
        if text == before:
            break
    return text


def _redact_once(text: str) -> str:
    text = _ENCODED.sub(HIDDEN, text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _STATED.sub(rf"\1{HIDDEN}", text)
    text = _SPACED_LOGIN.sub(rf"\1{HIDDEN}", text)
    text = _ASSIGNED.sub(_hide_unless_in_a_url, text)  # before a value with ":" and "@" is taken for a login
    text = re.sub(r"\S+", lambda word: _word(word[0]), text)
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def _hide_unless_in_a_url(assigned: re.Match[str]) -> str:
    """Hide the value of name=value, unless its word begins as a URL or a login, which are treated as a whole."""
    word = re.split(r"\s", assigned.string[: assigned.start()])[-1]
    return assigned[0] if ":" in word else f"{assigned[1]}{HIDDEN}"


def redact_source(source: str) -> str:
    """Remove the secrets from a source or an address that a user gave.

    Args:
        source: a URL, a GStreamer pipeline, or any other text, without a sentence around it: it may hold spaces.
    """
    if re.search(r"(^|\s)!(\s|$)", source):
        return _pipeline(source)
    match = _SCHEME.search(source)
    return redact(source) if match is None else match[0] + _after_scheme(source[match.end() :])


def redact_arguments(text: str, arguments: list[str]) -> str:
    """A message about these arguments of a command line, which it may quote, without their secrets."""
    for argument in sorted(arguments, key=len, reverse=True):
        for part in (argument, argument.partition("=")[2]):
            shown = redact_source(part)
            if part and shown != part:
                for quoted in (part, repr(part)[1:-1], " ".join(part.split())):
                    text = text.replace(quoted, shown)
    return redact(text)


def _word(word: str) -> str:
    """Remove the secrets from one word of a text, and from what stands before a URL in it."""
    match = _SCHEME.search(word)
    if match is not None:
        return redact(word[: match.start()]) + match[0] + _after_scheme(word[match.end() :])
    if not (os.name == "nt" and _DRIVE.match(word)):  # on Windows it is a file
        word = _LOGIN.sub("", word)
    return _QUERY.sub(f"?{HIDDEN}", word)


def _after_scheme(rest: str) -> str:
    """Return host, port and path; only HIDDEN if a password and the host cannot be distinguished."""
    login, at, rest = rest.rpartition("@")
    if at and re.search(r"[?#;=]", login):
        return HIDDEN
    end = _PATH_ENDS.search(rest)
    shown = rest if end is None else rest[: end.start()]
    if not _HOST.fullmatch(shown.partition("/")[0].rstrip(":).")):
        return HIDDEN
    if end is None:
        return shown
    closing = rest[end.start() :]
    return shown + closing if re.fullmatch(r"[\"'<>,;]+[.:)]*", closing) else f"{shown}?{HIDDEN}"


def _pipeline(pipeline: str) -> str:
    """Return only the elements of a GStreamer pipeline, because any property may hold a secret."""
    bare = re.sub(r"\\.", "", pipeline, flags=re.DOTALL)
    bare = re.sub(r"\"[^\"]*\"?|'[^']*'?", "", bare)
    firsts = (part.split()[:1] for part in re.split(r"(?:^|\s)!(?=\s|$)", bare))
    return " ! ".join(first[0] if first and _ELEMENT.fullmatch(first[0]) else HIDDEN for first in firsts)
