"""A daemon behind a link that is switched to another release: each has code, interpreter and packages of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from support import PROOF, Start, until
from system.places import Place
from system.releases import Releases

COMMANDS = [".venv/bin/prefork", ".venv/bin/python .venv/bin/prefork"]


@pytest.mark.parametrize("command", COMMANDS if PROOF else COMMANDS[1:])
def test_packages_follow_the_release(start: Start, command: str) -> None:
    releases = Releases(start)
    first = releases.make(1)
    releases.make(2)
    releases.switch(1)
    running = releases.run(*command.split())
    releases.imported(running, 1, 1)
    releases.place.ready(running)
    releases.switch(2)
    assert releases.place.says("reload", directory="current").startswith("reload: done (generation 2)")
    releases.imported(running, 2, 2)
    shutil.rmtree(first)
    (worker,) = (each["pid"] for each in workers(releases.place))
    os.kill(worker, signal.SIGKILL)
    until(lambda: {each["pid"] for each in workers(releases.place)} - {worker, None}, "a successor")
    assert releases.place.says("reload", directory="current").startswith("reload: done (generation 3)")
    releases.imported(running, 2, 2)
    assert releases.place.says("stop", directory="current").startswith("stopped")
    assert running.wait() == 0


def workers(place: Place) -> list[dict[str, int]]:
    return list(json.loads(place.says("status", "--json", directory="current"))["slots"])


def test_release_that_cannot_be_used_is_refused(start: Start) -> None:
    releases = Releases(start)
    releases.make(1)
    releases.make(2, interpreter="")
    other = releases.make(3)
    (messages,) = other.glob(".venv/lib/*/site-packages/prefork/_wire/messages.py")
    messages.write_text(messages.read_text().replace("    count: int\n", "    count: int\n    more: int = 0\n", 1))
    releases.switch(1)
    running = releases.run()
    releases.imported(running, 1, 1)
    releases.place.ready(running)
    releases.switch(2)
    told = releases.place.says("reload", status=1, directory="current")
    python = f"{releases.current}/.venv/bin/python"
    assert f"cannot execute {python}: No such file or directory: this release has no such interpreter" in told
    releases.switch(3)
    told = releases.place.says("reload", status=1, directory="current")
    assert "the running master is of another version than prefork in" in told
    assert "restart the daemon" in told
    assert releases.place.says("status", "--check", directory="current") == "1 slot served"
    releases.switch(1)
    assert releases.place.says("reload", directory="current").startswith("reload: done")
    releases.imported(running, 1, 1)
    assert running.stop() == 0
