"""Options for an application behind proxies and balancers."""

from __future__ import annotations

from collections.abc import Iterable

from ..option import Option
from ..types import Flag, Parsed, Several


def _proxies(text: str) -> str:
    """Return the text if each of its parts is an address, a network or `*`; raises ValueError otherwise."""
    from ipaddress import ip_network  # Here, since a master needs it only where the option is given.

    for part in trusted_networks([text]):
        try:
            if part != "*":
                ip_network(part)
        except ValueError as error:
            hint = f" ({error})" if "host bits" in str(error) else ""
            raise ValueError(f"{part!r} is no address, no network such as 10.0.0.0/8, and not *{hint}") from None
    return text


def trusted_networks(given: Iterable[str] | None) -> tuple[str, ...]:
    """Return the single addresses and networks of the option's values; each value may have several, with commas."""
    return tuple(part.strip() for each in given or () for part in each.split(","))


PROXIES = (
    Option(
        "forwarded_allow_ips",
        Several(Parsed("ADDRESS", _proxies)),
        None,
        "Trusted proxies: addresses, networks or *; repeatable; default: loopback.",
        "served",
    ),
    Option("proxy_protocol", Flag(), False, "Read a PROXY header, v1 or v2, from each trusted proxy.", "served"),
)
