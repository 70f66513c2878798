"""A client's verified certificate, for the application: the ASGI extension `tls` (asgi.readthedocs.io).

It is part of a connection, and made once, when the handshake is done; a connection without one costs nothing.
"""

from __future__ import annotations

import copy
import ssl
from collections.abc import Iterable
from typing import Any

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""Names of attributes in a distinguished name (RFC 4514, 3)."""
_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_ESCAPED = frozenset('"+,;<>\\')


def extension(secure: ssl.SSLObject) -> dict[str, Any] | None:
    """Return the extension for a connection, None where the client has presented no certificate."""
    certificate = secure.getpeercert(binary_form=True)
    if certificate is None:
        return None
    return {
        "server_cert": None,  # Python does not give it out.
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(certificate)],
        "client_cert_name": _name((secure.getpeercert() or {}).get("subject", ())),  # type: ignore[arg-type]
        "client_cert_error": None,  # Without a valid one the handshake fails.
        "tls_version": _VERSIONS.get(secure.version() or ""),
        "cipher_suite": _cipher(secure),
    }


def _cipher(secure: ssl.SSLObject) -> int | None:
    """Return the number of the cipher suite: OpenSSL has it in the last two bytes of its own."""
    name = (secure.cipher() or ("",))[0]
    found = (each["id"] & 0xFFFF for each in secure.context.get_ciphers() if each["name"] == name)
    return next(found, None)


def _name(subject: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return a distinguished name as text, the last part first (RFC 4514, 2.1)."""
    parts = ["+".join(f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in part) for part in subject]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    text = "".join(f"\\{letter}" if letter in _ESCAPED else letter for letter in value).replace("\0", "\\00")
    if text.startswith((" ", "#")):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if text.endswith(" ") and len(text) > 1 else text


def announced(protocol: type[Any]) -> type[Any]:
    """Return a subclass of one of uvicorn's HTTP protocols that adds the extension to each scope, WebSockets' too."""

    class Announced(protocol):  # type: ignore[misc]
        config: Any

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if (found := extension(transport.get_extra_info("ssl_object"))) is not None:
                self.config = copy.copy(self.config)  # A WebSocket's protocol is made of it.
                self.app = self.config.loaded_app = added(self.config.loaded_app, found)

    return Announced


def added(application: Any, found: dict[str, Any]) -> Any:
    """Return an application whose scopes have the extension."""

    def request(scope: Any, *channels: Any) -> Any:
        scope["extensions"] = {**scope.get("extensions", {}), "tls": found}
        return application(scope, *channels)

    return request
