"""Write docs/coming-from-TOOL.md: what differs, and each of the tool's settings with ours.

    python docs/make_moving.py

They are made of `src/prefork/_foreign`; tests/test_moving_document.py holds that they are current.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from prefork._foreign.every import TOOLS
from prefork._foreign.setting import Setting, Tool

DOCS = Path(__file__).parent
COMMANDS = {
    "gunicorn": ["                            # gunicorn.conf.py, GUNICORN_CMD_ARGS", "gunicorn -w 4 shop:app"],
    "uvicorn": ["uvicorn shop:app --port 8000"],
    "granian": ["granian --interface asgi shop:app"],
    "hypercorn": ["hypercorn -w 4 shop:app", "hypercorn -c python:settings shop:app     # or TOML, or file:"],
    "uwsgi": ["uwsgi.ini"],
}
"""What `prefork migrate` reads of a tool."""
MADE = """\
prints the `prefork.toml` that does the same, and for each setting without an equal a line that says why. `--write`
makes the file; `prefork check --show` prints every option with its source. `prefork systemd` prints the units
([systemd.md](systemd.md)).
"""


def page(tool: Tool) -> str:
    """Return the page of one tool."""
    title = "uWSGI" if tool.name == "uwsgi" else tool.name
    lines = [f"# Coming from {title}", "", *(f"- {sentence}" for sentence in tool.differences), ""]
    if tool.name in COMMANDS:
        lines += [*(f"    prefork migrate {words}" for words in COMMANDS[tool.name]), "", MADE]
    if tool.prefix:
        lines += [f"Variables such as `{tool.prefix}WORKERS` are read with the command line, which overrides them.", ""]
    lines += ["## Settings", "", "Options of ours stand in [run.md](run.md); `-`: there is none.", ""]
    return "\n".join([*lines, f"| {title} | here | |", "|---|---|---|", *map(row, tool.settings)]) + "\n"


def row(setting: Setting) -> str:
    """Return the row of one setting."""
    names = ", ".join(f"`{name}`" for name in [*setting.keys, *setting.flags])
    ours = f"`{setting.ours}`" if setting.ours else "-"
    text = "; ".join(filter(None, [setting.text, setting.note])).removeprefix("no equal: ")
    text = re.sub(r"docs/([a-z-]+\.md)", r"[\1](\1)", text).replace("|", "\\|")
    return f"| {names} | {ours} | {text} |".replace("|  |", "| |")


def pages() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of each page."""
    for tool in TOOLS.values():
        yield DOCS / f"coming-from-{tool.name}.md", page(tool)


if __name__ == "__main__":
    for path, text in pages():
        path.write_text(text)
