"""TLS by Python's `ssl`: contexts made of descriptors, checked in the mold and used in each worker."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ..._errors import UsageError
from .. import TLS, ServerOptions

if TYPE_CHECKING:
    from ..._worker.handle import Worker

Files = Mapping[str, int]
"""Descriptors of sealed memory, by the option that names the file."""

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: those that HTTP/2 allows (RFC 9113, 9.2.2). The ciphers of TLS 1.3 are not to be chosen."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ASKED = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def check(tls: TLS, files: Files) -> None:
    """Raise UsageError where no context can be made."""
    context(tls, files, ["http/1.1"])


def digest(files: Files) -> str:
    """Return a digest of what the files hold."""
    found = blake2b(digest_size=16)
    for name, descriptor in files.items():
        found.update(f"{name} {os.fstat(descriptor).st_size} ".encode())
        found.update(read(descriptor))
    return found.hexdigest()


def context(tls: TLS, files: Files, protocols: Sequence[str]) -> ssl.SSLContext:
    """Return a context for a server that offers these protocols by ALPN. Raises UsageError for unusable files."""
    if "tls_cert" not in files:
        raise UsageError("tls: there is no certificate: `prefork run --tls-cert` gives one to its workers")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[tls.min_version]
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(list(protocols))
    try:
        made.set_ciphers(tls.ciphers or _CIPHERS)
    except ssl.SSLError:
        raise UsageError(f"tls_ciphers: OpenSSL knows none of {tls.ciphers}: `openssl ciphers` lists them") from None
    _load_pair(made, files)
    if "tls_ca" in files:
        try:
            made.load_verify_locations(path(files, "tls_ca"))
        except ssl.SSLError as error:
            raise UsageError(f"tls_ca: there is no certificate in it ({_reason(error)})") from None
        made.verify_mode = _ASKED[tls.client]
    return made


def _load_pair(made: ssl.SSLContext, files: Files) -> None:
    key = "tls_key" if "tls_key" in files else "tls_cert"
    try:
        # Always with a password: OpenSSL would ask a terminal for one.
        made.load_cert_chain(path(files, "tls_cert"), path(files, key), password(files) or "none")
    except ssl.SSLError as error:
        raise UsageError(_why_unusable(files, key, error)) from None


def _why_unusable(files: Files, key: str, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key}: the private key does not belong to the certificate of tls_cert"
    if b"-----BEGIN CERTIFICATE-----" not in read(files["tls_cert"]):
        return "tls_cert: there is no certificate in it: it must be a PEM file"
    text = read(files[key])
    if b"PRIVATE KEY-----" not in text:
        return f"{key}: there is no private key in it: it must be a PEM file"
    if is_encrypted(text):
        wrong = "the password is wrong" if "tls_key_password_file" in files else "give --tls-key-password-file"
        return f"{key}: the private key cannot be decrypted: {wrong}"
    return f"tls_cert or {key} is damaged ({_reason(error)})"


def is_encrypted(key: bytes) -> bool:
    """Return whether a private key needs a password, in either of its PEM formats."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in key or b"Proc-Type: 4,ENCRYPTED" in key


def _reason(error: ssl.SSLError) -> str:
    return f"OpenSSL: {(error.reason or str(error)).replace('_', ' ').lower()}"


def password(files: Files) -> str | None:
    """Return the password of the key, the first line of its file; None where there is no such file."""
    if "tls_key_password_file" not in files:
        return None
    lines = read(files["tls_key_password_file"]).decode(errors="surrogateescape").splitlines()
    return lines[0] if lines else ""


def path(files: Files, name: str) -> str:
    """Return a path by which libraries can open the file."""
    return f"/proc/self/fd/{files[name]}"


def read(descriptor: int) -> bytes:
    """Return what a file holds."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0)


def context_of(worker: Worker[Any], options: ServerOptions, protocols: Sequence[str]) -> ssl.SSLContext | None:
    """Return the context of a worker's server; None for plain connections."""
    if options.tls is None:
        return None
    with files_of(worker) as files:
        return context(options.tls, files, protocols)


@contextmanager
def files_of(worker: Worker[Any]) -> Iterator[Files]:
    """Yield the files of a worker, and close them: they are needed once."""
    files = worker._assignment.files
    try:
        yield files
    finally:
        for descriptor in files.values():
            os.close(descriptor)
        files.clear()
