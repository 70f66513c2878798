"""What a child process costs that a worker starts by multiprocessing, by the method with which it is started.

    python bench/child_processes.py [METHOD ...]

A WSGI application with 60 MB of small objects, made at import, is served by waitress with two workers. A request
starts child processes in its worker, one after another; each reads all objects and answers. `first`, `next`: ms from
the start of the first one, and of each of ten others, to its answer. `child`: its private memory, `helpers`: that of
the fork server and the resource tracker of each worker, in MB. `preload`: a fork server that has imported the
application.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

RUN = "-W ignore -m prefork run app:application --server waitress -w 2 -b 127.0.0.1:0"
METHODS = ["fork", "forkserver", "forkserver, preload", "spawn"]

APPLICATION = """
import json, multiprocessing, os, time

RECORDS = [{"id": i, "name": f"user-{i}", "tags": [f"t{i % 7}", str(i)]} for i in range(120_000)]

def private(pid):
    rows = open(f"/proc/{pid}/smaps_rollup").read().splitlines()[1:]
    of = {name.rstrip(":"): int(size) / 1024 for name, size, *_ in map(str.split, rows)}
    return of["Private_Clean"] + of["Private_Dirty"]

def read(answer):
    total = sum(record["id"] + len(record["tags"][1]) for record in RECORDS)
    answer.send((total, private(os.getpid())))

def timed(context):
    ours, theirs = context.Pipe()
    start = time.perf_counter()
    child = context.Process(target=read, args=(theirs,))
    child.start()
    theirs.close()
    _, memory = ours.recv()
    taken = (time.perf_counter() - start) * 1000
    child.join()
    return taken, memory

def application(environ, start_response):
    method = os.environ["METHOD"]
    context = multiprocessing.get_context(method.partition(",")[0])
    if "preload" in method:
        context.set_forkserver_preload(["__main__", __name__])
    first, _ = timed(context)
    others = [timed(context) for _ in range(10)]
    tasks = [f"/proc/self/task/{task}/children" for task in os.listdir("/proc/self/task")]
    helpers = [int(pid) for task in tasks for pid in open(task).read().split()]
    start_response("200 OK", [])
    return [json.dumps({
        "first": first,
        "next": sum(taken for taken, _ in others) / 10,
        "child": sum(memory for _, memory in others) / 10,
        "helpers": sum(map(private, helpers)),
    }).encode()]
"""


def measure(method: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(APPLICATION)
        daemon = subprocess.Popen(
            [sys.executable, *RUN.split(), "--name", f"child-processes-{os.getpid()}"],
            env=os.environ | {"METHOD": method},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert daemon.stderr is not None
        lines: list[str] = []
        try:
            while not (lines and (ready := re.search(r"ready \(.*127\.0\.0\.1:(\d+)", lines[-1]))):
                lines.append(daemon.stderr.readline())
                assert lines[-1], "".join(lines)
            with urllib.request.urlopen(f"http://127.0.0.1:{ready[1]}/", timeout=300) as response:
                found: dict[str, float] = json.load(response)
                return found
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)


def main() -> None:
    print(f"CPython {sys.version.split()[0]}, load {os.getloadavg()[0]:.0f}; ms and MB")
    print(f"{'':22} {'first':>8} {'next':>8} {'child':>8} {'helpers':>8}")
    for method in sys.argv[1:] or METHODS:
        f = measure(method)
        print(f"{method:22} {f['first']:8.0f} {f['next']:8.1f} {f['child']:8.1f} {f['helpers']:8.1f}", flush=True)


if __name__ == "__main__":
    main()
