"""Which folder may import which, and the size budgets, held by reading the source.

A folder is a process (`_master`, `_mold`, `_worker`, ...) or something that several of them share. The rules hold for
imports in functions and under TYPE_CHECKING too: a name that a reader has to follow is a dependency.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import prefork

ROOT = Path(prefork.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

API = ("__init__", "__main__", "_context", "_errors", "_listener", "client", "config", "daemon", "hooks", "scoreboard")
"""The modules at the root: what users import, and three that its parts share."""

MAY_IMPORT: dict[str, set[str]] = {
    "_core": {"_records", "_errors", "_options.records"},
    "_report": {"_records", "_core", "_errors"},
    "_wire": {
        "_errors",
        "_core.plan",
        "_records",
        "_linux.terms",
        "_linux.memfd",
        "_options.records",
        "_options.types",
    },
    "_linux": {"_errors", "_records", "_wire"},
    "_worker": {"_errors", "_records", "_wire", "_linux", "_hooks.role"},
    "_options": {"_errors", "_records", "_linux.address", "_linux.regular_file"},
    "_fields": {"_errors"},
    "_foreign": {"_errors", "_options"},
    "_records": set(),
    "_mold": {
        "_errors",
        "_records",
        "_wire",
        "_linux",
        "_worker",
        "_options",
        "adapters",
        "_context",
        "_listener",
        "daemon",
        "_agent",
    },
    "_agent": {"_errors", "_linux", "_report", "_client", "_worker.activity", "_worker.handle", "_worker.telemetry"}
    | {"_wire.keys", "_core.watch.verdicts", "adapters", "client", "scoreboard"}
    | {"_wire.metrics", "_wire.places", "_wire.printable", "_worker.async_handle", "_worker.metrics"},
    "_reader": {"_errors", "_records", "_wire.frames"},
    "_master": {"_errors", "_records", "_wire", "_linux", "_core", "_report", "_options.records"},
    "_hooks": {
        "_errors",
        "_records",
        "_linux",
        "_core",
        "_report",
        "_master.loop",
        "_master.control",
        "_master.identity",
    }
    | {"_master.runtime", "_wire.places", "_options.target", "_options.types"},
    "_launch": {
        "_errors",
        "_options",
        "_records",
        "_report",
        "_wire.launch",
        "_wire.stored",
        "_linux",
        "_mold.mold",
        "_hooks.role",
        "_foreign",
    },
    "adapters": {"_errors", "_worker", "_linux.steering", "_options.listed.access"},
    "_client": {"_errors", "_wire", "_linux.credentials"},
    "cli": {"_errors", "_wire", "_linux", "_report", "_options", "_launch", "_client", "client", "scoreboard"}
    | {"_foreign"},
    "testing": {"_errors", "_client", "_launch.served", "_linux.figures", "_options", "_wire.places", "scoreboard"}
    | {"_agent.families", "_agent.release", "_agent.source", "_worker.activity", "client", "daemon"}
    | {"_core", "_report.journal"},
    "samples": {"__init__", "adapters.uvicorn"},
    "__init__": {"_context", "_errors", "_listener", "client", "config", "daemon", "hooks", "scoreboard"}
    | {"_worker.activity", "_worker.handle", "_worker.async_handle", "_worker.callbacks.registered"}
    | {"_hooks.role", "_linux.program", "_worker.metrics.collectors"}
    | {"_launch.served.run"},
    "__main__": {"cli"},
    "_context": {"_errors", "_wire", "_fields"},
    "_errors": set(),
    "_listener": {"_errors", "_linux.address"},
    "client": {"_errors", "_wire", "_client", "_linux.program", "_linux.regular_file", "_options.table"},
    "config": {"_errors", "_linux.regular_file"},
    "daemon": {"_errors", "_context", "_listener", "config", "_launch", "_options.records", "_options.types"}
    | {"_worker.metrics.collectors"},
    "hooks": {"_errors", "_context", "_hooks", "_linux.program", "_linux.signals", "_master.loop"},
    "scoreboard": {"_errors", "_wire", "client"},
}
"""Folder, or module of the root -> what its modules may import of this package, besides each other."""

EXCEPTIONS = {
    "cli._dry_run": {"_master.births.start", "_master.children", "_master.passed.shared", "_master.paths.relied_on"}
    | {"_master.watching.contents"}
}
"""Module -> what it alone may import besides: the dry run of `prefork check` starts a mold as the master would."""

SHARED = {"_wire", "_linux", "_errors"}
PURE = {"_core", "_records", "_report", "_options.records", "_options.types"}
PURE_STANDARD = {
    *(
        "__future__",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "heapq",
        "itertools",
        "json",
        "math",
    ),
    *("operator", "re", "time", "types", "typing"),
}
"""Of `time` what formats a time that is given; `test_pure_folders_read_no_clock` holds that."""
CLOCKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep"}
STANDARD_ONLY = PURE | {"_wire", "_linux", "_master", "_hooks", "_options.target"}
"""What masters import: the standard library, setproctitle, and none of the large modules below."""
MASTER_MAY_NOT = {"logging", "argparse", "subprocess", "tomllib", "asyncio", "msgspec", "multiprocessing", "threading"}

MOST_MODULES, MOST_AT_THE_ROOT = 25, 10
LONGEST_FUNCTION, USUAL_FUNCTION, LONGEST_FILE, MOST_PARAMETERS = 55, 22, 400, 5

LARGEST = {
    "_core": 2250,
    "_core/restarts": 180,
    "_core/judge": 370,
    "_core/watch": 300,
    "_core/profiling": 70,
    "_core/view": 250,
    "_core/kept": 290,
    "_core/handover": 330,
    "_report": 680,
    "_report/counts": 110,
    "_report/reports": 110,
    "_wire": 900,
    "_wire/metrics": 550,
    "_linux": 850,
    "_linux/cgroups": 60,
    "_linux/listening": 100,
    "_linux/started": 100,
    "_linux/tracing": 80,
    "_linux/others": 60,
    "_agent": 350,
    "_agent/push": 530,
    "_agent/story": 200,
    "_agent/dashboard": 1000,
    "_worker": 1300,
    "_worker/immortal": 135,
    "_worker/metrics": 400,
    "_worker/orphans": 250,
    "_worker/telemetry": 90,
    "_mold": 900,
    "_mold/stock": 600,
    "_hooks": 650,
    "_hooks/control": 440,
    "_hooks/decider": 570,
    "_launch": 250,
    "testing": 800,
    "testing/driving": 400,
    "testing/simulated": 500,
    "_fields": 180,
    "_fields/json": 80,
    "_options": 500,
    "_options/agent": 60,
    "_options/listed": 300,
    "_agent/families": 540,
    "adapters/web": 1200,
    "adapters/web/access": 740,
    "_client": 400,
    "_client/answers": 220,
    "cli/_new": 260,
    "_master": 1300,
    "_master/births": 800,
    "_master/forks": 120,
    "_master/listeners": 900,
    "_master/hangs": 560,
    "_master/hangs/evidence": 180,
    "_master/outside": 250,
    "_reader": 350,
    "_reader/sampling": 240,
    "_master/control": 650,
    "_master/log": 250,
    "_master/runtime": 370,
    "_master/judge": 80,
    "_master/service": 160,
    "_master/store": 200,
    "_master/scoreboard": 270,
    "_master/kept": 760,
    "_master/upgrade": 530,
    "_master/adoption": 660,
    "_master/adoption/listeners": 170,
}
"""Folder -> lines of code that it may have, some tenth more than it needs. Where one is full, look for the second idea
in it; a number here is not raised by the commit that breaks it.
"""


def name_of(path: Path) -> str:
    """Return a file's module, below the package: `_core.events`, `_master`, `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def room(module: str) -> str:
    """Return the folder of a module; for one of the root itself."""
    return module.partition(".")[0]


