"""An interpreter that was built with an older C library, and filters of system calls that deny one or kill."""

from __future__ import annotations

import errno
import os
import platform
import signal
import sys

import pytest

from support import Start
from system.runs import ASGI, WSGI, Run, write

LACKING = """
import ctypes, fcntl, os, signal, struct, sys

def lack():
    gone = ("memfd_create", "pidfd_", "P_PIDFD", "eventfd", "MFD_", "EFD_", "F_SEAL_", "F_ADD_SEALS", "F_GET_SEALS")
    for module in os, signal, fcntl:
        for name in [name for name in vars(module) if name.startswith(gone)]:
            delattr(module, name)

def deny(number, error):
    "Let a system call fail from now on, in this process and all that come from it (seccomp(2)); without one, kill."
    end = 0x50000 | error if error else 0x80000000
    lines = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, end), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
"""
AS_ITSELF = """
lack()
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SITE = f"""
{LACKING}
lack()
if "DENY" in os.environ:
    deny(436, int(os.environ.pop("DENY")))
LACKING, AS_ITSELF = {LACKING!r}, {AS_ITSELF!r}
execute = os.execve

def execve(path, arguments, environ):
    if arguments[1:3] == ["-I", "-S"]:  # The master, which runs no sitecustomize.
        arguments = [*arguments[:3], "-c", LACKING + AS_ITSELF, *arguments[3:]]
    execute(path, arguments, environ)

os.execve = execve
"""
UNKNOWN = 9999  # No system call has this number.
SCHED_SETSCHEDULER = {"x86_64": 144, "aarch64": 119}
BELOW_A_FILTER = f"{LACKING}\ndeny(int(sys.argv[1]), 0)\nos.execv(sys.argv[2], sys.argv[2:])"


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM], ids=["ENOSYS", "EPERM"])
def test_all_is_as_usual_without_newer_functions(start: Start, error: int) -> None:
    (start.directory / "site").mkdir()
    (start.directory / "site" / "sitecustomize.py").write_text(SITE)
    write(start, "shop.py", "import os\nassert not hasattr(os, 'memfd_create')\n" + WSGI)
    environ = {"PYTHONPATH": str(start.directory / "site"), "DENY": str(error)}
    run = Run(start, "shop", "-w", "2", env=environ)
    run.ready()
    before = run.pids(2)
    os.kill(min(before), signal.SIGKILL)
    run.running.expect("killed by SIGKILL", "err")
    run.running.send(signal.SIGHUP)
    run.running.expect("reload: done", "err")
    assert not run.pids(2) & before
    assert run.stop() == 0


@pytest.mark.parametrize("application", [ASGI, WSGI], ids=["asgi", "wsgi"])
@pytest.mark.parametrize("kills", [True, False], ids=["kills", "allows"])
def test_granian_below_a_filter_for_changes_of_policy(start: Start, kills: bool, application: str) -> None:
    pytest.importorskip("granian")
    if (number := SCHED_SETSCHEDULER.get(platform.machine())) is None:
        pytest.skip(f"the number of sched_setscheduler(2) on {platform.machine()} is not known here")
    write(start, "shop.py", application)
    through = [sys.executable, "-c", BELOW_A_FILTER, str(number if kills else UNKNOWN)]
    run = Run(start, "shop", "-w", "2", "--server", "granian", through=through)
    run.ready()
    expected = os.SCHED_OTHER if kills else os.SCHED_BATCH
    assert {os.sched_getscheduler(pid) for pid in run.pids(2)} == {expected}
    assert run.stop() == 0
