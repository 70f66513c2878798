"""Lazy imports (PEP 810): the mold does them, so that workers share what they bring, and a broken one fails there."""

from __future__ import annotations

import sys

import pytest

from support import Start
from system.runs import ASGI, PREFORK, Run, check, write

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports came with Python 3.15")

SHOP = ASGI.replace("{os.getpid()} {TEXT}", "{os.getpid()} {TEXT} {BY}")
WHO = "import os\nBY = os.getpid()\n"
"""A module that knows which process has imported it."""
LAZILY = {
    "module": "lazy import heavy\n",
    "name": "lazy from heavy import BY\n",
    "submodule": "lazy import package.heavy\n",
    "all": "import heavy\n",
}
BY = {"name": "BY", "submodule": "package.heavy.BY"}


def shop(start: Start, how: str) -> None:
    """Write an application whose answer has the pid of the process that has imported `heavy`."""
    write(start, "heavy.py", WHO)
    write(start, "package/__init__.py", "")
    write(start, "package/heavy.py", WHO)
    write(start, "shop.py", LAZILY[how] + SHOP.replace("{BY}", "{" + BY.get(how, "heavy.BY") + "}"))


@pytest.mark.parametrize("how", LAZILY)
def test_lazy_import_is_shared_by_all_workers(start: Start, how: str) -> None:
    shop(start, how)
    run = Run(start, "shop:app", "-w", "2", env={"PYTHON_LAZY_IMPORTS": "all"} if how == "all" else {})
    run.ready()
    workers = run.pids(2)
    importer = int(run.who()[1].split()[1])
    assert importer not in workers
    assert run.stop() == 0


def test_reload_broken_lazy_import_keeps_old_workers(start: Start) -> None:
    shop(start, "module")
    run = Run(start, "shop:app", "-w", "1")
    run.ready()
    before = run.who()
    write(start, "heavy.py", "def (\n")
    reload = start.command(
        PREFORK, "reload", "--name", "shop", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    )
    assert reload.wait() == 1
    assert "SyntaxError: invalid syntax" in "\n".join(reload.err)
    assert run.who() == before
    assert run.stop() == 0


def test_worker_that_imports_alone_does_all_at_its_start(start: Start) -> None:
    shop(start, "module")
    write(start, "heavy.py", WHO + "print('imported by', BY, flush=True)\n")
    run = Run(start, "shop:app", "-w", "1", "--no-preload")
    run.ready()
    importers = {int(run.running.expect(r"^imported by (\d+)$")[1]) for _ in range(2)}
    assert run.who()[0] in importers
    assert run.stop() == 0


def test_lazy_imports_kept_are_each_workers_and_named(start: Start) -> None:
    shop(start, "module")
    run = Run(start, "shop:app", "-w", "2", "--lazy-imports", "keep")
    run.running.expect(r"shop\.heavy: lazy imports stay lazy \(--lazy-imports keep\); each worker imports them", "err")
    run.ready()
    pid, text = run.who()
    assert text == f"hello {pid}"
    assert run.stop() == 0
    status, out, _ = check(start, "shop:app", "--lazy-imports", "keep")
    assert status == 0
    assert "  warning    shop.heavy: lazy imports stay lazy (--lazy-imports keep)" in out


@pytest.mark.parametrize(
    ("line", "files", "last"),
    [
        ("lazy import broken", {"broken.py": "def (\n"}, "SyntaxError: invalid syntax"),
        ("lazy import absent", {}, "ModuleNotFoundError: No module named 'absent'"),
        ("lazy from full import nothing", {"full.py": ""}, "ImportError: cannot import name 'nothing' from 'full'"),
        ("lazy import package.bad", {"package/__init__.py": "", "package/bad.py": "1 / 0"}, "ZeroDivisionError"),
    ],
)
def test_check_refuses_a_broken_lazy_import(start: Start, line: str, files: dict[str, str], last: str) -> None:
    write(start, "shop.py", f"{line}\n{ASGI}")
    for name, text in files.items():
        write(start, name, text)
    status, _, err = check(start, "shop:app")
    assert status == 1
    assert last in err
    assert f'{start.directory}/shop.py", line 1' in err
    assert "_mold" not in err


def test_cycle_that_only_lazy_imports_break_goes_on_to_work(start: Start) -> None:
    write(start, "shop.py", f"lazy from cart import total\nPRICE = 3\n{ASGI}")
    write(start, "cart.py", "from shop import PRICE\ntotal = PRICE * 2\n")
    assert check(start, "shop:app")[0] == 0


def test_library_whose_lazy_import_fails_stays_lazy(start: Start) -> None:
    write(start, "site-packages/library.py", "lazy import absent\nlazy from json import loads\n")
    write(start, "shop.py", f"import library\n{ASGI}")
    status, out, err = check(start, "shop:app", "--python-path", "site-packages")
    assert (status, err) == (0, "")
    assert "  warning    library.absent: lazy imports stay lazy (their import fails); each worker" in out
