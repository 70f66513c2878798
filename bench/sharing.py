"""The memory that workers share with their mold, and that is private to each, beside gunicorn with preload.

    PYTHONPATH=src python bench/sharing.py

A mold builds a heap and forks four workers; each works with all of it, then their memory is read (smaps_rollup).
`objects` is 60 MB of small objects. `libraries` is work with pandas, pydantic and SQLAlchemy, if they are installed;
gunicorn serves the same, with one request as the work. `warm`: the mold has done the work once itself before the fork.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prefork._worker import sharing
from prefork._worker.immortal.support import unsupported

WORKERS = 4
Work = Callable[[], object]


# -- heaps: each builds one and returns the work with it


def objects() -> Work:
    heap: list[dict[str, Any]] = [{"id": i, "name": f"user-{i}", "tags": [f"t{i % 7}", str(i)]} for i in range(120_000)]

    def work() -> None:
        for _ in range(3):
            for record in heap:
                record["tags"][1], record["name"]
        gc.collect()

    return work


def libraries() -> Work:
    pandas, pydantic, sqlalchemy, orm = map(importlib.import_module, [*LIBRARIES, "sqlalchemy.orm"])

    class Base(orm.DeclarativeBase):  # type: ignore[misc, name-defined]
        pass

    class Order(Base):
        __tablename__ = "orders"
        id = orm.mapped_column(sqlalchemy.Integer, primary_key=True)
        customer = orm.mapped_column(sqlalchemy.String)
        amount = orm.mapped_column(sqlalchemy.Float)

    class Item(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        id: int
        customer: str
        amount: float
        tags: list[str]

    rows = [
        {"id": i, "customer": f"customer {i % 500}", "amount": i * 1.1, "tags": [str(i % 7), f"r{i}"]}
        for i in range(20_000)
    ]
    items = [Item.model_validate(row) for row in rows]
    frame = pandas.DataFrame(rows)

    def work() -> None:
        frame.groupby("customer")["amount"].agg(["sum", "mean"]).sort_values("sum")
        frame.merge(frame[["id", "amount"]], on="id")["customer"].str.upper().value_counts()
        [Item.model_validate_json(item.model_dump_json()) for item in items]
        engine = sqlalchemy.create_engine("sqlite://")
        Base.metadata.create_all(engine)
        with orm.Session(engine) as session:
            session.add_all(Order(id=x.id, customer=x.customer, amount=x.amount) for x in items[:2000])
            session.commit()
            total = sqlalchemy.func.sum(Order.amount)
            session.execute(sqlalchemy.select(Order.customer, total).group_by(Order.customer)).all()
            session.scalars(sqlalchemy.select(Order).where(Order.amount > 100)).all()
        engine.dispose()
        gc.collect()

    return work


LIBRARIES = ["pandas", "pydantic", "sqlalchemy"]
HEAPS: dict[str, Callable[[], Work]] = {"objects": objects, "libraries": libraries}


# -- a mold and its workers


def mold(heap: str, mode: sharing.Mode, warm: bool) -> dict[str, float]:
    """Build the heap in this process, fork workers that work with it, and measure them."""
    work = HEAPS[heap]()
    if warm:
        work()
    did = sharing.prepare(mode)
    assert did.mode == mode, did.warning
    done_r, done_w = os.pipe()
    go_r, go_w = os.pipe()
    pids = []
    for _ in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            sharing.newborn()
            os.close(go_w)
            work()
            os.write(done_w, b".")
            os.read(go_r, 1)
            sharing.before_exit()
            sys.exit()
        pids.append(pid)
    os.close(done_w)
    for _ in pids:
        assert os.read(done_r, 1), "a worker has failed"
    figures = mean(pids)
    start = time.perf_counter()
    os.close(go_w)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    exits = (time.perf_counter() - start) * 1000
    return figures | {"prepare_ms": did.seconds * 1000, "exit_ms": exits, "immortal": did.immortal}


# -- gunicorn, with the same


def wsgi(heap: str) -> Callable[[object, Callable[..., object]], Iterable[bytes]]:
    """The application that gunicorn loads before it forks."""
    work = HEAPS[heap]()

    def application(_environ: object, start_response: Callable[..., object]) -> Iterable[bytes]:
        work()
        start_response("200 OK", [])
        return [str(os.getpid()).encode()]

    return application


def gunicorn(heap: str) -> dict[str, float]:
    """Measure four synchronous gunicorn workers with preload, after each has answered."""
    with tempfile.TemporaryDirectory() as directory:
        address = f"{directory}/socket"
        command = [sys.executable, "-m", "gunicorn", "--preload", "-w", str(WORKERS), "-b", f"unix:{address}"]
        master = subprocess.Popen(
            [*command, "--pythonpath", str(Path(__file__).parent), f"sharing:wsgi({heap!r})"],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert master.stderr is not None
            booting: list[int] = []
            while len(booting) < WORKERS:
                line = master.stderr.readline()
                assert line, "gunicorn has ended"
                booting += [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", line)]
            answered: set[int] = set()
            deadline = time.monotonic() + 120
            while answered != set(booting):
                assert time.monotonic() < deadline, "not every worker has answered"
                answered |= _ask(address, WORKERS)
            return mean(booting)
        finally:
            master.terminate()
            master.communicate()


def _ask(address: str, at_once: int) -> set[int]:
    clients = [socket.socket(socket.AF_UNIX) for _ in range(at_once)]
    for client in clients:
        client.settimeout(60)
        client.connect(address)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return {int(client.makefile("rb").read().rpartition(b"\r\n")[2]) for client in clients}


# -- figures


def mean(pids: list[int]) -> dict[str, float]:
    """Return private, proportional and resident MB, the mean of these processes."""
    total = {"private": 0.0, "pss": 0.0, "rss": 0.0}
    for pid in pids:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        of = {name.rstrip(":"): int(size) / 1024 for name, size, *_ in map(str.split, rows)}
        total["private"] += of["Private_Clean"] + of["Private_Dirty"]
        total["pss"] += of["Pss"]
        total["rss"] += of["Rss"]
    return {name: value / len(pids) for name, value in total.items()}


def one(*arguments: str) -> None:
    """Measure in a new interpreter, and print the row."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    f = json.loads(done.stdout.splitlines()[-1])
    row = f"{' '.join(arguments):28} {f['private']:8.1f} {f['pss']:8.1f} {f['rss']:8.1f}"
    if "exit_ms" in f:
        row += f" {f['prepare_ms']:9.0f} {f['exit_ms']:8.0f} {f['immortal']:10,}"
    print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heap", nargs="?", choices=HEAPS)
    parser.add_argument("mode", nargs="?", choices=["none", "freeze", "immortal", "gunicorn"])
    parser.add_argument("warm", nargs="?", choices=["warm"])
    wanted = parser.parse_args()
    if wanted.mode:
        alone = gunicorn(wanted.heap) if wanted.mode == "gunicorn" else mold(wanted.heap, wanted.mode, wanted.warm)
        print(json.dumps(alone))
        return
    print(f"CPython {sys.version.split()[0]}, {WORKERS} workers, MB per worker; ms for the mold and for all exits")
    print(f"{'':28} {'private':>8} {'PSS':>8} {'RSS':>8} {'prepare':>9} {'exit':>8} {'immortal':>10}")
    refusal = unsupported()
    for heap in [wanted.heap] if wanted.heap else HEAPS:
        if heap == "libraries" and not all(map(importlib.util.find_spec, ["pandas", "pydantic", "sqlalchemy"])):
            print("libraries: pandas, pydantic and sqlalchemy are not all installed")
            continue
        for mode in ["none", "freeze"] if refusal else ["none", "freeze", "immortal"]:
            for warm in [[], ["warm"]] if heap == "libraries" else [[]]:
                one(heap, mode, *warm)
        if importlib.util.find_spec("gunicorn"):
            one(heap, "gunicorn")
        else:
            print(f"{heap} gunicorn: not installed")
    if refusal:
        print(f"immortal: {refusal}")


if __name__ == "__main__":
    main()
