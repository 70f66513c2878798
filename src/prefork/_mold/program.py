"""The program of a mold.

Its command is `python -m prefork._mold.program CHANNEL LAUNCH LIFELINE SCOREBOARD STACKS`.

All of them are descriptors.

Started by a master and by nobody else. It is not the module `mold` itself, since as `__main__` that would be a second
copy of it, and would not know that it is the mold.
"""

import sys

from prefork._mold.mold import take_over
from prefork._wire.messages import MalformedMessage


def main() -> int:
    """Be a mold; return the exit status."""
    try:
        mold = take_over(sys.argv[1:])
    except (ValueError, OSError, MalformedMessage) as error:
        print(f"prefork: a mold is started by a master only ({error})", file=sys.stderr)
        return 2
    return mold.run()


if __name__ == "__main__":
    sys.exit(main())
