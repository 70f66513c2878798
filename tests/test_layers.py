"""The layering and the size budgets, held by reading the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import prefork

ROOT = Path(prefork.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))

PURE_STANDARD = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "typing",
}
MASTER_MAY_NOT = {"logging", "argparse", "subprocess", "tomllib", "asyncio", "msgspec", "multiprocessing", "threading"}
EDGES = {"adapters", "agent", "fleet", "cli", "samples", "_run.py", "_served.py"}

LONGEST_FUNCTION, USUAL_FUNCTION, LONGEST_FILE, LARGEST_CORE, MOST_PARAMETERS = 60, 30, 400, 2660, 5


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, in full: `prefork._core.events`, `os.path`."""
    package = ["prefork", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def below(folder: str) -> list[Path]:
    found = [path for path in FILES if path.relative_to(ROOT).parts[0] == folder]
    assert found
    return found


def test_the_core_imports_nothing_that_acts() -> None:
    for path in below("_core"):
        for name in imports(path):
            inside = name.startswith(("prefork._core", "prefork._errors"))
            assert inside or name.partition(".")[0] in PURE_STANDARD, f"{path}: {name}"


def test_the_kernel_side_imports_no_edge_and_no_library() -> None:
    for path in below("_linux"):
        for name in imports(path):
            top, _, rest = name.partition(".")
            assert top in sys.stdlib_module_names | {"prefork", "setproctitle"}, f"{path}: {name}"
            assert top != "prefork" or rest.partition(".")[0] in {"_core", "_linux", "_errors"}, f"{path}: {name}"


def test_heavy_standard_modules_stay_out_of_the_kernel_side() -> None:
    for path in below("_linux"):
        for name in imports(path):
            assert name.partition(".")[0] not in MASTER_MAY_NOT, f"{path}: {name}"


def test_nothing_below_the_edges_imports_an_edge() -> None:
    for path in FILES:
        if path.relative_to(ROOT).parts[0] not in EDGES:
            for name in imports(path):
                assert name.split(".")[1:2] not in [[edge] for edge in EDGES], f"{path}: {name}"


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> int:
    """Lines of a function that are neither its docstring nor comments nor blank."""
    body = node.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        first = body[1].lineno if len(body) > 1 else (node.end_lineno or 0) + 1
    else:
        first = body[0].lineno
    lines = source[node.lineno - 1 : body[0].lineno - 1] + source[first - 1 : node.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for path in FILES:
        source = path.read_text().splitlines()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.name}", node, code_lines(node, source)


def test_functions_fit_on_a_screen() -> None:
    sizes = sorted((size, name) for name, _, size in functions())
    assert sizes[-1][0] <= LONGEST_FUNCTION, sizes[-1]
    assert sizes[int(len(sizes) * 0.95)][0] <= USUAL_FUNCTION, sizes[int(len(sizes) * 0.95) :]


def test_functions_take_few_parameters() -> None:
    for name, node, _ in functions():
        arguments = node.args
        count = len(
            [
                a
                for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
                if a.arg not in ("self", "cls")
            ]
        )
        assert count <= MOST_PARAMETERS, f"{name} takes {count}"


def test_files_hold_one_idea() -> None:
    for path in FILES:
        assert len(path.read_text().splitlines()) <= LONGEST_FILE, path


def test_the_core_stays_small() -> None:
    """In lines of code: a good half of the core's text is the reason why."""
    assert sum(lines_of_code(path) for path in below("_core")) <= LARGEST_CORE


def lines_of_code(path: Path) -> int:
    comments = {
        line
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = enumerate(path.read_text().splitlines(), 1)
    return sum(1 for number, line in lines if number not in comments and line.strip()[:1] not in ("", "#"))


def test_every_public_name_is_exported_once() -> None:
    assert sorted(prefork.__all__) == prefork.__all__
    assert len(set(prefork.__all__)) == len(prefork.__all__)
    assert all(hasattr(prefork, name) for name in prefork.__all__)
