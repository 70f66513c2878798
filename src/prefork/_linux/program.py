"""The program of this process, as it was started, to be executed again."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence

from .._errors import InternalError, UsageError
from .._records.members import field
from .._records.record import record
from .._wire.places import by_name
from .started.command import PythonCommand, parse
from .started.environ import started_environ

_HOSTS = {
    *("IPython", "colab_kernel_launcher", "ipykernel", "ipykernel_launcher", "spyder_kernels"),
    *("coverage", "debugpy", "pydevd", "pytest", "unittest"),
}
"""Packages that host other code: executing them again would run the host again, not the program."""
_RUNNERS = {"cProfile", "doctest", "pdb", "profile", "runpy", "trace"}
"""Modules of the standard library that do. Apart, since `-m profile.daemon` can only be the user's."""
_HOST_SCRIPTS = {
    *("coverage", "debugpy", "ipython", "py.test", "pytest"),
    *("ipykernel_launcher.py", "pydevd.py", "_jb_pytest_runner.py", "_jb_unittest_runner.py"),
}
"""The same as scripts, by their exact names: a `profile.py` or `coverage.py` is a program like any other."""
_DESCRIPTOR = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/[^/]+/fd/\d+")
"""What names an open file, such as `<(...)` in a shell: it has been read, and a worker would find another or none."""


@record
class Program:
    """An interpreter, the command that it runs, and where and with what environment it was started."""

    interpreter: str
    command: PythonCommand
    directory: str | None
    environ: Mapping[str, str]
    """What exec gave to it."""
    found: Mapping[str, str] = field(default_factory=dict)
    """What this had become when prefork was imported."""

    @classmethod
    def record(cls) -> Program:
        """Note how this process was started. Called when prefork is imported, before anything can have changed it."""
        command, directory = parse(sys.orig_argv[1:]), current_directory()
        return cls(by_name(sys.executable, directory), command, directory, started_environ(), dict(os.environ))

    def environ_now(self) -> dict[str, str]:
        """Return the environment of the start, with what the program has changed since prefork was imported."""
        kept = {name: value for name, value in self.environ.items() if name in os.environ or name not in self.found}
        return kept | {name: value for name, value in os.environ.items() if self.found.get(name) != value}

    def check(self) -> None:
        """Raise UsageError where there is no program to run again."""
        if not self.command.program or _DESCRIPTOR.fullmatch(self.command.program[-1]):
            raise UsageError(
                "no program to execute again for workers: it came from standard input or a prompt; "
                "save it as a file and run that"
            )
        host = _recorded_host(self.command.program) or _present_host()
        if host is not None:
            raise UsageError(f"running inside {host}: workers would execute {host}, not the program; run it directly")

    def again(self, options: Sequence[str], arguments: Sequence[str]) -> list[str]:
        """Return the argument vector that runs the program again, with more interpreter options and other arguments.

        Raises UsageError where there is no program to run again, or where `options` are not options.
        """
        self.check()
        extra = parse(options)
        if extra.program or extra.arguments or "-" in options:
            raise UsageError(f"interpreter_options() may return options only, not {list(options)}")
        return [self.interpreter, *self.command.again(extra.options, arguments)]

    def target(self) -> dict[str, str]:
        """Return what a mold is to run: a `script`, a `module` or a `code`."""
        match self.command.program:
            case ("-m", module):
                return {"module": module}
            case ("-c", code):
                return {"code": code}
            case (*_, script):
                return {"script": script}
        raise InternalError(f"no program: {self.command}")

    def place(self) -> str:
        """Return the path that stands for this program, wherever it is started: its file's, as it was named.

        The directory where there is no file. A link such as `current` stays in it, as in `current_directory`.
        """
        here, program = self.directory or "/", self.command.program
        if program[:1] == ("-c",):
            return here
        path = program[-1]
        if program[:1] == ("-m",):
            path = by_name(getattr(sys.modules["__main__"], "__file__", None) or path, here)
        return os.path.normpath(os.path.join(here, path))

    def typed(self) -> str:
        """Return the program as it was typed, for people: `shop.py`, `-m shop`, `-c`."""
        return " ".join(self.command.program if self.command.program[:1] != ("-c",) else ("-c",))


def current_directory() -> str | None:
    """Return the directory that this process is in; None where it has been removed.

    By the shell's name for it ($PWD), if that is the same directory: a link such as `current` in it may lead to another
    release by the next start, and getcwd(3) returns only where it leads now.
    """
    try:
        here, named = os.getcwd(), os.environ.get("PWD", "")
    except FileNotFoundError:
        return None
    try:
        return named if os.path.isabs(named) and os.path.samefile(named, here) else here
    except OSError:
        return here


def _recorded_host(program: Sequence[str]) -> str | None:
    """Return the host that the command names, whatever it has made of `__main__` and `sys.argv` since."""
    match program:
        case ("-m", module):
            return module if module in _RUNNERS or module.partition(".")[0] in _HOSTS else None
        case (script,):
            name = os.path.basename(script.rstrip("/"))
            unversioned = name.rstrip("-.0123456789")  # `ipython3`, `coverage-3.11`
            return name if unversioned in _HOST_SCRIPTS else None
    return None


def _present_host() -> str | None:
    """Return the host that runs now: its command may be a program of another name that calls it."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = spec.name.partition(".")[0] if spec is not None else os.path.basename(sys.argv[0] if sys.argv else "")
    return name if name in _HOSTS else None


THIS_PROGRAM = Program.record()
"""This process's own, noted when prefork is first imported."""
