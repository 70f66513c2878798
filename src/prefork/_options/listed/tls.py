"""Options for TLS: the certificate and its key, and what is asked of clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._errors import UsageError
from ..option import Option
from ..types import Choice, Text

_FILE = Text("FILE", "a path")
_CLIENT, _CIPHERS = Choice(("none", "optional", "required")), Text("LIST", "a list of ciphers as OpenSSL writes it")

TLS = (
    Option("tls_cert", _FILE, None, "PEM file: certificate, then intermediates; turns TLS on.", "served"),
    Option("tls_key", _FILE, None, "PEM file with the private key; default: in the file of --tls-cert.", "served"),
    Option("tls_key_password_file", _FILE, None, "File with the password of the key in its first line.", "served"),
    Option("tls_ca", _FILE, None, "PEM file with the authorities that sign clients' certificates.", "served"),
    Option("tls_client", _CLIENT, "none", "Whether clients present a certificate, signed by --tls-ca.", "served"),
    Option("tls_min_version", Choice(("1.2", "1.3")), "1.2", "Lowest version of TLS.", "served"),
    Option("tls_ciphers", _CIPHERS, None, "Ciphers of TLS 1.2; default: ECDHE with AES-GCM or ChaCha20.", "served"),
)

FILES = tuple(option.name for option in TLS if option.type is _FILE)
"""Those that the master reads, at the start and for each plan: it may have rights that the application has not."""


def files(values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, str]:
    """Return the paths by option. Raises UsageError for options that do not fit together."""
    for option in TLS:
        if option.name in sources and values["tls_cert"] is None:
            raise UsageError(f"{sources[option.name]}: it needs --tls-cert")
    if (values["tls_client"] == "none") != (values["tls_ca"] is None):
        given, missing = ("tls_ca", "--tls-client") if values["tls_ca"] else ("tls_client", "--tls-ca")
        raise UsageError(f"{sources[given]}: it needs {missing}")
    return {name: values[name] for name in FILES if values[name] is not None}
