"""`prefork top` before a daemon that runs: what the page shows, and what its keys do."""

from __future__ import annotations

import asyncio
import html
import os
import platform
import pty
import re
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from textual.binding import Binding

import prefork
from prefork.cli._top import guide
from prefork.cli._top.app import Top
from prefork.cli._top.columns import columns_for
from support import PATIENCE, Running, Start, until
from system.daemons import HEAD, RUN, Served, served
from system.runs import PREFORK

POOL = "[prefork.Pool(Web, size=2, min=1, max=4)]"

BUSY = """
daemon = prefork.Daemon("busy", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection, worker.request("GET /\\x1b[1mtea"):
            connection.sendall(b"begun")
            connection.recv(100)
"""


class Page:
    """The page, and how to use it."""

    def __init__(self, app: Top, pilot: Any) -> None:
        self.app, self.press = app, pilot.press

    def lines(self) -> list[str]:
        """Return what is on the screen."""
        found: dict[int, str] = {}
        for number, text in re.findall(r'<text[^>]*line-(\d+)\)"[^>]*>(.*?)</text>', self.app.export_screenshot()):
            found[int(number)] = found.get(int(number), "") + html.unescape(text).replace("\xa0", " ") + " "
        return [re.sub(" +", " ", line) for _, line in sorted(found.items())]

    async def shows(self, *patterns: str) -> list[str]:
        """Wait until each of these is found in a line of the screen; return the lines in which they were."""
        deadline, pause = monotonic() + PATIENCE, 0.02
        while True:
            lines = self.lines()
            found = [next((line for line in lines if re.search(pattern, line)), None) for pattern in patterns]
            if None not in found:
                return [line for line in found if line is not None]
            assert monotonic() < deadline, f"{patterns} never came; there is\n" + "\n".join(lines)
            await asyncio.sleep(pause)
            pause = min(0.2, pause * 1.5)  # What is on the screen costs milliseconds.

    async def press_until(self, key: str, pattern: str) -> None:
        """Press a key until this is on the screen: it is lost while the page is still being laid out."""
        deadline = monotonic() + PATIENCE
        while not any(re.search(pattern, line) for line in self.lines()):
            assert monotonic() < deadline, f"{pattern} never came; there is\n" + "\n".join(self.lines())
            await self.press(key)
            await asyncio.sleep(0.2)

    async def shows_no(self, pattern: str) -> None:
        """Wait until this is no longer there."""
        deadline = monotonic() + PATIENCE
        while any(re.search(pattern, line) for line in self.lines()):
            assert monotonic() < deadline, f"{pattern} stays"
            await asyncio.sleep(0.1)


