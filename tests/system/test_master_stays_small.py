"""A master: no application code, few modules, and little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import prefork
from prefork._master import program
from support import Running, Start, resident
from system.commanded import Commanded
from system.daemons import HOOKS, Served

HEAVY = {"logging", "argparse", "subprocess", "tomllib", "asyncio", "multiprocessing", "threading"}
OF_DATACLASSES = {"dataclasses", "inspect", "ast", "annotationlib"}
"""Two megabytes, on Python 3.14."""


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
    assert names & (HEAVY | OF_DATACLASSES) == set()


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
    assert size < (23 if sys.version_info >= (3, 15) else 22) * 1024
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


def test_the_package_is_where_it_says(start: Start) -> None:
    """`prefork` names what is public, and loads it only when it is asked for."""
    code = "import sys, prefork; {0}; prefork.Daemon, prefork.WorkerContext; {0}; prefork.toml_file; {1}".format(
        "assert 'msgspec' not in sys.modules", "assert 'msgspec' in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(prefork.__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, env=environment, cwd=start.directory)
    assert set(prefork.__all__) <= set(dir(prefork))


def with_workers(start: Start, count: int) -> Running:
    program = start.program(HOOKS, str(count))
    for _ in range(count):
        program.expect("^ready$")
    return program


def test_master_of_hooks_imports_little_and_is_small(start: Start) -> None:
    bare = start.command(sys.executable, "-c", "import sys; print(*sorted(sys.modules))")
    bare.wait()
    program = with_workers(start, 4)
    size = resident(program.pid) / 1024
    print(f"resident memory of a master with 4 workers: {size:.1f} MB on {sys.version.split()[0]}")
    program.send(3)
    modules = set(program.expect("prefork").string.split()) - set(bare.out[0].split())
    names = {module.partition(".")[0] for module in modules}
    # msgspec takes typing_extensions where it is installed; the traceback module of 3.15 has a part that is not listed.
    known = sys.stdlib_module_names | {"typing_extensions", "_missing_stdlib_info"}
    assert names - known == {"prefork", "msgspec"}
    assert not names & (HEAVY | {"socket"})
    assert program.stop() == 0
    if sys.version_info[:2] == (3, 11):
        assert size <= 18
