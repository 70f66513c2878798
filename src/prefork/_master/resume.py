"""The program that takes a running master's place, by path and with `-I -S`: see `upgrade`.

resume.py rehearse LIBRARIES SNAPSHOT                              in a child: read, decide, write, compare
resume.py resume   LIBRARIES SNAPSHOT PYTHON PROGRAM LIBRARIES     in the master's process: go on; else execute these
resume.py back     LIBRARIES SNAPSHOT WHY                          the former program: the next one could not go on
"""

import gc
import os
import sys
from typing import NoReturn

gc.disable()

if __package__ is None or __package__ == "":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def main() -> int:
    """Run in the mode that the command line names; return the exit status."""
    mode, libraries, snapshot, *words = sys.argv[1:]
    if mode == "rehearse":
        from prefork._master.upgrade.rehearse import rehearse

        return rehearse(int(snapshot), libraries)
    from_here = int(snapshot), libraries
    try:
        from prefork._master.upgrade.go_on import go_on
    except BaseException as error:
        back(from_here[0], words, mode, error)
    return go_on(*from_here, words[0] if mode == "back" else "", lambda error: back(from_here[0], words, mode, error))


def back(snapshot: int, words: list[str], mode: str, error: BaseException) -> NoReturn:
    """Execute the former program again, which has what it left: every descriptor passes. Never returns."""
    why = f"{type(error).__name__}: {error}"[:1000]
    if mode == "resume":
        python, program, libraries = words
        command = [python, "-I", "-S", program, "back", libraries, str(snapshot), why]
        try:
            os.execve(python, command, os.environ)
        except OSError as failed:
            why = f"{why}; and the former program {python} cannot be executed: {failed.strerror}"
    os.write(2, f"prefork: upgrade: the master cannot go on: {why}\n".encode())
    os._exit(1)


if __name__ == "__main__":
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # There is none, or no process reads it, or it is closed.
    os._exit(status)
