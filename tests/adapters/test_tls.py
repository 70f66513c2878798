"""TLS on each server that speaks it: handshakes, versions, client certificates, renewals; what is refused, and how."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions
import websockets.sync.client

from adapters.secured import Authority, Mounted, Requests, connect, get, own_memory, refused, serial_of
from adapters.served import REQUEST, read_all
from support import PATIENCE, PROOF, Start, gone, until
from system.runs import Run, check, write

ASGI = """
import json, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    told = {name: scope[name] for name in ("scheme", "http_version")}
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(told | {"tls": "tls" in scope.get("extensions", {})})})
        await receive()
        return
    body = bytes(LARGE) if scope["path"] == "/large" else None
    told |= {"pid": os.getpid(), "tls": scope.get("extensions", {}).get("tls")}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body or json.dumps(told).encode()})
""".replace("LARGE", str(4 * 1024**2))

WSGI = """
import json, os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    told = {"scheme": environ["wsgi.url_scheme"], "https": environ.get("HTTPS"), "pid": os.getpid()}
    return [json.dumps(told).encode()]
"""

SERVERS = [("uvicorn", "asgi"), ("hypercorn", "asgi"), ("granian", "asgi"), ("granian", "wsgi")]
RENEWALS = 20 if PROOF else 3
REFUSED = {"SSLError", "SSLEOFError", "RemoteDisconnected", "ConnectionResetError", "BrokenPipeError"}
OPTIONAL = ("--tls-ca", "tls.crt", "--tls-client", "optional")
UNLOCK = ("--tls-key-password-file", "password")
PASSWORD = "a pass phrase, with: signs"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@contextmanager
def served(start: Start, server: tuple[str, str], *options: str | Path, **also: Any) -> Iterator[Run]:
    write(start, "shop.py", ASGI if server[1] == "asgi" else WSGI)
    run = Run(start, "shop:app", "--server", server[0], "-w", str(also.pop("workers", 2)), *map(str, options), **also)
    said = run.ready()
    assert f"https://127.0.0.1:{run.port}" in said
    yield run
    assert run.stop() == 0
    assert not [line for line in run.running.err if "Traceback" in line], "\n".join(run.running.err)


def test_another_path_at_a_reload_is_refused(start: Start, authority: Authority) -> None:
    certificate, key, serial = authority.issue()
    for name in "first.pem", "second.pem":
        (start.directory / name).write_bytes(certificate + key)
    write(start, "prefork.toml", 'tls_cert = "first.pem"\n')
    with served(start, SERVERS[0], workers=1) as run:
        write(start, "prefork.toml", 'tls_cert = "second.pem"\n')
        run.running.send(signal.SIGHUP)
        why = "tls_cert, tls_key or tls_ca names another file than at the start: restart the daemon"
        run.running.expect(rf"^reload: failed: .*{why}", "err")
        assert serial_of(run.port, authority.context()) == serial


def told(run: Run, context: ssl.SSLContext) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get(run.port, context))
    return found


def by_curl(run: Run, authority: Authority) -> str:
    """Return the version of HTTP that curl gets, which offers both; empty where there is no such curl."""
    curl = shutil.which("curl")
    if curl is None or b"HTTP2" not in subprocess.run([curl, "--version"], capture_output=True, check=True).stdout:
        return ""
    command = [curl, "-sS", "-o", "/dev/null", "-w", "%{http_version}", "--cacert", str(authority.certificate)]
    asked = subprocess.run([*command, f"https://localhost:{run.port}/"], capture_output=True, check=True, timeout=30)
    return asked.stdout.decode()


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_certificate_is_renewed_and_a_broken_one_is_not(
    start: Start, authority: Authority, server: tuple[str, str]
) -> None:
    files = Mounted(start.directory / "secret")
    certificate, key, serial = authority.issue()
    files.put(certificate, key)
    client = authority.context()
    with served(start, server, "--tls-cert", files.certificate, "--tls-key", files.key) as run:
        found = told(run, client)
        assert found["scheme"] == "https"
        assert found.get("https", "on") == "on", "for WSGI"
        assert not [name for name in own_memory(found["pid"]) if "file" in name], "the key is still readable"
        offered = "http/1.1" if server[0] == "uvicorn" else "h2"
        with connect(run.port, authority.context("h2", "http/1.1")) as both:
            assert (both.version(), both.selected_alpn_protocol()) == ("TLSv1.3", offered)
        assert by_curl(run, authority) in ("", "2" if offered == "h2" else "1.1")
        with Requests(run.port, client) as requests:
            for _ in range(RENEWALS):
                certificate, key, serial = authority.issue()
                files.put(certificate, key)
                until(lambda: serial_of(run.port, client) == serial, "the new certificate, by itself")  # noqa: B023
                run.running.expect("replan: done", "err")
        print(f"{'-'.join(server)}: {RENEWALS} renewals, {requests.answered} requests, {dict(requests.failures)}")
        assert requests.answered > 30
        assert not requests.failures
        pid = told(run, client)["pid"]
        files.put(authority.issue()[0], key)
        run.running.expect("replan: failed: tls_key: the private key does not belong to the certificate", "err")
        assert serial_of(run.port, client) == serial
        assert pid in {told(run, client)["pid"] for _ in range(8)}
        files.put(b"", key)
        run.running.expect("replan: failed: tls_cert: there is no certificate in it", "err")
        assert serial_of(run.port, client) == serial


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_client_needs_a_certificate_and_a_version(start: Start, authority: Authority, server: tuple[str, str]) -> None:
    directory = start.directory
    certificate, key, _ = authority.issue(password="" if server[0] == "granian" else PASSWORD)
    (directory / "both.pem").write_bytes(certificate + key)
    (directory / "password").write_text(f"{PASSWORD}\n")
    options = ("--tls-cert", "both.pem", *UNLOCK, "--tls-min-version", "1.3")
    required = ("--tls-ca", authority.certificate, "--tls-client", "required")
    with served(start, server, *options, *required, workers=1) as run:
        assert refused(run.port, authority.context()) in REFUSED
        known = certified(directory, authority, "/C=DE/O=Shop, Inc./CN=alice")
        found = told(run, known)
        assert found["scheme"] == "https"
        if server[0] in ("uvicorn", "hypercorn"):
            tls = found["tls"]
            assert tls.pop("client_cert_chain") == [(directory / "client.pem").read_text()]
            assert tls.pop("cipher_suite") in (0x1301, 0x1302, 0x1303)
            name = "CN=alice,O=Shop\\, Inc.,C=DE"
            assert tls == {
                "server_cert": None,
                "client_cert_name": name,
                "client_cert_error": None,
                "tls_version": 0x304,
            }
        if server[1] == "asgi":
            with websockets.sync.client.connect(f"wss://localhost:{run.port}/", ssl=known) as talk:
                first = json.loads(talk.recv(PATIENCE))
                assert (first["scheme"], first["tls"]) == ("wss", server[0] != "granian")
                os.kill(found["pid"], signal.SIGTERM)
                with pytest.raises(websockets.exceptions.ConnectionClosed):
                    talk.recv(PATIENCE)
        stranger = Authority(directory / "stranger")
        unknown = certified(directory, stranger, "/CN=mallory", trusted=authority)
        assert refused(run.port, unknown) in REFUSED
        known.maximum_version = ssl.TLSVersion.TLSv1_2
        assert refused(run.port, known) in REFUSED


UPGRADE = b"""GET / HTTP/1.1\r
Host: localhost\r
Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r
\r
"""
CLOSING = bytes([0x88, 0x80, 0, 0, 0, 0])
"""A client's frame that closes a WebSocket (RFC 6455)."""


