"""Secrets in URLs, pipelines and addresses never come out, wherever they stand; what helps a reader stays."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.redaction import redact, redact_arguments, redact_source

PIECES = st.text("abXY019-_.~", min_size=3, max_size=8).map(lambda text: f"Q{text}Q")
"""What a secret is made of, between characters that have a meaning in a URL."""
SECRETS = st.lists(PIECES, min_size=1, max_size=3).flatmap(
    lambda pieces: st.tuples(st.just(pieces), st.lists(st.sampled_from("@/:?#;=&%!$,'\"+*\\"), min_size=2, max_size=2))
)
HOSTS = st.sampled_from(["127.0.0.1", "127.0.0.1:9", "cam.local:554", "[::1]:8554", "[fe80::1%eth0]"])
SCHEMES = st.sampled_from(["rtsp", "http", "https", "rtmp", "srt", "cache:rtsp", "RTSP"])
SECRET_NAMES = ["pwd", "password", "pass", "passwd", "token", "key", "api_key", "auth", "signature", "sig", "PASSWORD"]
SECRET_NAMES += ["X-Amz-Signature", "access_token", "session", "sid", "user-pw"]


def joined(secret: tuple[list[str], list[str]]) -> str:
    pieces, between = secret
    return "".join(piece + mark for piece, mark in zip(pieces, [*between, ""])) if len(pieces) > 1 else pieces[0]


def leaks(text: str, secret: tuple[list[str], list[str]]) -> bool:
    return any(piece in text for piece in secret[0])


def in_sentences(source: str) -> list[str]:
    return [
        redact_source(source),
        redact(f"{source} could not be opened: is it running?"),
        redact(f"expected a video file, but {source} does not exist"),
        redact(f'Option "{source}" is not known'),
        redact(f"--video={source}"),
        str(TrackerError(f"no stream at {source}")),
        redact_arguments(f"unknown: {source!r}", [f"--vide={source}"]),
        redact_arguments(f"unknown: {source}", ["--vide", source]),
    ]


@given(SCHEMES, SECRETS, HOSTS, st.sampled_from(["", "/", "/stream1", "/a/b.mp4"]))
def test_passwords_before_a_host(scheme: str, secret: tuple[list[str], list[str]], host: str, path: str) -> None:
    for shown in in_sentences(f"{scheme}://anna:{joined(secret)}@{host}{path}"):
        assert not leaks(shown, secret)


@given(SCHEMES, st.sampled_from([*SECRET_NAMES, "anything", "u"]), SECRETS, HOSTS)
def test_values_in_a_query(scheme: str, name: str, secret: tuple[list[str], list[str]], host: str) -> None:
    for shown in in_sentences(f"{scheme}://{host}/video.cgi?channel=1&{name}={joined(secret)}&x=1"):
        assert not leaks(shown, secret)


@given(SECRETS, HOSTS)
def test_values_in_a_path_and_a_fragment(secret: tuple[list[str], list[str]], host: str) -> None:
    for text in (f"rtsp://{host}/user=anna_password={joined(secret)}_channel=1", f"http://{host}/a#{joined(secret)}"):
        for shown in in_sentences(text):
            assert not leaks(shown, secret)


def test_a_password_with_a_space() -> None:
    for shown in in_sentences("rtsp://anna:SEC RET@cam.local/x"):
        assert "SEC" not in shown and "RET" not in shown


@given(SECRETS, HOSTS)
def test_addresses_without_a_scheme(secret: tuple[list[str], list[str]], host: str) -> None:
    for shown in in_sentences(f"anna:{joined(secret)}@{host}"):
        assert not leaks(shown, secret)


def test_a_value_that_looks_like_a_login() -> None:
    for text in ("pwd=Q1:Q2@Q3 x", "pwd='Q1:Q2@Q3 Q4' x", 'x,token="Q1:Q2@Q3 Q4"'):
        assert "Q" not in redact(text), text


@given(st.sampled_from(SECRET_NAMES), SECRETS)
def test_values_of_names(name: str, secret: tuple[list[str], list[str]]) -> None:
    value = joined(secret)
    for text in (
        f"{name}={value} x",
        f"user-{name} = {value}",
        f"x,{name}={value}",
        f"rtspsrc {name}={value} ! appsink",
    ):
        assert not leaks(redact(text), secret), text
    spaced = " ".join(secret[0])
    for text in (f'{name}="{spaced}" x', f"{name}='{spaced}'", f'{name}=(string)"{spaced}"'):
        assert not leaks(redact(text), secret), text


@given(SECRETS, st.sampled_from(["user-pw", "user-id", "location", "proxy-pw", "extra-headers", "anything"]))
def test_properties_of_a_pipeline(secret: tuple[list[str], list[str]], name: str) -> None:
    value = " ! ".join(secret[0])
    for given_as in (f'"{value}"', f"'{value}'", f'(string)"{value}"', value.replace(" ", "\\ "), joined(secret)):
        shown = redact_source(f"rtspsrc {name}={given_as} latency=0 ! decodebin ! appsink")
        assert not leaks(shown, secret)
        assert re.fullmatch(r"rtspsrc ! .*appsink|rtspsrc( ! \S+)*", shown)


@given(st.text(max_size=60))
def test_twice_is_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.lists(st.sampled_from(["rtsp://", "a:", "b@", "c", "/", "?", "=", " ", "token", "***", "'", '"', "!", ":"])))
def test_twice_is_once_of_what_looks_like_a_url(parts: list[str]) -> None:
    once = redact("".join(parts))
    assert redact(once) == once


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://anna:pw@cam.local:554/stream1", "rtsp://cam.local:554/stream1"),
        ("rtsp://cam.local:554/stream1", "rtsp://cam.local:554/stream1"),
        ("http://[::1]:80/a.mp4", "http://[::1]:80/a.mp4"),
        ("http://h/a.mp4?token=x", "http://h/a.mp4?***"),
        ("rtsp://anna:a?b@h/x", "rtsp://***"),
        ("rtsp://anna:1%402@h/x", "rtsp://h/x"),
        ("rtsp://anna:pw%40h/x", "rtsp://***"),
        ("rtspsrc location=rtsp://h/s user-pw=x ! decodebin ! appsink", "rtspsrc ! decodebin ! appsink"),
        ("v4l2src device=/dev/video0 ! video/x-raw,width=640 ! appsink", "v4l2src ! *** ! appsink"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("clip number 1.mp4", "clip number 1.mp4"),
        ("größe/clip@home.mp4", "größe/clip@home.mp4"),
    ],
)
def test_what_is_left(source: str, shown: str) -> None:
    assert redact_source(source) == shown


@pytest.mark.parametrize(
    "sentence",
    [
        "out.jsonl cannot be written (No space left on device): choose a writable folder with free space",
        "--camera-size: expected width and height such as 1280x720, got 12",
        "expected ReconnectPolicy(stall_s=5.0, retry_s=0.5, open_s=20.0, give_up_s=inf)",
        "http://h/live could not be opened as a video: is it running and reachable?",
        "a.onnx: expected a landmark model with a landmark_tracker.spec entry in its metadata, found none",
        "it was built for another onnx_sha256, key: export it again",
    ],
)
def test_sentences_without_secrets_stay(sentence: str) -> None:
    assert redact(sentence) == sentence


@pytest.mark.parametrize(
    "piece", ["a", "-", "a.", "a:", "key_", "?", "://a:", '"\\', "authorization", "pass ", "x=", "@"]
)
def test_long_texts_take_no_long_time(piece: str) -> None:
    """In seconds of a processor: it took minutes for some of these, growing with the square of the length."""
    text = piece * (20_000 // len(piece))
    before_s = time.process_time()
    redact(text), redact_source(text)
    assert time.process_time() - before_s < 3


@pytest.mark.parametrize("name", ["password", "my_password", "db-password", "app.password", "x1password", "my.db_pwd"])
def test_a_name_with_a_prefix(name: str) -> None:
    assert redact(f"{name}=hunter2 then") == f"{name}=*** then"


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(TrackerError("a\nb \x1b[31mred\x00 \udce4 ä\u2028c")) == "a b  [31mred  \\udce4 ä c"


@pytest.mark.parametrize("text", ["e://@e:/ @", "file:///st user@h,r@e://e:///st user@h,r@d:///st user@h,r@e:/"])
def test_what_is_left_is_looked_at_again(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp%3A%2F%2Fanna%3ASECRET%40cam.local",
        "http://anna%3ASECRET%40cam.local/x",
        "http://cam.local/x%3ftoken%3DSECRET",
        '{"api_key":"SECRET","a":1}',
        "password:SECRET",
        "Authorization: Bearer SECRET",
        "got Bearer SECRET",
        "Set-Cookie: SECRET",
        "PGPASSWORD=SECRET",
        "accessKey=SECRET",
        "userPassword=SECRET",
        "jwt=SECRET",
    ],
)
def test_encoded_compact_and_run_together(text: str) -> None:
    for hide in (redact, redact_source):
        assert "SECRET" not in hide(text)
        assert hide(hide(text)) == hide(text)
