"""Make the recordings of docs/tutorial.md: what its commands print at a terminal, as pictures.

    .venv/bin/python docs/make_recordings.py

The commands are those of the page. `tests/test_recordings_document.py` compares the pictures with the page, and
`tests/system/test_tutorial.py` the page with the commands.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from system.daemons import free_port  # noqa: E402
from system.test_tutorial import TUTORIAL, steps  # noqa: E402

PORT = "8000"
"""The port of the page. The recording uses a free one and shows this."""

TITLES = {"reload": "second terminal", "hang": "first terminal: the log"}
"""Name of a picture -> what its window is called."""

PATIENCE = 300
"""Seconds to wait for what is to come: the machine may be busy."""

WIDTH = 100
"""Columns of the terminals."""


HUNG = re.compile(r"^[^\n]*hung for .*?in sleep\n", re.MULTILINE | re.DOTALL)
"""The log of a hang, to the line of the application."""


class Terminal:
    """Runs one command at a terminal of its own, and reads what it prints."""

    def __init__(self, command: str, directory: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ours = {"TERM": "xterm-256color", "PATH": path, "RUNTIME_DIRECTORY": str(directory / "runtime")}
        self._reader, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (40, WIDTH))
        streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        self._process = subprocess.Popen(
            ["bash", "-c", command], cwd=directory, env={**os.environ, **ours}, start_new_session=True, **streams
        )
        os.close(terminal)
        self.printed = ""

    def read(self, until: re.Pattern[str] | None = None) -> str:
        """Return what was printed, once the pattern `until` is found in it; without one, once the command has ended."""
        deadline = monotonic() + PATIENCE
        while until is None or not until.search(self.printed):
            ready, _, _ = select.select([self._reader], [], [], max(0.0, deadline - monotonic()))
            if not ready:
                raise TimeoutError(f"{until.pattern if until else 'the end'} never came: {self.printed}")
            try:
                piece = os.read(self._reader, 65536)
            except OSError:  # EIO: no process has the terminal open any more.
                break
            self.printed += piece.decode(errors="replace").replace("\r\n", "\n")
        return self.printed

    def close(self) -> None:
        """Wait for the end of the command."""
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            os.close(self._reader)


def run(command: str, directory: Path) -> str:
    """Return what a command prints, after its prompt."""
    terminal = Terminal(command, directory)
    printed = terminal.read()
    terminal.close()
    return f"\x1b[1;32m$\x1b[0m {command}\n{printed}"


def record(directory: Path) -> dict[str, str]:
    """Return what a person sees at each scene, by the name of the picture."""
    port = str(free_port())
    page = TUTORIAL.replace(PORT, port)
    source = re.search(r'^```python title="shop.py"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert source
    (directory / "shop.py").write_text(source[1])
    commands = [command for command, _ in steps(page)]
    start, reload, repair, ask = (
        next(number for number, command in enumerate(commands) if word in command)
        for word in ("prefork run", "fastapi/from fastpai", "fastpai/from fastapi", "/sleep")
    )
    daemon = Terminal(commands[start], directory)
    try:
        daemon.read(until=re.compile("ready in .*\n"))
        scenes = {"reload": "".join(run(command, directory) for command in commands[reload:repair])}
        run(commands[repair], directory)
        run(commands[repair + 1], directory)
        before = len(daemon.printed)
        run(commands[ask], directory)
        log = daemon.read(until=HUNG)[before:]
        hung = re.search(HUNG, log)
        assert hung
        scenes["hang"] = f"{hung[0]}\x1b[2m        ...\x1b[0m\n"
    finally:
        run("prefork stop", directory)
        daemon.close()
    return {name: text.replace(port, PORT).replace(f"{directory}/", "") for name, text in scenes.items()}


def drawn(text: str, name: str) -> str:
    """Return what a terminal shows as a picture (SVG) that loads nothing."""
    lines = [line.rpartition("\r")[2].replace("\x1b[K", "") for line in text.rstrip("\n").split("\n")]
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor")
        for line in lines:
            console.print(Text.from_ansi(line), soft_wrap=False, no_wrap=False, overflow="fold")
        picture = console.export_svg(title=TITLES[name], theme=MONOKAI, unique_id=f"tutorial-{name}")
    # A picture in a page may load no fonts.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL).replace("Fira Code", "monospace")
    return "\n".join(line.strip() for line in picture.splitlines() if line.strip()) + "\n"


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as name:
        scenes = record(Path(name))
    for scene, text in scenes.items():
        (DOCS / f"tutorial-{scene}.svg").write_text(drawn(text, scene))


if __name__ == "__main__":
    main()