@pytest.mark.parametrize("server", SERVERS[:3] if PROOF else SERVERS[:2], ids="-".join)
def test_client_that_answers_after_the_close_ends_no_worker(
    start: Start, authority: Authority, server: tuple[str, str]
) -> None:
    certificate, key, _ = authority.issue()
    (start.directory / "both.pem").write_bytes(certificate + key)
    with served(start, server, "--tls-cert", "both.pem", "--drain-timeout", "3", workers=1) as run:
        pid = told(run, authority.context())["pid"]
        plain = socket.create_connection(("127.0.0.1", run.port), PATIENCE)
        with authority.context().wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(UPGRADE)
            client.recv(65536)
            os.kill(pid, signal.SIGTERM)
            while client.recv(65536):
                pass
            with suppress(OSError):
                client.sendall(CLOSING)  # The server has sent close_notify, and may wait for the client's.
            run.running.expect(rf"web/0: exited 0 .*pid {pid}", "err")


@pytest.mark.parametrize("server", SERVERS[:3] if PROOF else SERVERS[:1], ids="-".join)
def test_drain_does_not_wait_for_websockets_of_the_silent(
    start: Start, authority: Authority, server: tuple[str, str]
) -> None:
    certificate, key, _ = authority.issue()
    (start.directory / "both.pem").write_bytes(certificate + key)
    with served(start, server, "--tls-cert", "both.pem", "--drain-timeout", "60", workers=1) as run:
        pid = told(run, authority.context())["pid"]
        client = connect(run.port, authority.context())
        client.sendall(UPGRADE)
        assert client.recv(12) == b"HTTP/1.1 101"
        os.kill(pid, signal.SIGTERM)
        assert gone(pid, 30), "it waits for a client that answers neither the close nor the end of TLS"
        client.close()


def certified(directory: Path, authority: Authority, subject: str, trusted: Authority | None = None) -> ssl.SSLContext:
    """Return the context of a client with a certificate of this authority."""
    made = (trusted or authority).context()
    certificate, key, _ = authority.issue(subject)
    (directory / "client.pem").write_bytes(certificate)
    (directory / "client.key").write_bytes(key)
    made.load_cert_chain(directory / "client.pem", directory / "client.key")
    return made


