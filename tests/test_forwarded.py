"""What is read of the headers of proxies: the rightmost address that is not trusted, and nothing that is malformed."""

from __future__ import annotations

import pytest

from prefork.adapters import LOOPBACK
from prefork.adapters.web import forwarded
from prefork.adapters.web.forwarded import FOR, FORWARDED, PORT, PROTO, Report, Reports, read
from prefork.adapters.web.queued import waited
from prefork.adapters.web.trusted import Trusted

PROXIES = Trusted(["10.0.0.0/8", "2001:db8:1::/48"])
CLIENT = "203.0.113.9"


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (CLIENT, CLIENT, 0),
        ("203.0.113.9:4711", CLIENT, 4711),
        ("[2001:DB8::9]:4711", "2001:db8::9", 4711),
        ("[2001:db8::9]", "2001:db8::9", 0),
        ("2001:db8::9", "2001:db8::9", 0),
        ("::ffff:203.0.113.9", CLIENT, 0),
        ("1.1.1.1, 203.0.113.9", CLIENT, 0),
        ("1.1.1.1, 203.0.113.9, 10.0.0.2,10.0.0.3", CLIENT, 0),
        ("203.0.113.9, 2001:db8:1::5", CLIENT, 0),
        ("10.0.0.4, 10.0.0.5", "10.0.0.4", 0),
        ("what a client makes up, 203.0.113.9", CLIENT, 0),
        (", , 203.0.113.9", CLIENT, 0),
        ("", None, 0),
        ("203.0.113.9, unknown", None, 0),
        ("203.0.113.9, unknown, 10.0.0.2", None, 0),
        ("203.0.113.9,", None, 0),
        ("203.0.113.9:0", None, 0),
        ("203.0.113.9:65536", None, 0),
        ("203.0.113.9:x", None, 0),
        ("203.0.113.999", None, 0),
        ("[203.0.113.9]", None, 0),
        ("[2001:db8::9", None, 0),
        ("[2001:db8::9]x", None, 0),
        ("evil.example", None, 0),
        ("203.0.113.9\x00", None, 0),
    ],
)
def test_x_forwarded_for_gives_the_client(value: str, host: str | None, port: int) -> None:
    assert read({FOR: value}, PROXIES)[:2] == (host, port)


@pytest.mark.parametrize(
    ("value", "report"),
    [
        (f"for={CLIENT}", Report(CLIENT)),
        (f"for={CLIENT};proto=https;by=10.0.0.1", Report(CLIENT, secure=True)),
        (f'For="{CLIENT}:4711" ; Proto=HTTP', Report(CLIENT, 4711, False)),
        ('for="[2001:db8::9]:4711"', Report("2001:db8::9", 4711)),
        (f"for=1.1.1.1, for={CLIENT};proto=https, for=10.0.0.2;proto=http", Report(CLIENT, secure=True)),
        ("for=10.0.0.4;proto=https, for=10.0.0.5", Report("10.0.0.4", secure=True)),
        (f'for="what a client left open, for={CLIENT}', Report(CLIENT)),
        ("proto=https", Report(secure=True)),
        ("for=unknown;proto=https", Report(secure=True)),
        ("for=_hidden;proto=https", Report(secure=True)),
        (f"for={CLIENT};for=10.0.0.1", Report()),
        (f"for={CLIENT};", Report()),
        (f'for="{CLIENT}', Report()),
        (f"for = {CLIENT}", Report()),
        ("for=[2001:db8::9]", Report()),
        (f"for={CLIENT}, nonsense", Report()),
        ("", Report()),
    ],
)
def test_forwarded_gives_client_and_scheme(value: str, report: Report) -> None:
    assert read({FORWARDED: value}, PROXIES) == report


