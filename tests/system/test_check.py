"""`prefork check`: the same answer as a start would give, and nothing left behind."""

from __future__ import annotations

import json
import signal

import pytest

from support import Start
from system.runs import ASGI, PREFORK, check, checked, write


def test_it_prints_the_plan_for_people(start: Start) -> None:
    write(start, "shop.py", ASGI)
    status, out, err = check(start, "shop:app", "-w", "3", "-b", ":9000")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "shop: shop:app, ASGI function"
    assert lines[1].split()[:2] == ["server", "uvicorn"]
    assert lines[2:] == [
        "  listener   http at tcp://*:9000",
        "  kind       web (3, can be scaled from 1 to 64): restart always, replace new-first",
        "  slots      web/0 web/1 web/2",
    ]


def test_json_plan_is_clean_of_application_output(start: Start) -> None:
    write(start, "shop.py", ASGI + "\nprint('noise')\n")
    found = checked(start, "shop:app", "-w", "2", "--drain-timeout", "5s")
    assert found["slots"] == ["web/0", "web/1"]
    assert found["kinds"][0]["drain_timeout"] == 5
    assert found["listeners"][0]["address"] == "tcp://127.0.0.1:8000"
    assert found["about"]["application"] == "ASGI function"
    assert "options" not in found


def test_it_shows_where_each_value_stood(start: Start) -> None:
    write(start, "prefork.toml", "workers = 2\nthreads = 3\n")
    status, out, _ = check(start, "--show", "--json", "--spares", "0", env={"PREFORK_THREADS": "5"})
    assert status == 0
    options = json.loads(out)["options"]
    shown = {
        name: (options[name]["value"], options[name]["source"]) for name in ("workers", "threads", "spares", "bind")
    }
    assert shown == {
        "workers": (2, "prefork.toml: workers"),
        "threads": (5, "PREFORK_THREADS"),
        "spares": (0, "--spares"),
        "bind": (["tcp://127.0.0.1:8000"], "default"),
    }
    status, out, _ = check(start, "--show")
    assert status == 0
    assert [line.split() for line in out.splitlines() if line.startswith("threads")] == [
        ["threads", "3", "prefork.toml:", "threads"]
    ]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("app = 1", "shop is an int, which cannot be called"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_check_shows_the_applications_own_traceback(start: Start, source: str, why: str) -> None:
    write(start, "shop.py", source)
    status, out, err = check(start, "shop")
    assert (status, out) == (1, "")
    assert err.startswith("prefork: shop cannot be run\n")
    assert why in err
    assert "/prefork/" not in err


def test_json_has_the_applications_own_traceback(start: Start) -> None:
    write(start, "shop.py", "import nothing_like_it")
    status, out, _ = check(start, "shop", "--json")
    assert status == 1
    assert "ModuleNotFoundError: No module named 'nothing_like_it'" in json.loads(out)["error"]


def test_an_import_that_does_not_end_is_ended(start: Start) -> None:
    write(start, "shop.py", "import signal\nsignal.pause()\n")
    status, _, err = check(start, "shop", "--import-timeout", "500ms")
    assert status == 1
    assert "importing the application took longer than --import-timeout: raise it" in err


def test_wrong_usage_is_no_failure(start: Start) -> None:
    assert check(start)[0] == 2
    assert check(start, "shop", "--workers", "0")[0] == 2
    assert check(start, "shop:")[0] == 2


def test_what_the_application_has_started_is_ended_too(start: Start) -> None:
    left = "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n"
    write(start, "shop.py", left + left.replace("])", "], start_new_session=True)") + ASGI)
    assert checked(start, "shop")["name"] == "shop"


def test_an_interrupted_check_is_no_failed_one(start: Start) -> None:
    write(start, "shop.py", "import sys, signal\nprint('importing', file=sys.stderr, flush=True)\nsignal.pause()\n")
    running = start.command(PREFORK, "check", "shop")
    running.expect("importing", "err")
    running.send(signal.SIGINT)
    assert running.wait() == 130
    assert running.left() == []


def test_a_directory_that_has_been_removed_is_said(start: Start) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$1" shop:app'
    for command in "check", "run":
        running = start.command("sh", "-c", script, PREFORK, command)
        assert running.wait() == 1
        assert running.err == ["prefork: the current directory was removed: change to another"]


def test_output_that_cannot_be_written_is_said_in_a_line(start: Start) -> None:
    write(start, "shop.py", ASGI)
    full = start.command("sh", "-c", 'exec "$0" check shop:app >/dev/full', PREFORK)
    assert full.wait() == 1
    assert full.err == ["prefork: [Errno 28] No space left on device"]
    closed = start.command("sh", "-c", 'exec "$0" check shop:app >&-', PREFORK)
    assert closed.wait() == 0
    assert closed.err == []


def test_variables_of_a_platform_are_in_force(start: Start) -> None:
    """Shown is not enough: the plan has them. A daemon, whose code decides, may stand beside them."""
    write(start, "shop.py", ASGI)
    platform = {"WEB_CONCURRENCY": "3", "PORT": "5000"}
    found = checked(start, "shop:app", env=platform)
    assert found["slots"] == ["web/0", "web/1", "web/2"]
    assert found["listeners"][0]["address"] == "tcp://*:5000"
    assert len(checked(start, "shop:app", "-w", "1", env=platform)["slots"]) == 1
    write(start, "jobs.py", "import prefork\ndaemon = prefork.Daemon('jobs')\n@daemon.plan\ndef plan(): return []\n")
    assert checked(start, "jobs", env=platform)["slots"] == []


def test_strict_fails_for_what_workers_would_miss(start: Start) -> None:
    """Only for that: not for what a fork carries over, nor where each worker imports by itself."""
    thread = (
        "\nimport threading, time\nthreading.Thread(target=time.sleep, args=[60], name='{}', daemon=True).start()\n"
    )
    write(start, "shop.py", ASGI + thread.format("sender") + thread.format("poller"))
    assert check(start, "shop:app")[0] == 0
    status, out, err = check(start, "shop:app", "--strict")
    assert (status, err) == (1, "prefork: shop:app: workers miss what its import has started (--strict)")
    lines = [line for line in out.splitlines() if line.startswith("  lost ")]
    assert [line.split("'")[1] for line in lines] == ["sender", "poller"]
    assert f"started at {start.directory}/shop.py:" in lines[0]
    status, out, _ = check(start, "shop:app", "--strict", "--json")
    assert (status, len(json.loads(out)["lost"])) == (1, 2)
    assert check(start, "shop:app", "--strict", "--no-preload")[0] == 0
    pool = "\nfrom concurrent.futures import ThreadPoolExecutor as P\npool = P(1)\npool.submit(len, []).result()\n"
    write(start, "shop.py", ASGI + pool)
    assert check(start, "shop:app", "--strict")[0] == 0
