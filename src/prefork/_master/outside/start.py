"""Starting a reader: a short-lived interpreter that reads the memory of a worker (prefork/_reader).

The master itself reads no memory of workers: the module for it is large, and a worker may put anything into its memory.
A reader has the workers' user, so that it may read them without CAP_SYS_PTRACE, and gains nothing from a worker that
misleads it. It is a child of the master, which workers admit where Yama restricts ptrace (`_linux/tracing`).
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence

from ..._linux.descriptors import close_others
from ..births.start import Interpreter
from ..forks.child import execute, forked
from ..forks.confine import become_user

_PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "_reader", "program.py")


def start(interpreter: Interpreter, arguments: Sequence[str], output: int, largest: int = 0) -> int:
    """Start a reader whose standard output is `output`, and that leads a session; return its pid. Raises OSError.

    `largest`: bytes that it may write to a file; 0 for no limit.
    """
    return forked(lambda: _become_reader(interpreter, arguments, output, largest))


def _become_reader(interpreter: Interpreter, arguments: Sequence[str], output: int, largest: int) -> None:
    os.dup2(output, 1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 2)
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    close_others(())  # As this user: another one may not list the descriptors.
    become_user(interpreter.identity, interpreter.new_privileges)
    # As the master's program: nothing of the environment or of the site packages runs.
    python = interpreter.command[0]
    execute([python, "-I", "-S", _PROGRAM, *arguments], interpreter.environ)
