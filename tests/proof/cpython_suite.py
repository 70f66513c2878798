"""CPython's own tests, each module in a worker forked from a heap of which everything is shared.

    PYTHONPATH=src python tests/proof/cpython_suite.py [MODULE ...]

Without modules: all of `QUICK` and `LONG`. What fails is tried again in a worker of an ordinary heap, so that
a test that the machine fails is not laid to our charge; exits 1 if a test fails only in the first, or if a module
has moved the count of an immortal object. The interpreter must ship `test`, and be one on which objects can be made
immortal.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
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
from typing import Any

from immortal_counts import Counts
from prefork._mold.leave import leave
from prefork._worker import sharing
from prefork._worker.immortal.support import unsupported

# What the heap is made of: what daemons import, so that the tests use objects born in the mold.
LIBRARIES = """
    argparse array ast asyncio base64 bisect bz2 collections.abc concurrent.futures configparser contextlib
    copy csv ctypes dataclasses datetime decimal dis email.message enum fractions functools gzip hashlib
    heapq hmac html http.client http.server inspect io ipaddress itertools json logging.config lzma math
    mmap multiprocessing operator pathlib pickle queue random re selectors shutil socket sqlite3 ssl
    statistics string struct subprocess tarfile tempfile textwrap threading tomllib traceback types typing
    urllib.request uuid weakref xml.etree.ElementTree zipfile zlib zoneinfo
"""

# Slow ones first, so that the last to end is a short one.
QUICK = """
    test_threading test_io test_pickle test_unicode test_itertools test_decimal test_weakref test_buffer
    test_gc test_json test_os test_posix test_math test_traceback test_re test_enum test_shutil
    test_statistics test_random test_asyncgen test_deque test_zlib test_exceptions test_bz2 test_tempfile
    test_context test_collections test_struct test_gzip test_tuple test_bufio test_hashlib test_list
    test_sqlite3 test_heapq test_glob test_dataclasses test_configparser test_typing test_coroutines
    test_array test_lzma test_descr test_int test_dict test_base64 test_builtin test_functools test_float
    test_generators test_ordered_dict test_types test_csv test_memoryview test_contextlib test_sort
    test_frame test_fractions test_memoryio test_fileio test_operator test_isinstance test_bisect test_copy
    test_hmac test_weakset test_funcattrs test_exception_group test_defaultdict test_class test_super
    test_property test_string test_textwrap test_binascii
"""
# Without test_socket, which waits for ever on the virtual sockets of some virtual machines, in any heap.
LONG = """
    test_set test_bytes test_pathlib test_datetime test_signal test_subprocess test_asyncio
    test_concurrent_futures test_logging test_selectors test_tarfile test_zipfile test_ssl test_httplib
    test_urllib test_urlparse test_email test_xml_etree test_xml_etree_c test_pyexpat test_ctypes
    test_inspect test_ast test_compile test_dis test_code test_symtable test_queue test_thread
    test_threading_local test_sched test_finalization test_atexit test_tomllib test_uuid test_zoneinfo
    test_ipaddress test_mmap test_marshal test_codecs test_syntax test_scope test_type_params
    test_type_cache test_genericalias test_abc test_index test_long test_slice test_range test_enumerate
    test_iter test_call test_extcall test_unpack test_patma test_fstring test_format test_warnings
    test_unittest test_importlib test_argparse test_difflib test_select test_poll test_epoll test_sys
    test_fork1 test_wait3 test_wait4 test_faulthandler test_copyreg
