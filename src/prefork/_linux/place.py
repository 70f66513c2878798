"""Where a master may start: not inside another daemon, and not in a child process of multiprocessing.

Both run the application's program, or import it, without being it: a master there would be one that the user did not
ask for, and that nothing ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import MisplacedError, UsageError
from .program import THIS_PROGRAM

_MOLD = ("-m", "prefork._mold.program")
"""The program of a mold, and of the workers that it forks."""

_GUARD = 'put the call below `if __name__ == "__main__":`'


def check(call: str) -> None:
    """Raise an error where `call` may not start a master; the message names the program and the command to type.

    Raises MisplacedError in a mold or a worker of a `Daemon`, whose log has the message then, and UsageError in a child
    process of multiprocessing.
    """
    if is_child_of_multiprocessing():
        name, command = _program()
        raise UsageError(
            f"{name} reached {call} in a child process of multiprocessing, where no master may start: {_GUARD}, "
            f"and start it by `{command}`"
        )
    if THIS_PROGRAM.command.program == _MOLD:
        raise MisplacedError(inside(call))


def inside(call: str) -> str:
    """Return the message for a `call` inside another daemon."""
    name, command = _program()
    return (
        f"{name} starts a master of its own by {call}, and no other daemon can contain it: type `{command}` to run it; "
        f"to import it, {_GUARD}"
    )


def is_child_of_multiprocessing() -> bool:
    """Return whether multiprocessing, or a library that is built on it, has started this process."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        return True
    # While a child imports the program it does not know its parent yet: then the program is `__mp_main__`, or the
    # interpreter's command is multiprocessing's own (as in a fork server that preloads modules).
    if getattr(sys.modules.get("__mp_main__"), "__name__", "") == "__mp_main__":
        return True
    command = THIS_PROGRAM.command.program
    return command[:1] == ("-c",) and command[-1].startswith("from multiprocessing.")


def command_for(module: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of a program, given its globals, and the command that runs it."""
    spec = module.get("__spec__")
    if spec is not None and spec.parent:
        name = spec.name.removesuffix(".__main__")
        return name, f"python -m {name}"
    path = _relative(module["__file__"])
    from shlex import quote  # Here, since only an error needs it.

    return path, f"python {quote(path)}"


def _program() -> tuple[str, str]:
    """Return the name of the program that has led here, and the command that runs it."""
    functions = [*_functions(), ("", vars(sys.modules["__main__"]))]
    functions.sort(key=lambda each: each[0] != "<module>")  # What is being imported says more than what is called.
    for _, module in functions:
        if _is_application(module):
            return command_for(module)
    return "the program", "python PROGRAM.py"


def _functions() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the globals of each function that is being called, the innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        yield frame.f_code.co_name, frame.f_globals
        frame = frame.f_back  # type: ignore[assignment]


def _is_application(module: Mapping[str, Any]) -> bool:
    """Return whether it is a file, and neither prefork's own nor one of the standard library."""
    name = str(module.get("__name__"))
    if name == "__main__" and (spec := module.get("__spec__")) is not None:
        name = spec.name
    if name.startswith("prefork.samples."):
        return True
    top = name.partition(".")[0]
    return "__file__" in module and top != "prefork" and top not in sys.stdlib_module_names


def _relative(path: str) -> str:
    """Return a path as one would type it here."""
    try:
        relative = os.path.relpath(path)
    except FileNotFoundError:  # The current directory was removed.
        return path
    return path if relative.startswith(os.pardir) else relative
