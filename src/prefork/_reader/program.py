"""The program of the reader: executed by path, with `-I -S`, as the workers' user.

    program.py stacks PID

It writes one line of JSON to its standard output: what was asked for, or `error`.
"""

import json
import os
import sys

if __package__ is None or __package__ == "":  # Run by path, as the master's program is.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from prefork._reader.dump import dumped
from prefork._reader.unwinder import Unreadable


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; return the exit status."""
    try:
        what, pid = arguments[0], int(arguments[1])
        if what != "stacks":
            raise ValueError(what)
    except (IndexError, ValueError):
        print("prefork: this is the reader's own program: a daemon's master starts it", file=sys.stderr)
        return 2
    try:
        answer = dumped(pid)
    except Unreadable as error:
        answer = {"error": str(error)}
    os.write(1, json.dumps(answer).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