"""

# Run in the mold as well, so that CPython has adapted their code, and what they use, to constants that were mortal.
WARM = "test_json test_textwrap test_functools test_collections test_float test_heapq"

# Looked for here: whether an object of the mold is tracked by the collector. From CPython 3.14 on, a collection that
# finds an immortal object no longer tracks it, and these tests thaw the heap and collect.
UNTRACKED = ("test_gc.GCTests.test_is_tracked", "test_gc.GCTests.test_get_referents_on_capsule")

MODULE_DEADLINE = 400.0
AT_ONCE = 2


@dataclass(frozen=True)
class Outcome:
    """Of one test module."""

    module: str
    tests: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)
    """Immortal objects whose count the tests have moved, and by how much."""
    reason: str = ""
    """Why it did not run here."""


def available() -> str | None:
    """Why this cannot be had with this interpreter, or None."""
    if (refusal := unsupported()) is not None:
        return refusal
    if importlib.util.find_spec("test.support") is None:
        return "this Python ships no tests of its own"
    return None


def run(mode: sharing.Mode, modules: list[str], directory: Path) -> list[Outcome]:
    """Run test modules in workers of this process, whose heap is made `mode` by it: not to be undone."""
    # No network, no heavy use of the machine.
    support: Any = importlib.import_module("test.support")
    support.use_resources = []
    for library in LIBRARIES.split():
        importlib.import_module(library)
    if mode == "immortal":
        with open(os.devnull, "w") as nowhere:
            unittest.TextTestRunner(nowhere).run(unittest.defaultTestLoader.loadTestsFromNames(_names(WARM)))
    did = sharing.prepare(mode)
    assert did.mode == mode, did.warning
    counts = Counts() if mode == "immortal" else None
    left, outcomes = modules[::-1], list[Outcome]()
    running: dict[int, tuple[int, str, float]] = {}
    while left or running:
        while left and len(running) < AT_ONCE:
            module = left.pop()
            (directory / module).mkdir()
            pid = _fork(module, directory / module, counts)
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


def _names(modules: str) -> list[str]:
    return [f"test.{module}" for module in modules.split()]


def _fork(module: str, directory: Path, counts: Counts | None) -> int:
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
    if counts:
        counts.take()
    outcome = _tested(module)
    outcome.moved.update(counts.moved() if counts else {})
    Path("outcome").write_text(json.dumps(vars(outcome)))
    sharing.before_exit()
    return leave(0)


def _tested(module: str) -> Outcome:
    if importlib.util.find_spec(f"test.{module}") is None:
        return Outcome(module, reason="not among this version's")
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    except unittest.SkipTest as skip:
        return Outcome(module, reason=str(skip))
    result = unittest.TextTestRunner(sys.stdout).run(suite)
    # Without what follows the name of a subtest: it may differ from run to run.
    failed = [test.id().split()[0] for test, _ in result.failures + result.errors]
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
    failed = ", ".join(outcome.failed) or "none"
    moved = f", counts moved: {outcome.moved}" if outcome.moved else ""
    return f"{outcome.module}: {outcome.tests} tests, {outcome.skipped} skipped, failed: {failed}{moved}"


def _in_a_mold_of_its_own(mode: sharing.Mode, modules: list[str], directory: Path) -> list[Outcome]:
    pid = os.fork()
    if pid == 0:
        outcomes = run(mode, modules, directory)
        (directory / "outcomes").write_text(json.dumps([vars(outcome) for outcome in outcomes]))
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, "the mold has failed"
    return [Outcome(**fields) for fields in json.loads((directory / "outcomes").read_text())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    modules = parser.parse_args().modules or [*QUICK.split(), *LONG.split()]
    if (reason := available()) is not None:
        sys.exit(f"cannot be had here: {reason}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell starts what is in the background without it.
    start = time.monotonic()
    # No `with`: a worker that exits leaves all blocks that were open when it was forked.
    first, second = tempfile.TemporaryDirectory(), tempfile.TemporaryDirectory()
    immortal = _in_a_mold_of_its_own("immortal", modules, Path(first.name))
    suspects = [outcome.module for outcome in immortal if outcome.failed]
    print(f"again in an ordinary heap: {suspects or 'nothing'}")
    again = _in_a_mold_of_its_own("none", suspects, Path(second.name))
    ordinary = {test for outcome in again for test in outcome.failed}
    expected = {f"test.{name}" for name in UNTRACKED} if sys.version_info >= (3, 14) else set()
    ours = sorted({test for outcome in immortal for test in outcome.failed} - ordinary - expected)
    moved = {outcome.module: len(outcome.moved) for outcome in immortal if outcome.moved}
    tests, skipped = sum(o.tests for o in immortal), sum(o.skipped for o in immortal)
    print(
        f"CPython {sys.version.split()[0]}, workers of an immortal heap: {tests:,} tests of {len(modules)}"
        f" modules, {skipped:,} skipped, {time.monotonic() - start:.0f} s; failed also in an ordinary heap:"
        f" {len(ordinary)}, failed only here: {ours or 'none'};"
        f" modules that moved counts of immortal objects: {moved or 'none'}"
    )
    sys.exit(1 if ours or moved else 0)


if __name__ == "__main__":
    main()
