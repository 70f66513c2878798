"""TLS in tests: authorities and certificates by the openssl command, files as Kubernetes mounts them, and clients."""

from __future__ import annotations

import http.client
import itertools
import os
import socket
import ssl
import subprocess
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from support import PATIENCE

_serials = itertools.count(1000)
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
_USAGE = "keyUsage=critical,keyCertSign,cRLSign"
"""From Python 3.13 on a client refuses an authority without it, and a certificate that does not name its authority."""
_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Authority:
    """A certificate authority in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.certificate, self._key = directory / "ca.pem", directory / "ca.key"
        openssl(
            *("req", "-x509", *_KEY, "-nodes", "-days", "30", "-subj", "/CN=tests", "-addext", _USAGE),
            *("-keyout", self._key, "-out", self.certificate),
        )
        self._extensions = directory / "extensions"
        self._extensions.write_text("authorityKeyIdentifier=keyid\n")

    def issue(self, subject: str = "/CN=localhost", password: str = "") -> tuple[bytes, bytes, int]:
        """Return a certificate, its key, encrypted where a password is given, and its serial number."""
        serial = next(_serials)
        request, key, made = (self._directory / f"{serial}.{end}" for end in ("csr", "key", "pem"))
        openssl("req", *_KEY, "-nodes", "-subj", subject, "-addext", _NAMES, "-keyout", key, "-out", request)
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-days", "30"),
            *("-set_serial", str(serial), "-copy_extensions", "copy", "-extfile", self._extensions, "-out", made),
        )
        if password:
            plain, key = key, self._directory / f"{serial}.locked"
            openssl("pkcs8", "-topk8", "-passout", f"pass:{password}", "-in", plain, "-out", key)
        return made.read_bytes(), key.read_bytes(), serial

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority only."""
        made = ssl.create_default_context(cafile=str(self.certificate))
        made.set_alpn_protocols(list(protocols or ("http/1.1",)))
        return made


class Mounted:
    """A certificate and its key as Kubernetes mounts a secret: links to `..data`, which leads to a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.certificate, self.key = directory / "tls.crt", directory / "tls.key"
        for path in self.certificate, self.key:
            path.symlink_to(f"..data/{path.name}")

    def put(self, certificate: bytes, key: bytes) -> None:
        """Exchange both in one step, by a rename of the link above them."""
        version = self._directory / f"..{len(list(self._directory.iterdir()))}"
        version.mkdir()
        for name, data in (self.certificate.name, certificate), (self.key.name, key):
            (version / name).write_bytes(data)
            (version / name).chmod(0o600)
        link = self._directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._directory / "..data")


def connect(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection whose handshake is done."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def serial_of(port: int, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that a new connection gets."""
    with connect(port, context) as client:
        found = client.getpeercert()
    assert found is not None
    return int(str(found["serialNumber"]), 16)


def get(port: int, context: ssl.SSLContext, path: str = "/") -> str:
    """Return the body of an answer on a connection of its own."""
    client = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
    try:
        client.request("GET", path)
        return client.getresponse().read().decode()
    finally:
        client.close()


def refused(port: int, context: ssl.SSLContext) -> str:
    """Return why a client gets no answer; with TLS 1.3 a server refuses after the client's own handshake."""
    try:
        get(port, context)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    raise AssertionError("it was answered")


class Requests:
    """Runs while it is entered: threads that ask on connections which they keep for a few requests."""

    def __init__(self, port: int, context: ssl.SSLContext, clients: int = 3) -> None:
        self._port, self._context = port, context
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        self.answered, self.failures = 0, Counter[str]()

    def __enter__(self) -> Requests:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _ask(self) -> None:
        while not self._over.is_set():
            client = http.client.HTTPSConnection("localhost", self._port, timeout=PATIENCE, context=self._context)
            try:
                for _ in range(5):
                    client.request("GET", "/")
                    answer = client.getresponse()
                    body = answer.read()
                    if answer.status != 200 or not body:
                        self.failures[f"{answer.status}, {len(body)} bytes"] += 1
                    self.answered += 1
                    self._over.wait(0.01)
                    if answer.headers.get("connection", "").lower() == "close":
                        break
            except (OSError, http.client.HTTPException) as error:
                self.failures[repr(error)] += 1
            finally:
                client.close()


def own_memory(pid: int) -> list[str]:
    """Return the names of the memory that a process holds by descriptor."""
    folder, found = f"/proc/{pid}/fd", []
    for each in os.listdir(folder):
        with suppress(FileNotFoundError):  # Closed since.
            found.append(os.readlink(f"{folder}/{each}"))
    return [name for name in found if "memfd:" in name]
