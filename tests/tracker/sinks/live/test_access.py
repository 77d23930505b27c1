"""Who may look at the live view, without a server."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.sinks.live.access import (
    MIN_TOKEN,
    choose_token,
    expect_token,
    is_own_host,
    is_right,
    is_same_origin,
    own_names,
    split_address,
    tokens_in,
)

TOKEN = "0123456789abcdefXYZ_-"
NAMES = own_names("studio.example")
LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20).filter(lambda t: t.strip("-") == t)
NAME = st.lists(LABEL, min_size=2, max_size=4).map(".".join).filter(lambda name: not name[-1].isdigit())


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:8080", "127.0.0.1", 8080), ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65535)],
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize(
    "address",
    ["", "8080", ":8080", "localhost", "localhost:", "a:http", "a:65536", "a:-1", "a:1.5", "::1:80", "[]:80", "a:080٣"],
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(TrackerError, match=r"^--serve: expected HOST:PORT such as 127\.0\.0\.1:8080 or \[::1\]:8080"):
        split_address(address)


@pytest.mark.parametrize(
    "header",
    [
        *("127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "192.168.1.7:80", "LOCALHOST:9", "localhost.:9"),
        *("studio.example:8080", socket.gethostname(), f"{socket.gethostname()}.local:1"),
    ],
)
def test_this_machine_is_known_by_its_numbers_and_names(header: str) -> None:
    assert is_own_host(header, NAMES)


@settings(max_examples=30)
@given(NAME, st.sampled_from(["", ":80", ":8080"]))
def test_no_other_name_is_taken_for_this_machine(name: str, port: str) -> None:
    """A rebound name points here, but the browser still says it."""
    assert is_own_host(f"{name}{port}", NAMES) == (name in NAMES)


@pytest.mark.parametrize(
    "header", [None, "", ":80", "[::1", "127.0.0.1.evil.example", "localhost.evil.example", "a b", "1.2.3"]
)
def test_odd_hosts(header: str | None) -> None:
    assert not is_own_host(header, NAMES)


@settings(max_examples=30)
@given(st.text(max_size=40))
def test_any_host_has_an_answer(header: str) -> None:
    assert is_own_host(header, NAMES) in (True, False)


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("https://127.0.0.1:8080", True),
        ("HTTP://127.0.0.1:8080", True),
        ("null", False),
        ("", False),
        ("http://127.0.0.1", False),
        ("http://127.0.0.1:8081", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:8080.evil.example", False),
        ("file://127.0.0.1:8080", False),
    ],
)
def test_origins(origin: str | None, same: bool) -> None:
    assert is_same_origin(origin, "127.0.0.1:8080") == same


def test_a_token_is_made_for_all_but_the_loopback() -> None:
    assert choose_token(None, ["127.0.0.1", "::1", "127.9.9.9"]) is None
    for hosts in (["0.0.0.0"], ["::"], ["192.168.1.7"], ["127.0.0.1", "10.0.0.1"], ["fe80::1%eth0"]):
        made = choose_token(None, hosts)
        assert made is not None and len(made) >= MIN_TOKEN
        assert made != choose_token(None, hosts)
    expect_token(TOKEN)
    assert choose_token(TOKEN, ["127.0.0.1"]) == TOKEN


@pytest.mark.parametrize(
    "token", ["", "short", "x" * (MIN_TOKEN - 1), "a token with spaces", "token;with;signs", "ü" * 20]
)
def test_tokens_that_will_not_do(token: str) -> None:
    with pytest.raises(TrackerError, match=f"^expected a --serve-token of at least {MIN_TOKEN} characters") as caught:
        expect_token(token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "cookies", "authorization", "right"),
    [
        (f"/?token={TOKEN}", [], None, True),
        ("/live", [f"landmarks-80={TOKEN}"], None, True),
        ("/live", [f"a=b; landmarks-80={TOKEN}; c"], None, True),
        ("/live", ["a=b", f"landmarks-80={TOKEN}"], None, True),
        ("/results", [], f"Bearer {TOKEN}", True),
        ("/results", [], f"bearer  {TOKEN}", True),
        ("/", [], None, False),
        ("/?token=", [], None, False),
        (f"/?token={TOKEN[:-1]}", [], None, False),
        (f"/?token={TOKEN}x", [], None, False),
        (f"/?token={TOKEN.lower()}", [], None, False),
        ("/?" + "token=a&" * 50, [], None, False),
        ("/", [f"landmarks-81={TOKEN}"], None, False),
        ("/", [], f"Basic {TOKEN}", False),
        ("/", [], TOKEN, False),
        ("/?token=%ff%fe", ["landmarks-80=\udcff"], "Bearer ü", False),
    ],
)
def test_where_a_token_may_stand(path: str, cookies: list[str], authorization: str | None, right: bool) -> None:
    offered = tokens_in(path, cookies, authorization, "landmarks-80")
    assert is_right(TOKEN, offered) == right
    assert is_right(None, offered)
