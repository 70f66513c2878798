"""The proxies whose headers are believed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_REMEMBERED = 1024
"""Peers for which the answer is kept: proxies are few."""


class Trusted:
    """Addresses and networks; `*` is every address. Of an address in IPv6 form (`::ffff:192.0.2.1`) the IPv4 counts."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for what is neither an address, a network nor `*`."""
        given = list(networks)
        self._all = "*" in given
        self._networks = [ip_network(each) for each in given if each != "*"]
        self.peer = lru_cache(_REMEMBERED)(self._peer)

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        return self._all or any(address in network for network in self._networks)

    def _peer(self, host: str) -> bool:
        """Return whether the other end of a connection is trusted; on a Unix socket it has no address, and is."""
        address = parsed(host)
        return address is None or address in self


def parsed(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address, or None for another text."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
