"""Addresses as people write them."""

from __future__ import annotations

import os

import pytest

from prefork._linux.address import address


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("127.0.0.1:8000", "tcp://127.0.0.1:8000"),
        ("localhost:0", "tcp://localhost:0"),
        (":8000", "tcp://*:8000"),
        ("*:8000", "tcp://*:8000"),
        ("0.0.0.0:80", "tcp://0.0.0.0:80"),
        ("[::1]:80", "tcp://[::1]:80"),
        ("[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80"),
        ("unix:/run/shop.sock", "unix:///run/shop.sock"),
        ("unix:shop.sock", f"unix://{os.getcwd()}/shop.sock"),
        ("unix:@shop", "unix://@shop"),
        ("unix:///run/shop.sock", "unix:///run/shop.sock"),
        ("tcp://[::]:0", "tcp://[::]:0"),
        ("udp://127.0.0.1:9", "udp://127.0.0.1:9"),
        ("fd://3", "fd://3"),
        ("fd://http", "fd://http"),
        ("unix:/s?mode=660&group=www-data", "unix:///s?mode=660&group=www-data"),
        ("unix:@name?mode=660", "unix://@name?mode=660"),
    ],
)
def test_short_forms_are_made_full(text: str, full: str) -> None:
    assert address(text) == full
    assert address(full) == full


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8000", "did you mean :8000, or 127.0.0.1:8000?"),
        ("65536", "the largest port is 65535"),
        ("localhost", "give HOST:PORT"),
        ("localhost:http", "give HOST:PORT"),
        ("127.0.0.1:65536", "65536 is no port"),
        ("tcp://127.0.0.1", "it has no port"),
        ("::1:80", "put an IPv6 address in brackets"),
        ("http://127.0.0.1:80", "http://... is for clients"),
        ("/run/shop.sock", "did you mean unix:/run/shop.sock?"),
        ("unix:", "it has no path"),
        ("unix://", "a Unix socket needs an absolute path"),
        ("fd://", "give "),
        ("a b:80", "'a b' is no host"),
        ("unix:/" + 107 * "x", "108 bytes"),
        ("unix:/" + 107 * "x" + "?mode=660", "108 bytes"),
        ("unix:/s?mod=660", "'mod=660' is no option of a path"),
        ("unix:/s?", "'' is no option of a path"),
        ("unix:/s?mode", "'mode' is no option of a path"),
        ("unix:/s?mode=660&mode=600", "'mode=600' is no option of a path"),
        ("unix:/s?mode=rw", "'rw' is no mode"),
        ("unix:/s?mode=0o660", "'0o660' is no mode"),
        ("unix:/s?mode=1777", "'1777' is no mode"),
        ("unix:/s?mode=-60", "'-60' is no mode"),
    ],
)
def test_what_is_no_address_is_refused_with_what_it_could_be(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="is no address: ") as refused:
        address(text)
    assert why in str(refused.value)
    assert repr(text) in str(refused.value)
