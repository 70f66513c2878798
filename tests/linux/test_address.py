"""Addresses, taken apart or refused with what is wrong."""

from __future__ import annotations

import pytest

from prefork._linux.address import Address, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:8000", Address("tcp", "127.0.0.1", 8000)),
        ("tcp://localhost:0", Address("tcp", "localhost", 0)),
        ("tcp://*:80", Address("tcp", "*", 80)),
        ("tcp://[::1]:8000", Address("tcp", "::1", 8000)),
        ("udp://[fe80::1%eth0]:53", Address("udp", "fe80::1%eth0", 53)),
        ("unix:///run/a b.sock", Address("unix", text="/run/a b.sock")),
        ("unix://@chat", Address("abstract", text="chat")),
        ("fd://3", Address("fd", text="3")),
        ("fd://http", Address("fd", text="http")),
        ("unix:///" + "x" * 106, Address("unix", text="/" + "x" * 106)),
    ],
)
def test_an_address_is_taken_apart(text: str, address: Address) -> None:
    assert parse(text) == address
    assert address.has_port == text.startswith(("tcp", "udp"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "give tcp://"),
        ("127.0.0.1:80", "give tcp://"),
        ("http://127.0.0.1:80", "give tcp://"),
        ("tcp://127.0.0.1", "no port"),
        ("tcp://127.0.0.1:", "no port"),
        ("tcp://h:x", "no port"),
        ("tcp://h:-1", "no port"),
        ("tcp://h:99999", "99999 is no port"),
        ("tcp://:80", r"no host.*\*"),
        ("tcp://::1:80", "in brackets"),
        ("tcp://[localhost]:80", "only an IPv6 address"),
        ("tcp://127.0.0.1:80/path", "no port"),
        ("tcp://user@host:80", "'user@host' is no host"),
        ("tcp://*.example:80", "is no host"),
        ("udp://127.0.0.1", "no port"),
        ("unix://", "absolute path"),
        ("unix://relative.sock", "absolute path"),
        ("unix:///run/", "absolute path"),
        ("unix:///" + "x" * 107, "108 bytes: the most is 107"),
        ("unix:///" + "ü" * 54, "109 bytes"),
        ("unix:///a\0b", "NUL"),
        ("unix://@", "the name is empty"),
        ("fd://", "give tcp://"),
    ],
)
def test_what_is_no_address_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)
