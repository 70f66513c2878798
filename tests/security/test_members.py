"""Members of the control group, who may control the daemon: root's own commands come through all the same.

The worker is one of them here; so its attacks are those of any member.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import prefork
from security.hostile import AT_ONCE, Hostile, needs_root
from support import PROOF, Start, until
from system.other_user import anywhere

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(300)]

FLOODS = {
    "held": """
for number in range(400):
    keep.append(connected())
note("held")
""",
    "held with half a request": """
for number in range(400):
    keep.append(connected())
    with suppress(OSError):
        keep[-1].send(b'{"protocol": 1, "request": "st')
note("held with half a request")
""",
    "busy with events": """
for number in range(400):
    keep.append(connected())
    with suppress(OSError):
        keep[-1].send(b'{"protocol": 1, "request": "events", "follow": true}\\n')
note("busy with events")
""",
    "requests without end": """
def ask():
    while True:
        with suppress(OSError), connected() as sock:
            sock.settimeout(1)
            sock.sendall(b'{"protocol": 1, "request": "status"}\\n' * 50)
            while sock.recv(65536):
                pass
for number in range(8):
    threading.Thread(target=ask, daemon=True).start()
note("requests without end")
""",
    "connections without end": """
def connect():
    while True:
        with suppress(OSError):
            connected().close()
for number in range(4):
    threading.Thread(target=connect, daemon=True).start()
note("connections without end")
""",
}

CONNECTED = """
def connected():
    sock = socket.socket(socket.AF_UNIX)
    sock.connect("PLACE/control.sock")
    return sock
"""


@pytest.fixture
def hostile(anywhere: Start) -> Iterator[Hostile]:
    hostile = Hostile(anywhere)
    hostile.begin("--control-group", "nogroup")
    hostile.ready("web/0", "web/1")
    yield hostile
    assert hostile.stop() == 0, hostile.log()


@pytest.mark.parametrize("flood", FLOODS if PROOF else ["busy with events", "requests without end"])
def test_roots_commands_come_through(hostile: Hostile, flood: str) -> None:
    follows = hostile.client.events(follow=True)
    assert next(follows)
    place = hostile.environment["RUNTIME_DIRECTORY"]
    with hostile.unharmed():
        hostile.attack(CONNECTED.replace("PLACE", place) + FLOODS[flood])
        hostile.until_noted(flood)
        for _ in range(20):
            began = time.monotonic()
            assert len(hostile.client.status()["slots"]) == 2
            assert time.monotonic() - began < AT_ONCE
        hostile.client.restart("web/1")
    found: list[prefork.Event] = []
    until(lambda: found.append(next(follows)) or "web/1" in str(found[-1]), "the events of the restart")  # type: ignore[func-returns-value]