def imports(path: Path) -> Iterator[str]:
    """Return every module that a file imports, in full: `prefork._core.events`, `os.path`."""
    package = ["prefork", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def module_of(name: str) -> str | None:
    """Return our module that an imported name is, or is of; None for another package's."""
    top, *parts = name.split(".")
    if top != "prefork":
        return None
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts) or "__init__"


@cache
def edges() -> dict[str, set[str | None]]:
    """Return what each module imports of ours. Read by the first test that asks, not by each process that collects."""
    return {
        module: {target for name in imports(path) if (target := module_of(name)) not in (None, module)}
        for module, path in MODULES.items()
    }


def allowed(module: str, target: str) -> bool:
    rules = MAY_IMPORT[room(module)] | EXCEPTIONS.get(module, set())
    return (room(target) == room(module) and room(module) not in API) or any(
        target == rule or target.startswith(rule + ".") for rule in rules
    )


def test_every_folder_has_a_rule() -> None:
    assert {room(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_stay_within_the_rules(folder: str) -> None:
    broken = [
        f"{module} imports {target}"
        for module, targets in edges().items()
        if room(module) == folder
        for target in sorted(filter(None, targets))
        if not allowed(module, target)
    ]
    assert not broken


def test_no_rule_is_unused() -> None:
    """A rule that no import needs would let the next one in unseen."""
    used = {(room(module), target) for module, targets in edges().items() for target in targets if target}
    unused = [
        f"{folder} may import {rule}"
        for folder, rules in MAY_IMPORT.items()
        for rule in rules
        if rule != "_errors"
        and not any(who == folder and (target == rule or target.startswith(rule + ".")) for who, target in used)
    ]
    assert not unused


def test_no_circles() -> None:
    left = {module: set(targets) for module, targets in edges().items()}
    while leaves := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in leaves:
            del left[module]
    assert not left, f"these import each other: {sorted(left)}"


def test_wire_is_shared() -> None:
    """What only one process reads is no format that two must agree on; what shared code reads counts for its users."""
    for module in (module for module in MODULES if module.startswith("_wire.") and MODULES[module].stem != "__init__"):
        users = {user for user, targets in edges().items() if module in targets}
        users |= {user for user, targets in edges().items() if targets & {who for who in users if room(who) in SHARED}}
        assert len({room(user) for user in users} - SHARED) >= 2, f"{module} is imported by {sorted(users)} alone"


def test_pure_folders_import_nothing_that_acts() -> None:
    for module, path in MODULES.items():
        if {module, room(module)} & PURE:
            outside = {name.partition(".")[0] for name in imports(path)} - {"prefork"}
            if module == "_records.members":
                outside -= {"sys"}  # A class's module has the names in its annotations.
            assert outside <= PURE_STANDARD, f"{module}: {outside - PURE_STANDARD}"


def test_pure_folders_read_no_clock() -> None:
    for module, path in MODULES.items():
        if {module, room(module)} & PURE:
            read = {name for name in imports(path) if name.partition(".")[0] == "time"}
            assert not read & {f"time.{clock}" for clock in CLOCKS}, f"{module}: {read}"


def test_master_imports_the_standard_library_only() -> None:
    for module, path in MODULES.items():
        if {module, room(module)} & STANDARD_ONLY:
            outside = {name.partition(".")[0] for name in imports(path)} - {"prefork", "setproctitle"}
            assert outside <= sys.stdlib_module_names - MASTER_MAY_NOT, f"{module}: {outside}"


def test_kit_needs_pytest_in_its_plugin_only() -> None:
    for module, path in MODULES.items():
        if room(module) == "testing":
            outside = {name.partition(".")[0] for name in imports(path)} - {"prefork"} - sys.stdlib_module_names
            assert outside == ({"pytest"} if module == "testing.plugin" else set()), module


def test_reader_imports_the_standard_library_only() -> None:
    """It runs without the site packages."""
    for module, path in MODULES.items():
        if room(module) == "_reader":
            outside = {name.partition(".")[0] for name in imports(path)} - {"prefork"}
            assert outside <= sys.stdlib_module_names, f"{module}: {outside}"


def test_core_has_records_and_no_frozen_dataclasses() -> None:
    """Each of those is seven kilobytes more of a master, which has a hundred."""
    for module, path in MODULES.items():
        if room(module) in {"_core", "_report"}:
            assert "@dataclass(frozen=True, slots=True)\n" not in path.read_text(), f"{module}: use _core.record"


def test_folders_are_small() -> None:
    folders = {path.parent for path in FILES}
    for folder in folders:
        modules = [path for path in FILES if path.parent == folder and path.name != "__init__.py"]
        assert len(modules) <= MOST_MODULES, f"{folder}: {len(modules)} modules"
    assert sorted(API) == sorted(module for module in MODULES if "." not in module and MODULES[module].parent == ROOT)
    assert len(API) <= MOST_AT_THE_ROOT


@pytest.mark.parametrize("folder", LARGEST)
def test_folders_stay_within_their_budget(folder: str) -> None:
    """In lines of code: a good half of the text is the reason why."""
    lines = sum(lines_of_code(path) for path in FILES if path.parent == ROOT / folder)
    assert lines <= LARGEST[folder]


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> int:
    """Return how many lines of a function are neither its docstring nor comments nor blank."""
    body = node.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        first = body[1].lineno if len(body) > 1 else (node.end_lineno or 0) + 1
    else:
        first = body[0].lineno
    lines = source[node.lineno - 1 : body[0].lineno - 1] + source[first - 1 : node.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for module, path in MODULES.items():
        source = path.read_text().splitlines()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module}:{node.name}", node, code_lines(node, source)


def test_functions_fit_on_a_screen() -> None:
    sizes = sorted((size, name) for name, _, size in functions())
    assert sizes[-1][0] <= LONGEST_FUNCTION, sizes[-1]
    assert sizes[int(len(sizes) * 0.95)][0] <= USUAL_FUNCTION, sizes[int(len(sizes) * 0.95) :]


def test_functions_take_few_parameters() -> None:
    for name, node, _ in functions():
        arguments = node.args
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        count = len([argument for argument in every if argument.arg not in ("self", "cls")])
        assert count <= MOST_PARAMETERS, f"{name} takes {count}"


def test_files_are_short() -> None:
    for path in FILES:
        assert len(path.read_text().splitlines()) <= LONGEST_FILE, path


def lines_of_code(path: Path) -> int:
    comments = {
        line
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = enumerate(path.read_text().splitlines(), 1)
    return sum(1 for number, line in lines if number not in comments and line.strip()[:1] not in ("", "#"))


def test_every_public_name_is_exported_once() -> None:
    assert sorted(prefork.__all__) == prefork.__all__
    assert len(set(prefork.__all__)) == len(prefork.__all__)
    assert all(hasattr(prefork, name) for name in prefork.__all__)
