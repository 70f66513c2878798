"""Processes that an application starts by multiprocessing in a worker of `prefork run`."""

from __future__ import annotations

from support import Start
from system.runs import Run, write

APPLICATION = """
import gc, multiprocessing, sys

def look(answer):
    answer.send([gc.isenabled(), "prefork._mold.mold" in sys.modules])

def started(method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=look, args=(theirs,))
    child.start()
    theirs.close()
    seen = ours.recv()
    child.join()
    return seen

if "prefork._mold.mold" in sys.modules:
    at_import = started("forkserver")

def app(environ, start_response):
    seen = [at_import, started("forkserver"), started("spawn")]
    start_response("200 OK", [])
    return [str(seen).encode()]
"""


def test_child_of_a_worker_has_nothing_of_the_mold(start: Start) -> None:
    """Its collector is on, and it has not run the mold's program, also where the import has started one before."""
    write(start, "app.py", APPLICATION)
    run = Run(start, "app:app", "-w", "1", "--server", "waitress")
    run.ready()
    assert run.get("/") == b"[[True, False], [True, False], [True, False]]"
