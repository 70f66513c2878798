"""Write the maps of the source: folders and names into docs/design.md, every module with its purpose into docs/map.md.

    python docs/make_map.py

Both are made of the docstrings' first lines; tests/test_map_document.py holds that they are current.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).parent
SOURCE = DOCS.parent / "src" / "prefork"
BEGIN, END = "<!-- map: made by docs/make_map.py -->", "<!-- end of the map -->"
WIDTH = 132

ORDER = [
    "_records",
    "_core",
    "_report",
    "_wire",
    "_linux",
    "_linux/started",
    "_master",
    "_master/births",
    "_master/listeners",
    "_master/hangs",
    "_master/control",
    "_master/log",
    "_master/runtime",
    "_mold",
    "_mold/stock",
    "_worker",
    "adapters",
    "_hooks",
    "_hooks/control",
    "_fields",
    "_launch",
    "_options",
    "_client",
    "cli",
    "samples",
]
"""The order for a reader: from what decides to the edges. A folder that is missing here comes last, in one line."""

APART = ("testing/",)
"""Folders that only docs/map.md has: they are no part of a daemon, and docs/design.md is to be short."""


APART = ("_agent/", "_options/", "_report/", "cli/")
"""Folders whose own folders are left to docs/map.md: no process that serves has them, and the design is short."""


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def modules(folder: Path) -> list[Path]:
    """Return the modules of one folder, without its `__init__`."""
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def folders() -> list[str]:
    """Return every folder of the package, the package itself as `.`, in the order of reading."""
    found = {str(path.parent.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")}
    return [".", *sorted(found - {"."}, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))]


def short_map() -> str:
    """Return the map for docs/design.md: each folder with its docstring, and with its modules at the first level."""
    lines = []
    for name in folders():
        if name.startswith(APART):
            continue
        title = "prefork/" if name == "." else f"{name}/"
        line = f"{title:20}{first_line(SOURCE / name / '__init__.py')}"
        names = ", ".join(path.stem for path in modules(SOURCE / name))
        if "/" in name:
            lines.append(line)
        elif len(f"{line} [{names}]") <= WIDTH:
            lines.append(f"{line} [{names}]")
        elif name not in ORDER and name != ".":
            lines.append(line)
        else:
            lines += [line, *textwrap.wrap(names, WIDTH, initial_indent=" " * 20, subsequent_indent=" " * 20)]
    return "\n".join(["```text", *lines, "```"])


def long_map() -> str:
    """Return docs/map.md: each module with the first line of its docstring."""
    lines = [
        "# Map of the source",
        "",
        BEGIN,
        "",
        "Below `src/prefork/`. [design.md](design.md) says how the parts work.",
    ]
    for name in folders():
        lines += ["", f"## {'prefork' if name == '.' else name}", "", first_line(SOURCE / name / "__init__.py"), ""]
        lines += ["| module | |", "|---|---|"]
        lines += [
            f"| `{path.name}` | {first_line(path).replace('|', chr(92) + '|')} |" for path in modules(SOURCE / name)
        ]
    return "\n".join(lines) + "\n"


def with_map(text: str) -> str:
    """Return the text of docs/design.md with the map of today between its two marks."""
    pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
    new, count = re.subn(pattern, lambda _: f"{BEGIN}\n{short_map()}\n{END}", text, flags=re.DOTALL)
    assert count == 1, "docs/design.md has lost its marks"
    return new


if __name__ == "__main__":
    design = DOCS / "design.md"
    design.write_text(with_map(design.read_text()))
    (DOCS / "map.md").write_text(long_map())
