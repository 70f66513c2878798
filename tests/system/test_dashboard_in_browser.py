"""The dashboard in a real browser: how soon it shows what, and what it survives."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from time import monotonic

import pytest

from browser import Browser, Page
from support import PROOF, Start, gone
from system.dashboards import Dashboard

WORKERS = 200 if PROOF else 12
STATE = "document.documentElement.dataset.link"


@pytest.fixture(scope="module")
def open_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    start = Start(tmp_path_factory.mktemp("browser"))
    try:
        browser = Browser(start)
        yield browser
        browser.close()
    finally:
        start.close()


def text(selector: str) -> str:
    """Return an expression for the text of an element."""
    return f"document.querySelector('{selector}')?.textContent"


def pid_of(slot: str) -> str:
    """Return an expression for the pid in the row of a slot of the table."""
    row = f"[...document.querySelectorAll('tbody tr')].find((row) => row.cells[0].textContent === '{slot}')"
    return f"{row}?.querySelector('.pid').textContent"


def shown(browser: Browser, run: Dashboard) -> Page:
    """Open the page and wait until it shows all workers."""
    page = browser.page(run.url)
    page.until(f"{text('h1')} === 'All {WORKERS} workers are ready'")
    return page


@pytest.mark.skipif(not PROOF, reason="make proof runs it")
@pytest.mark.alone
def test_page_in_browser(start: Start, open_browser: Browser) -> None:
    """One daemon for all of it: each start costs."""
    run = Dashboard(start, "-w", str(WORKERS))
    run.ready()
    shown(open_browser, run)  # The browser's own first start is not the page's.
    began = monotonic()
    page = shown(open_browser, run)
    rows = page.evaluate("document.querySelectorAll('tbody tr').length")
    assert (rows, monotonic() - began < 1) == (WORKERS + 1, True)

    killed = run.slot("web/3")["pid"]
    os.kill(killed, signal.SIGKILL)
    began = monotonic()
    page.until(f"{pid_of('web/3')} !== '{killed}' && {text('#incidents')}.includes('SIGKILL')")
    assert monotonic() - began < 1
    assert page.errors == []

    reads_with_the_keyboard(page)
    survives_its_agent(page, run)
    survives_its_master(page, run, start)
    assert all("/stream" in error for error in page.errors), page.errors  # A refused connection, and nothing else.


def reads_with_the_keyboard(page: Page) -> None:
    """Open the history of a slot by the keyboard, and close it again: the focus is back where it was."""
    page.evaluate("document.querySelector('tbody button.slot').focus()")
    for key, code in ("Enter", 13), ("Escape", 27):
        typed = {"text": "\r"} if key == "Enter" else {}
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **typed)
        page.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
        page.until(f"document.querySelector('#detail').open === {'true' if key == 'Enter' else 'false'}")
    assert page.evaluate("document.activeElement.textContent") == "web/0"


def survives_its_agent(page: Page, run: Dashboard) -> None:
    agent = run.slot("agent/0")["pid"]
    os.kill(agent, signal.SIGKILL)
    page.until(f"{STATE} === 'live' && {pid_of('agent/0')} === '{run.agent(other_than=agent)}'")


def survives_its_master(page: Page, run: Dashboard, start: Start) -> None:
    """Kill the master, see that the page notices, and start the next one at the same address."""
    run.running.send(signal.SIGKILL)
    page.until(f"{STATE} === 'lost'")
    assert page.evaluate(text("#link")).startswith("Connection lost at ")
    following = Dashboard(start, "-w", str(WORKERS), address=f"127.0.0.1:{run.agent_port}")
    following.ready()
    assert gone(run.running.pid)
    page.until(f"{STATE} === 'live' && {text('h1')} === 'All {WORKERS} workers are ready'")
    assert page.evaluate(text("#facts")).count(f"master {following.running.pid}") == 1
    assert following.stop() == 0