def on_page(daemon: Served, use: Callable[[Page], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    """Open the page of a daemon, and use it."""

    async def opened() -> None:
        app = Top(prefork.connect(daemon.environment["RUNTIME_DIRECTORY"]))
        async with app.run_test(size=size) as pilot:
            await use(Page(app, pilot))

    before = set(threading.enumerate())
    asyncio.run(opened())
    left = set(threading.enumerate()) - before
    until(lambda: sum(thread.is_alive() for thread in left) <= 1, "its threads end, but the one that follows events")


@pytest.fixture(scope="module")
def shared(module_start: Start) -> Iterator[Served]:
    """A daemon that most tests here share, with two workers before and after."""
    daemon, _ = pooled(module_start)
    yield daemon
    assert daemon.stop() == 0


def pids_of(daemon: Served) -> dict[str, int]:
    slots = prefork.connect(daemon.environment["RUNTIME_DIRECTORY"]).status()["slots"]
    return {slot["key"]: slot["pid"] or 0 for slot in slots}


def pooled(start: Start) -> tuple[Served, dict[str, int]]:
    daemon = Served(start, "pooled", plan=POOL).launch()
    return daemon, daemon.ready("web/0", "web/1")


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_shows_the_daemon_and_each_slot(shared: Served, size: tuple[int, int]) -> None:
    pids = pids_of(shared)

    async def use(page: Page) -> None:
        python = platform.python_version()
        await page.shows(rf"pooled master {shared.running.pid} up .* Python {python} 2/2 ready g1")
        await page.shows("pool web 2 of 1-4 mold g1, 1 spare")
        for key, pid in pids.items():
            await page.shows(rf"{key} ● ready {pid} g1 \d+s ")
            await page.shows(rf"{key} ready after .* \(pid {pid}\)")
        await page.shows(
            "requests/s 0",
            "latency p50 - p95 - p99 -",
            rf"tcp://127.0.0.1:{shared.port} 0/\d+",
            r"r reload s scale k restart slot e explain x stacks \? help q quit",
        )

    on_page(shared, use, size)


def test_shows_load_and_what_is_being_done_without_obeying_it(start: Start) -> None:
    daemon = Served(start, "busy", HEAD + BUSY + RUN).launch()
    daemon.ready("web/0")

    async def use(page: Page) -> None:
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as client:
            assert client.recv(5) == b"begun"
            await page.shows(r"web/0 ● ready \d+ g1 \d+s 0 1 (\d+s )?GET /\?\[1mtea \d+ \d")
            await page.shows(r"\d+s GET /\?\[1mtea")  # For how long, once it is long.
        await page.shows(r"web/0 ● ready \d+ g1 \d+s \S+ 0 - ")
        await page.shows("requests/s 0 peak [01]")

    on_page(daemon, use)
    assert daemon.stop() == 0


def test_reload_shows_generations_outcome_and_error(start: Start) -> None:
    daemon, _ = pooled(start)
    gates = [start.directory / f"gate{number}" for number in range(2)]  # One each: no worker takes another's go-ahead.
    for gate in gates:
        os.mkfifo(gate)
    source = served("pooled", POOL)
    daemon.write(
        source.replace("    worker.ready()\n", "    open(f'gate{worker.context.id}').close()\n    worker.ready()\n")
    )

    async def use(page: Page) -> None:
        await page.shows("2/2 ready")
        await page.press("r")
        await page.shows("web/0 ● starting .* g2 ", r"└ ● ready .* g1 ", "reload: rolling, 2 to go", "g1 → g2")
        for gate in gates:
            await asyncio.to_thread(gate.write_bytes, b"")
        await page.shows(r"✓ reload: done \(generation 2\)", "web/0 ● ready .* g2 ", "web/1 ● ready .* g2 ")
        await page.shows_no("g1")
        daemon.write("import nothing_of_that_name\n")
        await page.press("r")
        await page.shows("reload: failed", "ModuleNotFoundError: No module named 'nothing_of_that_name'", "esc: close")
        await page.press("escape")
        await page.shows("✗ reload", "web/0 ● ready .* g2 ", "2/2 ready")

    on_page(daemon, use)
    assert daemon.stop() == 0


def test_scale_asks_for_a_number_and_takes_no_other(shared: Served) -> None:
    async def use(page: Page) -> None:
        await page.shows("2/2 ready")
        await page.press("s")
        await page.shows("scale web", "2 workers now; enter 1 to 4, or auto")
        await page.press("9", "enter")
        await page.shows("not valid: enter 1 to 4, or auto")
        await page.press("backspace", "3", "enter")
        await page.shows("3/3 ready", "web/2 ● ready", "pool web 3 of 1-4", "✓ .*web")
        await page.press("s", *"auto", "enter")
        await page.shows("2/2 ready", "pool web 2 of 1-4")
        await page.shows_no("web/2 ●")

    on_page(shared, use)


def test_restarts_and_explains_the_chosen_slot(shared: Served) -> None:
    pids = pids_of(shared)

    async def use(page: Page) -> None:
        await page.shows("2/2 ready")
        await page.press("down", "k")
        await page.shows("✓ .*web/1", rf"web/0 ● ready {pids['web/0']} ", rf"web/1 exited 0 .*{pids['web/1']}")
        await page.press("e")
        await page.shows("web/1", r"ready, pid \d+, generation 1, for", rf"exited 0 after .*{pids['web/1']}")
        await page.press("escape")
        await page.shows_no("esc: close")
        await page.press("up", "e")
        await page.shows(rf"ready, pid {pids['web/0']}, generation 1, for")

    on_page(shared, use)


def test_shows_the_stacks_of_the_chosen_slot(shared: Served) -> None:
    pids = pids_of(shared)

    async def use(page: Page) -> None:
        await page.shows("2/2 ready")
        await page.press("down", "x")
        await page.shows("─ web/1 ─", rf"pid {pids['web/1']}: \w+", 'File ".*program.py", line [0-9]+,? in web')
        await page.press("escape")
        await page.shows_no("esc: close")

    on_page(shared, use, (120, 40))


def test_question_mark_explains_each_column_and_key(shared: Served) -> None:
    assert list(guide.COLUMNS) == [column.heading for column, _ in columns_for(6, 300) if column.heading]
    bindings = [each for each in Top.BINDINGS if isinstance(each, Binding) and each.show]
    assert list(guide.KEYS) == [each.key_display or each.key for each in bindings]

    async def use(page: Page) -> None:
        await page.shows("2/2 ready")
        await page.press("question_mark")
        await page.shows("columns and keys", "PRIV private memory", "r reload; if the new code fails", "esc: close")
        await page.press("escape")
        await page.shows_no("columns and keys")

    on_page(shared, use, (120, 40))


def test_a_daemon_that_ends_is_waited_for(start: Start) -> None:
    daemon, _ = pooled(start)

    async def use(page: Page) -> None:
        await page.shows("2/2 ready")
        assert await asyncio.to_thread(daemon.stop) == 0
        await page.shows("pooled has ended; waiting for its next start", "pooled ended at")
        await page.press("r")
        await page.shows("pooled is not running")
        daemon.launch()
        pids = await asyncio.to_thread(daemon.ready, "web/0", "web/1")
        await page.shows(rf"pooled master {daemon.running.pid} ", rf"web/0 ● ready {pids['web/0']} g1")
        await page.shows("pooled is running again")

    on_page(daemon, use)
    assert daemon.stop() == 0


def test_many_slots_are_scrolled_and_fixed_ones_not_scaled(start: Start) -> None:
    daemon = Served(start, "many", plan="[Web(i) for i in range(30)]").launch()
    daemon.ready(*(f"web/{number}" for number in range(30)))

    async def use(page: Page) -> None:
        await page.shows("30/30 ready", "web/0 ●", "SLOT")
        await page.press_until("end", "web/29 ●")
        await page.shows("SLOT")
        await page.shows_no("web/0 ●")
        await page.press("e")
        await page.shows("─ web/29 ─")
        await page.press("escape", "home", "pagedown", "e")
        await page.shows(r"─ web/\d ─")
        await page.press("escape", "s")
        await page.shows("nothing to scale: the plan has no pool")

    on_page(daemon, use)
    assert daemon.stop() == 0


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_on_a_terminal_it_is_left_by(start: Start, shared: Served, key: bytes) -> None:
    top, ours = on_terminal(start, PREFORK, "top", env=shared.environment)
    top.expect("pooled")
    os.write(ours, key)
    assert top.wait() == 0


def test_without_a_terminal_it_says_so(start: Start, shared: Served) -> None:
    top = start.command(PREFORK, "top", env=shared.environment)
    assert top.wait() == 2
    assert top.err == ["prefork: `prefork top` needs a terminal; use `prefork status` instead"]


def test_without_a_daemon_it_says_so(start: Start) -> None:
    top, _ = on_terminal(start, PREFORK, "top", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    assert top.wait() == 3
    assert "no daemon is running" in top.out[-1]


def test_without_textual_it_names_the_extra(start: Start, shared: Served) -> None:
    source = "import sys; sys.modules['textual'] = None; from prefork.cli import main; main(['top'])"
    top, _ = on_terminal(start, sys.executable, "-c", source, env=shared.environment)
    assert top.wait() == 2
    assert top.out[-1] == "prefork: `prefork top` needs textual, which is not installed: pip install 'prefork[top]'"


def on_terminal(start: Start, *command: str | Path, env: dict[str, str]) -> tuple[Running, int]:
    """Start a command on a terminal; return it and our end."""
    ours, theirs = pty.openpty()
    running = start.command(*command, stdin=theirs, stdout=theirs, stderr=theirs, env={**env, "TERM": "xterm-256color"})
    os.close(theirs)
    running.listen("out", ours)
    return running, ours
