"""The proof that no request is lost, printed as the table that docs/servers.md shows: `make proof` runs it.

    PYTHONPATH=tests python tests/proof/nothing_lost.py [SERVER ...] [ACT ...]

Each cell is `failed / requests`; of the deaths it is `failed (at most what the dead had accepted) / requests`.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from adapters.acts import ACTS, Act
from adapters.served import SERVERS, STREAMS
from support import Start

TIMES = {"reload": 5, "scale": 2, "recycle": 12, "end": 1, "kill": 8}
SHARE = 500
ENDS = 5
"""How many daemons are ended: each has only one end."""


def play(server: tuple[str, str], act: str) -> Act:
    with tempfile.TemporaryDirectory() as directory:
        start = Start(Path(directory))
        try:
            played = ACTS[act](start, server, times=TIMES[act], share=SHARE)
            played.play()
            return played
        finally:
            start.close()


def cell(server: tuple[str, str], act: str) -> tuple[str, bool]:
    """Return what the table says, and whether it is as it should be."""
    played = [play(server, act) for _ in range(ENDS if act == "end" else 1)]
    requests = sum(one.clients.requests for one in played)
    failed = sum((one.clients.failures for one in played), Counter())
    may_fail = sum(one.may_fail for one in played)
    bound = f" ({may_fail})" if act == "kill" else ""
    if failed:
        print(f"    {'-'.join(server)}, {act}: {dict(failed)}", file=sys.stderr)
    return f"{failed.total()}{bound} / {requests:,}", failed.total() <= may_fail


def main(arguments: list[str]) -> int:
    asked = set(arguments)
    servers = [server for server in SERVERS + STREAMS if asked & {server[0], "-".join(server)}] or SERVERS + STREAMS
    acts = [act for act in ACTS if act in asked] or list(ACTS)
    print("| server |", " | ".join(acts), "|\n|---" + "|---" * len(acts) + "|", flush=True)
    good = True
    for server in servers:
        cells = []
        for act in acts:
            text, fine = cell(server, act)
            cells.append(text)
            good &= fine
        print(f"| {'-'.join(server)} |", " | ".join(cells), "|", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
