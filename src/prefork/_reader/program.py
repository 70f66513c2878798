"""The program of the reader: executed by path, with `-I -S`, as the workers' user.

    program.py stacks PID
    program.py profile JSON        a dictionary of the members of `sampling.sample.Wanted`

It writes one line of JSON to its standard output: what was asked for, or `error`. It ends when what is written there is
not wanted any more, or when the master has ended.
"""

import json
import os
import select
import sys
from typing import Any

if __package__ is None or __package__ == "":  # Run by path, as the master's program is.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from prefork._reader.dump import dumped
from prefork._reader.unwinder import COMPLETE, Unreadable


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; return the exit status."""
    try:
        what, about = arguments
        asked = json.loads(about)
        read: Any = {"stacks": dumped, "profile": _profile}[what]
    except (KeyError, ValueError):
        print("prefork: this is the reader's own program: a daemon's master starts it", file=sys.stderr)
        return 2
    try:
        answer = read(asked)
    except Unreadable as error:
        answer = {"error": str(error)}
    _write(json.dumps(answer).encode() + b"\n")
    return 0


def _profile(asked: dict[str, Any]) -> dict[str, Any]:
    # Imported here, since stacks are wanted quickly and do not need it.
    from prefork._reader.sampling.fitting import fitting, room
    from prefork._reader.sampling.sample import Wanted

    profile = _taken(Wanted(**asked))
    return profile | {"stacks": fitting(profile["stacks"], room())}


def _taken(wanted: Any) -> dict[str, Any]:
    from prefork._reader.sampling.sample import sampled
    from prefork._reader.sampling.spy import found, spied

    if not COMPLETE and (program := found()):
        return spied(program, wanted, _unwanted())
    try:
        return sampled(wanted, _unwanted())
    except Unreadable as error:
        if sys.version_info >= (3, 14):
            raise
        version = ".".join(map(str, sys.version_info[:2]))
        hint = "install it beside the application: pip install py-spy"
        text = f"Python {version} has no profiler for other processes, and py-spy is not there: {hint}"
        raise Unreadable(text) from error


def _unwanted() -> Any:
    """Return a function that says whether the client, or the master, has gone."""
    master, out = os.getppid(), select.poll()
    out.register(1, 0)  # POLLERR only: the other end of the pipe was closed.
    return lambda: bool(out.poll(0)) or os.getppid() != master


def _write(data: bytes) -> None:
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]
    except OSError:
        pass  # The reader has gone, or a file has reached its limit: what was written ends in the middle of a line.


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
