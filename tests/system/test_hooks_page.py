"""docs/hooks.md as it runs: the order of the hooks, and the server of the page."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys

from support import PATIENCE, Start, until
from system.daemons import free_port
from system.test_hooks import RECORDING, calls, configure, ready
from system.test_readme import program
from test_hooks_document import PAGE, section


def order(when: str) -> list[str]:
    """Return the hooks of a row of the table of their order."""
    row = re.search(rf"^\| {when} \| (.*) \|$", section("The nine hooks"), re.MULTILINE)
    assert row, when
    return re.findall(r"`(\w+)`", row[1])


def test_hooks_are_called_in_the_order_of_the_page(start: Start) -> None:
    configure(start, "a")
    running = start.program(RECORDING)
    seen = 0

    def called() -> list[str]:
        """Return the hooks called since the last time; one that was called several times in a row, once."""
        nonlocal seen
        names = [call.split()[1].partition("(")[0] for call in calls(running)]
        found, seen = names[seen:], len(names)
        return [name for number, name in enumerate(found) if found[number - 1 : number] != [name]]

    first, _ = ready(running, 2)
    assert called() == order("start")
    running.send(signal.SIGHUP)
    ready(running, 2)
    assert called() == order("HUP")
    os.kill(first, signal.SIGKILL)
    ready(running, 1)
    assert called() == order("children ended")
    running.send(signal.SIGQUIT)
    running.expect("^hook on_quit")
    assert called() == order("QUIT")
    assert running.stop() == 0
    assert called() == order("TERM")


def test_server_of_the_page_serves(start: Start) -> None:
    port = free_port()
    (start.directory / "hellos.py").write_text(program("hellos.py", PAGE).replace("8003", str(port)))
    running = start.command(sys.executable, "hellos.py")
    seen: set[bytes] = set()

    def both() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
                seen.add(client.recv(100))
        except ConnectionRefusedError:
            return False
        return len(seen) == 2

    until(both, "answers of both workers")
    assert seen == {b"hello from worker 0\n", b"hello from worker 1\n"}
    assert running.stop() == 0
    assert running.err == []
