"""The header of the PROXY protocol, as its document has it, whole, in pieces and malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.adapters.web.proxy_header import Header, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n"
ENDS_4 = (("203.0.113.9", 4711), ("10.0.0.1", 443))
ENDS_6 = (("2001:db8::9", 4711), ("2001:db8::1", 443))
PORTS = (4711).to_bytes(2) + (443).to_bytes(2)
V2 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([203, 0, 113, 9, 10, 0, 0, 1]) + PORTS
V2_6 = (
    SIGNATURE
    + b"\x21\x21\x00\x24"
    + bytes.fromhex("20010db8" + "00" * 11 + "09" + "20010db8" + "00" * 11 + "01")
    + PORTS
)
V2_MORE = SIGNATURE + b"\x21\x11\x00\x10" + V2[16:] + b"\x04\x00\x01x"
GOOD = {V1: ENDS_4, V1_6: ENDS_6, V2: ENDS_4, V2_6: ENDS_6, V2_MORE: ENDS_4}
NAMELESS = [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN what ever\r\n", SIGNATURE + b"\x20\x00\x00\x00"]
NAMELESS += [SIGNATURE + b"\x21\x31\x00\xd8" + b"x" * 216, SIGNATURE + b"\x21\x00\x00\x02xx"]


@pytest.mark.parametrize("header", [*GOOD, *NAMELESS])
def test_header_is_read_once_it_is_complete(header: bytes) -> None:
    for length in range(len(header)):
        assert parse(header[:length]) is None
    assert parse(header + b"GET / HTTP/1.1") == Header(len(header), GOOD.get(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443 1\r\n",
        b"PROXY TCP4 2001:db8::9 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 65536\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 -1\r\n",
        b"PROXY UDP4 203.0.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 " + b"x" * 107,
        SIGNATURE + b"\x11\x11\x00\x0c" + V2[16:],
        SIGNATURE + b"\x21\x11\x00\x0b" + V2[16:-1],
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_malformed_header_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"PROXY|address|Expected|Octet|decimal"):
        parse(data)


@given(
    st.binary() | st.binary().map(V2.__add__) | st.binary().map(b"PROXY ".__add__) | st.binary().map(SIGNATURE.__add__)
)
def test_any_bytes_are_a_header_or_none(data: bytes) -> None:
    try:
        header = parse(data)
    except ValueError:
        return
    assert header is None or header.length <= len(data)