@pytest.mark.parametrize(
    ("hops", "scheme", "secure"),
    [
        (CLIENT, "https", True),
        (CLIENT, "HTTP", False),
        (CLIENT, "wss", True),
        (f"{CLIENT}, 10.0.0.2", "https, http", True),
        (f"1.1.1.1, {CLIENT}, 10.0.0.2", "http, https, http", True),
        (f"{CLIENT}, 10.0.0.2", "https", True),
        (CLIENT, "https, http", None),
        (CLIENT, "gopher", None),
        (CLIENT, "", None),
    ],
)
def test_x_forwarded_proto_is_that_of_the_clients_hop(hops: str, scheme: str, secure: bool | None) -> None:
    assert read({FOR: hops, PROTO: scheme}, PROXIES).secure is secure


def test_x_forwarded_port_is_the_servers() -> None:
    assert read({FOR: CLIENT, PORT: "443"}, PROXIES).server_port == 443
    assert read({FORWARDED: f"for={CLIENT}", PORT: "8443"}, PROXIES) == Report(CLIENT, server_port=8443)
    assert [read({PORT: port}, PROXIES).server_port for port in ("0", "65536", "-1", "x", "", "٣")] == [None] * 6


def test_forwarded_counts_only_without_the_other_family() -> None:
    """nginx sets one, and passes on what a client has written into the other."""
    assert read({FOR: CLIENT, FORWARDED: "for=1.1.1.1;proto=https"}, PROXIES) == Report(CLIENT)
    assert read({PROTO: "http", FORWARDED: "for=1.1.1.1;proto=https"}, PROXIES) == Report(secure=False)


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::FFFF:7f00:1", "", "localhost"]
)
def test_loopback_and_unix_sockets_are_trusted_by_default(peer: str) -> None:
    assert Trusted(LOOPBACK).peer(peer)


@pytest.mark.parametrize("peer", ["128.0.0.1", "10.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1%eth0"])
def test_no_other_address_is_trusted_by_default(peer: str) -> None:
    assert not Trusted(LOOPBACK).peer(peer)
    assert Trusted(["*"]).peer(peer)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("t=1700000000.123", 0.877), ("1700000000.5", 0.5), ("1700000000", 1.0), ("1700000000123", 0.877),
        ("t=1700000000123456", 0.876544), ("t=1699999402.0", 599.0), ("t=1700000031", 0.0), (" t=1700000000 ", 1.0),
        ("t=1700000100", None), ("t=1699990000", None), ("170000000", None), ("17000000000000000", None), ("", None),
        ("t=", None), ("nan", None), ("1e9", None), ("-1700000000", None), ("1700000000,1700000000", None),
        ("१७००००००००", None), ("1700000000.1234567", None), ("9" * 10_000, None),
    ],
)  # fmt: skip
def test_time_in_the_queue_is_read_in_every_unit(value: str, seconds: float | None) -> None:
    assert waited(value, now=1700000001.0) == (None if seconds is None else pytest.approx(seconds, abs=1e-5))


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_moment_of_the_request_counts_from_trusted_proxies(interface: str) -> None:
    found: list[str] = []
    for peer in ("127.0.0.1", "192.0.2.1"):
        if interface == "asgi":
            headers = [(b"host", b"h"), (b"x-request-start", b"t=1700000000"), (b"x-forwarded-for", b"1.1.1.1")]
            scope = {"type": "http", "headers": headers, "client": (peer, 1)}
            forwarded.asgi(lambda *_: None, Trusted(LOOPBACK), found.append)(scope, None, None)
        else:
            environ = {"REMOTE_ADDR": peer, "HTTP_X_REQUEST_START": "t=1700000000"}
            forwarded.wsgi(lambda *_: None, Trusted(LOOPBACK), found.append)(environ, None)
    assert found == ["t=1700000000"]


def test_headers_seen_before_give_the_same_report() -> None:
    reports = Reports(PROXIES)
    for _ in range(2):
        assert reports.of({FOR: CLIENT, PROTO: "https"}) == Report(CLIENT, secure=True)
        assert reports.of({FOR: CLIENT, PORT: "443"}) == Report(CLIENT, server_port=443)
        assert reports.of({FOR: "x, " * 100 + CLIENT}) == Report(CLIENT)
        assert reports.of({FORWARDED: f"for={CLIENT}"}) == Report(CLIENT)
        assert reports.of({}) == Report()