@pytest.mark.parametrize("server", SERVERS[:3] if PROOF else SERVERS[:1], ids="-".join)
def test_drain_waits_for_readers_and_not_for_the_silent(
    start: Start, authority: Authority, server: tuple[str, str]
) -> None:
    put(start.directory, *authority.issue()[:2])
    client = authority.context()
    options = ("--tls-cert", "tls.crt", "--tls-key", "tls.key")
    asked = ("--tls-client", "optional", "--tls-ca", "tls.crt") if server[0] != "granian" else ()
    with served(start, server, *options, *asked, workers=1) as run:
        pid = told(run, client)["pid"]
        silent = [socket.create_connection(("127.0.0.1", run.port)) for _ in range(4)]
        kept = [connect(run.port, client) for _ in range(8)]
        for each in kept:
            each.sendall(REQUEST)
            assert each.recv(12) == b"HTTP/1.1 200"
        slow = connect(run.port, client)
        slow.sendall(REQUEST.replace(b"/ ", b"/large "))
        assert slow.recv(12) == b"HTTP/1.1 200"
        os.kill(pid, signal.SIGTERM)
        for each in kept:
            with each:
                read_all(each)  # Until the worker closes it.
        with slow:
            assert len(read_all(slow)) > 4 * 1024**2, "a client that reads is waited for"
        assert gone(pid, 10), "it waits for clients that send nothing"
        for client_of_one in silent:
            client_of_one.close()


def put(directory: Path, certificate: bytes, key: bytes) -> None:
    (directory / "tls.crt").write_bytes(certificate)
    (directory / "tls.key").write_bytes(key)
    (directory / "tls.key").chmod(0o600)


REFUSALS: dict[str, tuple[list[str], int, str]] = {
    "optional": (
        ["--server", "granian", "--interface", "wsgi", *OPTIONAL],
        1,
        "tls_client: granian does not pass on a client's certificate, so the application could not tell which client",
    ),
    "mismatch": (
        ["--tls-cert", "tls.crt", "--tls-key", "other.key"],
        1,
        "does not belong to the certificate of tls_cert",
    ),
    "waitress": (["--server", "waitress", "--interface", "wsgi"], 1, "tls_cert: waitress does not speak TLS: choose"),
    "encrypted": (
        ["--server", "granian", "--tls-cert", "locked.crt", "--tls-key", "locked.key", *UNLOCK],
        1,
        "granian cannot decrypt",
    ),
    "no-file": (
        ["--tls-cert", "tls.crt", "--tls-key", "none"],
        1,
        "tls_key: DIRECTORY/none cannot be read: No such file",
    ),
    "no-key": (["--tls-cert", "tls.crt"], 1, "tls_cert: there is no private key in it: it must be a PEM file"),
    "no-certificate": (["--tls-cert", "tls.key", "--tls-key", "tls.key"], 1, "tls_cert: there is no certificate in it"),
    "locked": (
        ["--tls-cert", "tls.crt", "--tls-key", "locked.key"],
        1,
        "cannot be decrypted: give --tls-key-password-file",
    ),
    "ciphers": (["--tls-ciphers", "NONE"], 1, "tls_ciphers: OpenSSL knows none of NONE"),
    "fixed": (
        ["--server", "granian", "--tls-ciphers", "HIGH"],
        1,
        "granian's TLS, rustls, has a fixed list of ciphers",
    ),
    "optional-asgi": (["--server", "granian", *OPTIONAL], 1, "tls_client: granian does not pass on a client's cert"),
    "waitress-client": (
        ["--server", "waitress", "--interface", "wsgi", *OPTIONAL],
        1,
        "tls_cert: waitress does not speak TLS",
    ),
    "no-client": (["--tls-cert", "tls.crt", "--tls-ca", "tls.crt"], 2, "--tls-ca: it needs --tls-client"),
}
"""Options, exit status, and the reason. The unit tests have what the options need of each other."""


@pytest.mark.parametrize("case", list(REFUSALS) if PROOF else list(REFUSALS)[:5])
def test_what_cannot_be_is_refused_with_the_reason(start: Start, authority: Authority, case: str) -> None:
    options, status, why = REFUSALS[case]
    directory = start.directory
    put(directory, *authority.issue()[:2])
    (directory / "other.key").write_bytes(authority.issue()[1])
    (directory / "password").write_text(PASSWORD)
    certificate, locked, _ = authority.issue(password=PASSWORD)
    (directory / "locked.crt").write_bytes(certificate)
    (directory / "locked.key").write_bytes(locked)
    write(start, "shop.py", WSGI if "wsgi" in options else ASGI)
    pair = [] if "--tls-cert" in options or status == 2 else ["--tls-cert", "tls.crt", "--tls-key", "tls.key"]
    found, out, err = check(start, "shop:app", *pair, *options)
    assert found == status
    assert why.replace("DIRECTORY", str(directory)) in err, out + err
    assert "Traceback" not in err
