"""The tutorial's commands, typed in its order: each prints what the page says, but for numbers, times and order."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections import Counter
from pathlib import Path

from support import PATIENCE, Start, until
from system.daemons import free_port
from system.runs import PREFORK

TUTORIAL = (Path(__file__).parent.parent.parent / "docs" / "tutorial.md").read_text()
SERVE = "prefork run "
ASKS = ("prefork status", "prefork explain", "prefork events")
"""What is asked for again until it is there: a person is slower than the daemon."""


def steps(text: str) -> list[tuple[str, str]]:
    """Return the commands of the page's console blocks, each with what it prints."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [step.partition("\n") for block in blocks for step in re.split(r"^\$ ", block, flags=re.MULTILINE) if step]
    return [(command, printed) for command, _, printed in found]


def plain(text: str, directory: Path) -> Counter[str]:
    """Return the lines without what differs from one machine, or one run, to the next."""
    text = text.replace(f"{directory}/", "")
    text = re.sub(r"(No module named '\w+')\. Did you mean: '\w+'\?", r"\1", text)  # Python 3.15.
    text = re.sub(r"\d{2}:\d{2}:\d{2}\.\d+", "TIME", text)
    text = re.sub(r"\b\d+(\.\d+)*(ms|s)?", "0", text).replace("spares", "spare")
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return Counter(line for line in lines if line)


class Differing:
    """Runs a command when it is called; returns which lines the page lacks, and which it alone has, or None."""

    def __init__(self, command: str, printed: str, directory: Path, environment: dict[str, str]) -> None:
        self._command, self._printed = command, printed
        self._directory, self._environment = directory, environment

    def __call__(self) -> tuple[Counter[str], Counter[str]] | None:
        ran = subprocess.run(
            ["bash", "-c", self._command],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        expected, actual = plain(self._printed, self._directory), plain(ran.stdout + ran.stderr, self._directory)
        return None if actual == expected else (actual - expected, expected - actual)


def test_tutorial_prints_what_it_says(start: Start) -> None:
    port = str(free_port())
    page = TUTORIAL.replace("8000", port)
    source = re.search(r'^```python title="shop.py"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert source
    (start.directory / "shop.py").write_text(source[1])
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    path = f"{Path(PREFORK).parent}:{os.environ['PATH']}"
    running = None
    for command, printed in steps(page):
        if command.startswith(SERVE):
            ours, theirs = pty.openpty()
            terminal = {"stdout": theirs, "stderr": theirs, "env": {**environment, "TERM": "dumb"}}
            running = start.command(PREFORK, *command.split()[1:], **terminal)
            os.close(theirs)
            running.listen("out", ours)
            running.expect("  ready in .* s   Ctrl-C stops")
            assert not plain(printed, start.directory) - plain("\n".join(running.out), start.directory)
            assert {line for line in running.out if line.startswith("  ")} >= {"  target      shop:app"}, "columns"
            continue
        differing = Differing(command, printed, start.directory, {**os.environ, **environment, "PATH": path})
        if command.startswith(ASKS):
            until(lambda: not differing(), f"{command} prints {printed}")  # noqa: B023
        else:
            assert not differing()
    assert running
    assert running.wait() == 0
