"""TLS under `--user`: a key that only root can read, and files that the application's user has a hand in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.secured import Authority, get, own_memory, serial_of
from support import Start, until
from system.daemons import root
from system.other_user import NOBODY, AsNobody, anywhere, as_nobody

__all__ = ["anywhere"]  # A fixture.

pytestmark = pytest.mark.skipif(not root(), reason="only root can become another user")

APPLICATION = """
import json, os

def opened(path):
    try:
        return open(path).read()
    except OSError as error:
        return error.strerror

async def app(scope, receive, send):
    if scope["type"] == "http":
        told = {"uid": os.getuid(), "pid": os.getpid(), "key": opened("KEY")}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""


def begun(start: Start, certificate: Path, key: Path) -> AsNobody:
    served = as_nobody(start, APPLICATION.replace("KEY", str(key)))
    served.command = "run program:app"
    served.begin("-w 1", f"-b 127.0.0.1:{served.port}", f"--tls-cert {certificate}", f"--tls-key {key}")
    return served


def test_key_that_only_root_can_read_is_served_and_renewed(anywhere: Start) -> None:
    authority, directory = Authority(anywhere.directory / "authority"), anywhere.directory / "secret"
    directory.mkdir(mode=0o700)
    certificate, key = directory / "tls.crt", directory / "tls.key"
    for path, data in zip((certificate, key), authority.issue()[:2], strict=True):
        path.write_bytes(data)
    served, client = begun(anywhere, certificate, key), authority.context()
    served.running.expect(": ready", "err")
    told = json.loads(get(served.port, client))
    assert (told["uid"], told["key"]) == (NOBODY, "Permission denied")
    assert not [name for name in own_memory(told["pid"]) if "file" in name], "the key is still readable"
    renewed, other_key, serial = authority.issue()
    certificate.write_bytes(renewed)
    key.write_bytes(other_key)
    until(lambda: serial_of(served.port, client) == serial, "the new certificate, by itself")
    assert served.stop() == 0


def test_link_of_the_user_leads_to_no_file_of_root(anywhere: Start) -> None:
    authority = Authority(anywhere.directory / "authority")
    certificate, key, _ = authority.issue()
    secret = anywhere.directory / "root.key"
    secret.write_bytes(key)
    secret.chmod(0o600)
    served = as_nobody(anywhere, APPLICATION)
    theirs = anywhere.directory / "theirs"
    (theirs / "tls.crt").write_bytes(certificate)
    (theirs / "tls.key").symlink_to(secret)
    served.command = "run program:app"
    served.begin("-w 1", f"--tls-cert {theirs}/tls.crt", f"--tls-key {theirs}/tls.key")
    served.running.expect("tls_key: .*/tls.key cannot be read: Permission denied", "err")
    assert served.running.wait() == 1
