"""Workers that send the master what it cannot take: slow descriptors, floods, garbage, lines that are not theirs."""

from __future__ import annotations

import os
import re
import shutil
import sys
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


TEXTS = {
    "a sequence": "\x1b]52;c;aGk=\x07\x1b[2J",
    "another line": "\r\nweb/1: killed by SIGKILL",
    "eight bits": "\x9b2J\u202e\u2028",
}


@pytest.mark.parametrize("text", TEXTS)
def test_reason_that_a_worker_gives_is_shown_as_text(hostile: Hostile, text: str) -> None:
    """By every command that shows what has happened, and in the log."""
    hostile.client.restart("web/0")  # One that has reported nothing yet.
    with hostile.unharmed():
        hostile.attack(f"worker.request_replacement({TEXTS[text]!r} + ' reason {text}'); note('asked {text}')")
        hostile.until_noted(f"asked {text}")
        hostile.watch(lambda: f"reason {text}" in str(list(hostile.client.events())), "the event")
    for command in ("events", "explain web/0", "status"):
        program = "from prefork.cli import main; main()"
        shown = hostile.start.command(sys.executable, "-c", program, *command.split(), env=hostile.environment)
        assert shown.wait() == 0, shown.err
        for line in [*shown.out, *shown.err]:
            assert not re.search("[\x00-\x1f\x7f-\x9f\u202e\u2028]", line), (command, line)
            assert not line.startswith("web/1: killed")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", hostile.told())


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


READS = """
found = []
for command in (11, 6):  # KEYCTL_READ, KEYCTL_DESCRIBE
    buffer = ctypes.create_string_buffer(1000)
    found.append((libc.syscall(number, command, RING, buffer, 1000), ctypes.get_errno()))
    linked = libc.syscall(number, 8, RING, -5)  # KEYCTL_LINK to its own user session keyring: then it would possess it
    found.append((linked, ctypes.get_errno()))
note("read", *[result for result, _ in found], "end")
"""


@pytest.mark.parametrize("program", [False, True], ids=["itself", "by a program that it executes"])
def test_worker_reads_nothing_of_roots_session_keyring(hostile: Hostile, program: bool) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    ours = libc.syscall({"x86_64": 250}.get(os.uname().machine, 219), 0, -3, 0)
    if ours < 0:
        pytest.skip("this kernel, or this container, has no keyrings")
    code = KEYRING + READS.replace("RING", str(ours))
    if program:
        file = hostile.theirs / "keyring.py"
        note = f"import os\ndef note(*words):\n    print(*words, file=open({str(hostile.theirs / 'notes')!r}, 'a'))\n"
        file.write_text(note + code)
        code = f"import subprocess, sys\nsubprocess.run([sys.executable, {str(file)!r}], check=True)"
    (hostile.theirs / "notes").unlink()
    hostile.attack(code)
    hostile.until_noted("read")
    lines = (hostile.theirs / "notes").read_text().splitlines()
    [ring] = [line.split() for line in lines if line.startswith("keyring")]
    [read] = [line.split() for line in lines if line.startswith("read")]
    assert int(ring[1]) not in (ours, -1)
    assert set(read[1:-1]) == {"-1"}


def test_worker_has_another_session_keyring_than_root(hostile: Hostile) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    ours = libc.syscall({"x86_64": 250}.get(os.uname().machine, 219), 0, -3, 0)
    if ours < 0:
        pytest.skip("this kernel, or this container, has no keyrings")
    hostile.attack(KEYRING)
    hostile.until_noted("keyring")
    notes = (hostile.theirs / "notes").read_text().splitlines()
    line = next(line for line in notes if line.startswith("keyring"))  # A worker that follows notes another one.
    assert int(line.split()[1]) not in (ours, -1)
