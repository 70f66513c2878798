"""The guard of a server in a test: a process between the test and the daemon, which leaves nothing behind.

It starts the daemon, waits until the daemon ends or the test lets go of it, and ends everything that the daemon has
started. The test lets go by closing a pipe, which the kernel does for a test process that was killed. The guard's exit
status is the daemon's.

It runs as a script in an interpreter that imports nothing of the environment (`-I -S`), so it uses the standard library
only.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_FIRST = 3
"""The first descriptor of socket activation: SD_LISTEN_FDS_START of sd_listen_fds(3)."""

_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A signal of the terminal is for the test process, which closes the pipe; a program that is executed inherits this."""


def main() -> int:
    """Run the daemon that the argument describes; return its exit status."""
    order = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # Workers of a killed master become children of the guard.
    pid = os.fork()
    if pid == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)  # The guard itself may be killed, too.
        _become_daemon(order["command"], order["sockets"])
    for descriptor in order["sockets"]:
        os.close(descriptor)  # A listener that only the guard has would let clients wait for ever.
    master = os.pidfd_open(pid)
    if _first_of(0, master) == 0:
        signal.pidfd_send_signal(master, signal.SIGTERM)
        _first_of(master, timeout=order["grace"])
    signal.pidfd_send_signal(master, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    _end_the_rest()
    if os.getppid() != order["parent"]:
        import shutil  # Here, since only a test process that has been killed leaves its directory.

        shutil.rmtree(order["directory"], ignore_errors=True)
    return status if status >= 0 else 128 - status


def _become_daemon(command: list[str], sockets: list[int]) -> None:
    """Execute the daemon's program, with the listeners in the places where socket activation has them."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_DFL)
    end = _FIRST + len(sockets)
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, end) for each in sockets]  # None may stand where another one goes.
    for place, each in enumerate(high):
        os.dup2(each, _FIRST + place)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(end, max([end, *map(int, os.listdir("/proc/self/fd"))]) + 1)
    environ = {**os.environ, "LISTEN_PID": str(os.getpid())}
    try:
        os.execve(command[0], command, environ)
    except OSError as error:
        os.write(2, f"prefork: {command[0]} cannot be executed: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _first_of(*descriptors: int, timeout: float | None = None) -> int | None:
    """Return the first of these descriptors that is ready or closed; None after `timeout` seconds."""
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    found = waiting.poll(None if timeout is None else timeout * 1000)
    return found[0][0] if found else None


def _end_the_rest() -> None:
    """Kill what the daemon has left. What those leave in turn becomes a child of this process, too."""
    while pids := _children():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


if __name__ == "__main__":
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(main())
