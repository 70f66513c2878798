"""A program that watches and controls a daemon: checked by mypy and by pyright, strictly, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from typing import NoReturn, assert_type

import prefork
from prefork.client import Event
from prefork.scoreboard import Process, Reading


def watch() -> None:
    """Use all that a client has."""
    client = prefork.connect("shop")
    assert_type(client, prefork.Client)
    assert_type(client.scoreboard(), FileIO)
    assert_type(client.events(follow=True), Iterator[Event])
    for event in client.events():
        print(event["event"], event.get("slot"))
    assert_type(client.reload(each=print), str)
    assert_type(client.replan(), str)
    assert_type(client.restart("web/0"), str)
    assert_type(client.scale("web", 6), str)
    assert_type(client.scale(None, "auto"), str)
    assert_type(client.stop(), str)
    print(client.status(timeout=1)["generation"], client.hello()["pid"], client.plan("replan")["text"])
    print([stack["verdict"] for stack in client.stacks("web/0", force=True)], client.crashes(), client.explain("web/0"))


def figures() -> None:
    """Use the scoreboard."""
    with prefork.open_scoreboard("shop") as board:
        reading = board.read()
    assert_type(reading, Reading)
    assert_type(reading.processes, tuple[Process, ...])
    for process in reading.processes:
        assert_type(process.busy_for, float | None)
    assert_type(reading.measures.latency.quantile(0.99), float | None)


def failures() -> int:
    """Tell errors apart."""
    try:
        prefork.connect().reload()
    except prefork.NotRunningError as error:
        return error.exit_code
    except (prefork.UsageError, prefork.CommandFailedError, prefork.SystemFailure, prefork.InternalError) as error:
        assert_type(error.exit_code, int)
    except prefork.PreforkError:
        pass
    return 0


def serve() -> NoReturn:
    """Run an application."""
    prefork.run("shop:app", workers="auto", bind=["127.0.0.1:8000"], drain_timeout=30, reload=True, share="freeze")
