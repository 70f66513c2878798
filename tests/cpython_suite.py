"""CPython's own tests, each module in a worker forked from a heap of which everything is shared.

    PYTHONPATH=src python tests/cpython_suite.py [--mode immortal] [MODULE ...]

Without modules: all of `QUICK` and `LONG`. What fails is tried again in a worker of an ordinary heap, so that
a test that the machine fails is not laid to our charge; exits 1 if a test fails only in the first. The
interpreter must ship `test`, and be one on which objects can be made immortal.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
import unittest
from dataclasses import dataclass, field
from pathlib import Path

from prefork._linux import sharing

# What the heap is made of: what daemons import, so that the tests use objects born in the mold.
LIBRARIES = [
    "argparse",
    "array",
    "ast",
    "asyncio",
    "base64",
    "bisect",
    "bz2",
    "collections.abc",
    "concurrent.futures",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "ctypes",
    "dataclasses",
    "datetime",
    "decimal",
    "dis",
    "email.message",
    "enum",
    "fractions",
    "functools",
    "gzip",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "http.client",
    "http.server",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "logging.config",
    "lzma",
    "math",
    "mmap",
    "multiprocessing",
    "operator",
    "pathlib",
    "pickle",
    "queue",
    "random",
    "re",
    "selectors",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "tomllib",
    "traceback",
    "types",
    "typing",
    "urllib.request",
    "uuid",
    "weakref",
    "xml.etree.ElementTree",
    "zipfile",
    "zlib",
    "zoneinfo",
]

QUICK = [
    "test_dict",
    "test_list",
    "test_tuple",
    "test_int",
    "test_float",
    "test_unicode",
    "test_weakref",
    "test_weakset",
    "test_gc",
    "test_fileio",
    "test_bufio",
    "test_memoryio",
    "test_json",
    "test_sqlite3",
    "test_typing",
    "test_types",
    "test_descr",
    "test_generators",
    "test_coroutines",
    "test_asyncgen",
    "test_functools",
    "test_collections",
    "test_deque",
    "test_ordered_dict",
    "test_defaultdict",
    "test_re",
    "test_struct",
    "test_array",
    "test_memoryview",
    "test_copy",
    "test_enum",
    "test_dataclasses",
    "test_contextlib",
    "test_context",
    "test_exceptions",
    "test_frame",
    "test_funcattrs",
    "test_builtin",
    "test_class",
    "test_super",
    "test_property",
    "test_isinstance",
    "test_operator",
    "test_heapq",
    "test_bisect",
    "test_threading_local",
    "test_io",
]

LONG = ["test_threading"]

MODULE_DEADLINE = 300.0
AT_ONCE = 2


@dataclass(frozen=True)
class Outcome:
    """Of one test module."""

    module: str
    tests: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    reason: str = ""
    """Why it did not run here."""


def available() -> str | None:
    """Why this cannot be had with this interpreter, or None."""
    if (refusal := sharing.unsupported()) is not None:
        return refusal
    try:
        from test import support
    except ImportError as error:
        return f"this Python ships no tests of its own ({error})"
    return None if hasattr(support, "use_resources") else "this Python's tests are of another kind"


def run(mode: sharing.Mode, modules: list[str]) -> list[Outcome]:
    """Run test modules in workers of this process, whose heap is made `mode` by it: not to be undone."""
    from test import support

    support.use_resources = []
    for library in LIBRARIES:
        importlib.import_module(library)
    did = sharing.prepare(mode)
    assert did.mode == mode, did.warning
    with tempfile.TemporaryDirectory() as directory:
        return _run_all(modules, Path(directory))


def _run_all(modules: list[str], directory: Path) -> list[Outcome]:
    left, running, outcomes = modules[::-1], {}, []
    while left or running:
        while left and len(running) < AT_ONCE:
            module = left.pop()
            (directory / module).mkdir()
            pid = _fork(module, directory / module)
            running[os.pidfd_open(pid)] = pid, module, time.monotonic() + MODULE_DEADLINE
        first = min(deadline for _, _, deadline in running.values())
        ended, _, _ = select.select(list(running), [], [], max(0.0, first - time.monotonic()))
        for pidfd in ended or [pidfd for pidfd, (_, _, deadline) in running.items() if deadline == first]:
            pid, module, _ = running.pop(pidfd)
            if not ended:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            outcomes.append(_outcome(module, directory / module, os.waitpid(pid, 0)[1]))
            print(_line(outcomes[-1]), flush=True)
    return outcomes


def _fork(module: str, directory: Path) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    sharing.newborn()
    # Tests write where they stand, and some leave processes behind that would hold our output open.
    os.chdir(directory)
    log = os.open("log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    Path("outcome").write_text(json.dumps(vars(_tested(module))))
    sharing.before_exit()
    sys.exit()


def _tested(module: str) -> Outcome:
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    except unittest.SkipTest as skip:
        return Outcome(module, reason=str(skip))
    result = unittest.TextTestRunner(sys.stdout).run(suite)
    failed = [str(test) for test, _ in result.failures + result.errors]
    return Outcome(module, result.testsRun, len(result.skipped), failed)


def _outcome(module: str, directory: Path, status: int) -> Outcome:
    log = (directory / "log").read_text(errors="replace") if (directory / "log").exists() else ""
    with contextlib.suppress(FileNotFoundError):
        outcome = Outcome(**json.loads((directory / "outcome").read_text()))
        if outcome.failed:
            print(log, flush=True)
        if status == 0:
            return outcome
    print(log, flush=True)
    return Outcome(module, failed=[f"{module} ended with status {os.waitstatus_to_exitcode(status)}"])


def _line(outcome: Outcome) -> str:
    if outcome.reason:
        return f"{outcome.module}: not here: {outcome.reason}"
    return f"{outcome.module}: {outcome.tests} tests, {outcome.skipped} skipped, failed: {outcome.failed or 'none'}"


def _in_a_mold_of_its_own(mode: sharing.Mode, modules: list[str]) -> list[Outcome]:
    with tempfile.NamedTemporaryFile("w+") as report:
        pid = os.fork()
        if pid == 0:
            report.write(json.dumps([vars(outcome) for outcome in run(mode, modules)]))
            report.flush()
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        return [Outcome(**fields) for fields in json.load(open(report.name))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    modules = parser.parse_args().modules or [*QUICK, *LONG]
    if (reason := available()) is not None:
        sys.exit(f"cannot be had here: {reason}")
    start = time.monotonic()
    immortal = _in_a_mold_of_its_own("immortal", modules)
    suspects = [outcome.module for outcome in immortal if outcome.failed]
    print(f"again in workers of an ordinary heap: {suspects or 'nothing'}")
    ordinary = {test for outcome in _in_a_mold_of_its_own("none", suspects) for test in outcome.failed}
    ours = sorted({test for outcome in immortal for test in outcome.failed} - ordinary)
    tests, skipped = sum(o.tests for o in immortal), sum(o.skipped for o in immortal)
    print(
        f"CPython {sys.version.split()[0]}: {tests:,} tests of {len(modules)} modules in workers of an immortal heap,"
        f" {skipped} skipped, {len(ordinary)} fail in an ordinary heap too, only here: {ours or 'none'}"
        f" ({time.monotonic() - start:.0f} s)"
    )
    sys.exit(1 if ours else 0)


if __name__ == "__main__":
    main()
