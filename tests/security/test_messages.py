"""Workers that send the master what it cannot take: slow descriptors, floods, garbage, lines that are not theirs."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from security.hostile import Hostile, needs_root
from support import Start

pytestmark = [needs_root, pytest.mark.timeout(300)]

ROOTS = {
    "SSH_AUTH_SOCK": "/run/agent",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/0/bus",
    "SUDO_USER": "admin",
    "XDG_RUNTIME_DIR": "/run/user/0",
    "KRB5CCNAME": "/tmp/krb5cc_0",
    "KEPT": "yes",
}


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    directory = Path(tempfile.mkdtemp(prefix="prefork-test-"))
    directory.chmod(0o755)
    start = Start(directory)
    hostile = Hostile(start)
    hostile.more = ROOTS
    hostile.begin()
    hostile.ready("web/0", "web/1")
    yield hostile
    try:
        assert hostile.stop() == 0, hostile.log()
    finally:
        start.close()
        shutil.rmtree(directory)


@pytest.mark.parametrize("head", ["=", "@", ""])
def test_slow_descriptors_do_not_stop_the_master(hostile: Hostile, head: str) -> None:
    with hostile.unharmed():
        hostile.attack(f"""
slow = [lingering() for _ in range(3)]
with suppress(OSError):
    send(channel, {head.encode()!r}, b'{{"message":"Ready"}}', slow)
for each in slow:
    keep.append(each)
note("sent slow {head}")
""")
        hostile.until_noted(f"sent slow {head}")


def test_slow_descriptor_on_the_control_socket_does_nothing(hostile: Hostile) -> None:
    """The socket is not the application's to open; that of a member of the control group is taken apart in linux/."""
    with hostile.unharmed():
        hostile.attack(f"""
with socket.socket(socket.AF_UNIX) as control:
    try:
        control.connect({hostile.environment["RUNTIME_DIRECTORY"] + "/control.sock"!r})
        note("connected")
    except OSError as error:
        note("control refused", error.strerror)
""")
        hostile.until_noted("control refused")


FLOODS = {
    "large reasons in a memfd": """
import fcntl
memfd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
os.write(memfd, b'{"message":"ReplacementRequested","reason":"' + b"A" * 8_000_000 + b'"}')
fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, 15)
for _ in range(20):
    with suppress(OSError):
        send(channel, b"@", b"", [memfd])
""",
    "reasons": """
for number in range(3000):
    with suppress(OSError):
        text = f"{number}" + "A" * 16000
        send(channel, b"=", json.dumps({"message": "ReplacementRequested", "reason": text}).encode())
""",
    "reports": """
for number in range(3000):
    with suppress(OSError):
        send(channel, b"=", json.dumps({"message": "Failed", "text": f"{number}" + "A" * 16000}).encode())
""",
    "deep lists": """
for _ in range(1000):
    with suppress(OSError):
        send(channel, b"=", b"[" * 16000)
""",
    "empty packets": """
for _ in range(3000):
    with suppress(OSError):
        send(channel, b"", b"")
""",
    "readiness": """
for _ in range(20000):
    with suppress(OSError):
        send(channel, b"=", b'{"message":"Ready"}')
""",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_flood_costs_the_master_neither_time_nor_memory(hostile: Hostile, flood: str) -> None:
    with hostile.unharmed():
        hostile.attack(FLOODS[flood] + f'note("flood of {flood}")')
        hostile.until_noted(f"flood of {flood}")
        hostile.watch(lambda: hostile.client.status()["slots"] != [], "the end of the flood")


FORGED = "2026-01-01T00:00:00 prefork: uid 0 (pid 1) asks for: stop"


def test_error_of_a_worker_forges_no_line_and_moves_no_cursor(hostile: Hostile) -> None:
    hostile.client.restart("web/0")  # One whose channel has not been closed for what it has sent.
    with hostile.unharmed():
        hostile.attack(
            f"raise RuntimeError('x' + chr(10) + {FORGED!r} + chr(13) + chr(27) + '[2K' + chr(27) + ']52;c;' + chr(7))"
        )
        hostile.running.expect("web/0: exited 1 after", "err")
    lines = [line for line in hostile.running.err if "asks for: stop" in line]
    assert lines
    assert all(line.startswith("    ") for line in lines), lines
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", hostile.log())


def test_command_line_of_a_process_left_behind_forges_no_line(hostile: Hostile) -> None:
    hostile.attack(f"""
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        os.execv("/bin/sleep", ["x" + chr(27) + "]0;mine" + chr(7) + chr(10) + {FORGED!r}, "300"])
    os._exit(0)
os.wait()
note("left behind")
""")
    hostile.until_noted("left behind")


def test_no_process_holds_roots_terminal_or_agents(hostile: Hostile) -> None:
    for pid in hostile.running.children():
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    hostile.attack('note("environment", *os.environ, "end")')
    hostile.until_noted("environment")
    [line] = [line for line in (hostile.theirs / "notes").read_text().splitlines() if line.startswith("environment")]
    assert set(line.split()) & ROOTS.keys() == {"KEPT"}


KEYRING = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 250}.get(os.uname().machine, 219)
ring = libc.syscall(number, 0, -3, 0)  # KEYCTL_GET_KEYRING_ID of the session keyring
note("keyring", ring, ctypes.get_errno(), "end")
"""


def test_worker_has_another_session_keyring_than_root(hostile: Hostile) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    ours = libc.syscall({"x86_64": 250}.get(os.uname().machine, 219), 0, -3, 0)
    if ours < 0:
        pytest.skip("this kernel, or this container, has no keyrings")
    hostile.attack(KEYRING)
    hostile.until_noted("keyring")
    [line] = [line for line in (hostile.theirs / "notes").read_text().splitlines() if line.startswith("keyring")]
    assert int(line.split()[1]) not in (ours, -1)
