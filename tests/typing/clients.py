"""A program that watches and controls a daemon: checked by mypy and by pyright, strictly, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from typing import Literal, NoReturn, assert_type

import prefork
from prefork.client import Change, Crash, Event, SlotState
from prefork.scoreboard import Process, Reading


def watch() -> None:
    """Use all that a client has."""
    client = prefork.connect("shop")
    assert_type(client, prefork.Client)
    assert_type(client.scoreboard(), FileIO)
    assert_type(client.events(follow=True), Iterator[Event])
    for event in client.events():
        assert_type(event["event"], str)
        assert_type(event.get("slot"), str | None)
    assert_type(client.reload(each=print), str)
    assert_type(client.replan(), str)
    assert_type(client.restart("web/0"), str)
    assert_type(client.scale("web", 6), str)
    assert_type(client.scale(None, "auto"), str)
    assert_type(client.stop(), str)


def answers() -> None:
    """Read what a daemon answers."""
    client = prefork.connect("shop")
    status = client.status(timeout=1)
    assert_type(status["generation"], int)
    assert_type([slot["pid"] for slot in status["slots"]], list[int | None])
    assert_type(status["change"], Change | None)
    assert_type(status["counts"]["ends"], dict[str, dict[str, int]])
    assert_type(client.hello()["model"], Literal["daemon", "hooks"])
    assert_type(client.plan("replan")["replaced"], dict[str, list[str]])
    assert_type([stacks["verdict"] for stacks in client.stacks("web/0", force=True)], list[str])
    assert_type(client.crashes(), list[Crash])
    assert_type(client.crash(1)["usage"]["memory"], int | None)
    assert_type(client.explain("web/0")["slot"], SlotState | None)
    assert_type(client.profile("web")["stacks"], dict[str, int])


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
