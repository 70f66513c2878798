"""The public API as text: each public name with its signature.

It is read from the source and not by `inspect`, whose text of an annotation differs between versions of Python.
`python tests/api.py > tests/typing/api.txt` records it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import prefork

PACKAGE = Path(prefork.__file__).parent
KEPT = {"__init__", "__enter__", "__exit__"}
"""Methods with two underscores that a caller may rely on."""
FURTHER = {
    "prefork.daemon": ["DaemonKeywords", "Source"],
    "prefork._options.records": ["KindOptions"],
    "prefork._launch.served.run": ["RunKeywords"],
    "prefork._worker.handle": ["Handle", "Accepted"],
    "prefork._worker.async_handle": ["Handler"],
    "prefork.scoreboard": ["Reading", "Process", "Counts", "Measures", "Histogram"],
    "prefork.client": [
        *("Each", "Event", "Hello", "Status", "Change", "PoolSize", "ListenerState", "MoldState", "SlotState"),
        *("ProcessState", "Counts", "Outcomes", "Explanation", "Difference", "Stacks", "Crash", "Usage", "Profile"),
        "Sampled",
    ],
    "prefork.config": ["TomlFile"],
}
"""Module -> what it defines, or imports, that signatures of `prefork.__all__` name or return."""


@dataclass
class Module:
    """A module of ours, as far as its names say where they are from."""

    name: str
    defined: dict[str, ast.stmt] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)


@cache
def module(name: str) -> Module:
    """Read a module: `prefork.client`."""
    base = PACKAGE.parent / Path(*name.split("."))
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    found = Module(name)
    package = name if base.is_dir() else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            found.imported |= {alias.asname or alias.name: (source, alias.name) for alias in node.names}
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.defined[name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.defined[name] = node
    return found


def located(home: Module, name: str) -> tuple[Module, ast.stmt] | None:
    """Return where a name that a module uses is defined; None where that is not our package."""
    if name in home.defined:
        return home, home.defined[name]
    source, original = home.imported.get(name, ("", ""))
    return located(module(source), original) if source.partition(".")[0] == "prefork" else None


def record() -> str:
    """Return the API as text."""
    names = [("prefork", name) for name in prefork.__all__] + [
        (home, name) for home, of in FURTHER.items() for name in of
    ]
    parts = []
    for home, name in names:
        place = located(module(home), name)
        assert place is not None, f"{home}.{name} is not of this package"
        parts.append("\n".join([f"# {home}.{name}", *described(place[1], "")]))
    return "\n\n".join(parts) + "\n"


def described(node: ast.stmt, indent: str) -> Iterator[str]:
    """Yield the lines of a class, a function, or a name with a value."""
    match node:
        case ast.ClassDef(name=name, bases=bases, keywords=keywords):
            words = [ast.unparse(each) for each in (*bases, *keywords)]
            for decorator in node.decorator_list:
                yield f"{indent}@{ast.unparse(decorator)}"
            yield f"{indent}class {name}({', '.join(words)})" if words else f"{indent}class {name}"
            for member in node.body:
                if public(member):
                    yield from described(member, f"{indent}    ")
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            for decorator in node.decorator_list:
                yield f"{indent}@{ast.unparse(decorator)}"
            returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            yield f"{indent}{word} {name}({ast.unparse(node.args)}){returned}"
        case ast.AnnAssign(target=target, annotation=annotation, value=value):
            given = " = ..." if value is not None else ""
            yield f"{indent}{ast.unparse(target)}: {ast.unparse(annotation)}{given}"
        case ast.Assign(targets=[target], value=value):
            yield f"{indent}{ast.unparse(target)} = {ast.unparse(value)}"


def public(member: ast.stmt) -> bool:
    """Return whether a member of a class is public."""
    match member:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name in KEPT or not name.startswith("_")
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return not name.startswith("_")
    return False


if __name__ == "__main__":
    print(record(), end="")
