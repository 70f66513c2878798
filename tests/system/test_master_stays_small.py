"""A daemon's master: no application code, few modules, little memory, and no wake-up while nothing happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import prefork
from prefork._master import program
from support import Start, until
from system.commanded import Commanded
from system.daemons import Served, title

HEAVY = {"logging", "argparse", "subprocess", "tomllib", "asyncio", "multiprocessing", "threading"}


def test_it_imports_the_standard_library_and_nothing_heavy_of_it() -> None:
    code = (
        "import runpy, sys; sys.argv = ['x']; sys.path.insert(0, sys.path[0]);"
        f"runpy.run_path({program.__file__!r});"
        "print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, check=True, timeout=30)
    names = {name.partition(".")[0] for name in found.stdout.decode().split()}
    foreign = names - sys.stdlib_module_names - {"prefork", "__main__", "__mp_main__"}
    assert foreign <= {"_setproctitle"}
    assert names & HEAVY == set()


def test_master_maps_no_application_and_is_small(start: Start) -> None:
    served = Served(start, "small", more="import msgspec, asyncio, sqlite3\n").launch()
    served.ready("web/0", "web/1")
    maps = Path(f"/proc/{served.running.pid}/maps").read_text()
    extensions = {
        Path(line.split()[-1]).name.partition(".")[0] for line in maps.splitlines() if "site-packages" in line
    }
    assert extensions <= {"_setproctitle"}
    size = resident(served.running.pid)
    print(f"master of a Daemon: RSS {size / 1024:.1f} MB")
    assert size < 22 * 1024
    assert served.stop() == 0


def test_replans_leave_nothing_behind(start: Start) -> None:
    """Each brings two megabytes of contexts."""
    text = start.directory / "text"
    text.write_text("a")
    daemon = Commanded(start, "replans", plan="[prefork.Pool(context, size=1, max=200)]", more=CONTEXTS)
    daemon.launch()
    daemon.ready("web/0")
    before = 0
    for number in range(25):
        text.write_text(chr(ord("b") + number))
        daemon.client.replan()
        before = before or resident(daemon.running.pid) * (number == 4)
    more = resident(daemon.running.pid) - before
    print(f"master of a Daemon: {more} kB more after 20 replans")
    assert more < 8 * 1024
    assert daemon.stop() == 0


CONTEXTS = """
def context(number):
    return Web(number, open("text").read() * 10_000)
"""


def resident(pid: int) -> int:
    """Kilobytes."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1])


def test_idle_costs_nothing(start: Start) -> None:
    """No context switch in ten seconds, of the master, the mold, the spare and every worker."""
    shards = 'daemon.listeners["shards"] = prefork.Listener("tcp://127.0.0.1:0", sharing="sharded")\n'
    served = Served(start, "idle", plan="[Web(i) for i in range(8)]", more=shards).launch()
    served.ready(*(f"web/{i}" for i in range(8)))
    until(lambda: any("spare" in title(pid) for pid in served.running.children()), "the spare is bred last")
    before: dict[str, int] = {}
    for _ in range(20):  # Until all are at rest, for half a second at least: what is measured begins after this.
        before, former = switches(served), before
        if before == former:
            break
        time.sleep(0.5)
    time.sleep(10)
    assert switches(served) == before
    assert served.stop() == 0


def switches(served: Served) -> dict[str, int]:
    pids = [served.running.pid, *served.running.children()]
    counts = {pid: Path(f"/proc/{pid}/status").read_text() for pid in pids}
    return {f"{title(pid)} {pid}": sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", counts[pid]))) for pid in pids}


def test_the_package_is_where_it_says(start: Start) -> None:
    """`prefork` names what is public, and loads it only when it is asked for."""
    code = "import sys, prefork; assert 'msgspec' not in sys.modules; prefork.Daemon; assert 'msgspec' in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(Path(prefork.__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, env=environment, cwd=start.directory)
    assert set(prefork.__all__) <= set(dir(prefork))
