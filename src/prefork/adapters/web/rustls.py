"""TLS by granian's own library, rustls: what its workers take, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..._errors import UsageError
from .. import TLS, ServerOptions
from . import tls as openssl
from .tls import Files

if TYPE_CHECKING:
    from ..._worker.handle import Worker

PLAIN: dict[str, Any] = {
    "ssl_enabled": False,
    "ssl_cert": None,
    "ssl_key": None,
    "ssl_key_password": None,
    "ssl_protocol_min": "tls1.2",
    "ssl_ca": None,
    "ssl_crl": [],
    "ssl_client_verify": False,
}
"""The arguments of a worker without TLS."""


def check(tls: TLS, files: Files) -> None:
    """Raise UsageError for what granian cannot do, or what no server can: granian itself would abort the worker."""
    if tls.ciphers is not None:
        raise UsageError(
            "tls_ciphers: granian's TLS, rustls, has a fixed list of ciphers without weak ones: leave the option out"
        )
    if tls.client == "optional":
        raise UsageError(
            "tls_client: granian does not pass on a client's certificate, so the application could not tell which "
            "client has one: choose required, or --server uvicorn or hypercorn"
        )
    openssl.check(tls, files)
    if openssl.is_encrypted(openssl.read(files[_key(files)])):
        raise UsageError(
            f"{_key(files)}: granian cannot decrypt a private key: `openssl pkey` writes one without a password, "
            "which only root need be able to read"
        )


@contextmanager
def secured(worker: Worker[Any], options: ServerOptions) -> Iterator[dict[str, Any]]:
    """Yield the arguments of granian's worker, which opens the files when it begins to serve. Raises UsageError."""
    if options.tls is None:
        yield {}
        return
    with openssl.files_of(worker) as files:
        yield _arguments(options.tls, files)


def _arguments(tls: TLS, files: Files) -> dict[str, Any]:
    return {
        **PLAIN,
        "ssl_enabled": True,
        "ssl_cert": openssl.path(files, "tls_cert"),
        "ssl_key": openssl.path(files, _key(files)),
        "ssl_protocol_min": f"tls{tls.min_version}",
        "ssl_ca": openssl.path(files, "tls_ca") if "tls_ca" in files else None,
        "ssl_client_verify": tls.client == "required",
    }


def _key(files: Files) -> str:
    return "tls_key" if "tls_key" in files else "tls_cert"
