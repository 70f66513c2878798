"""`prefork.collector`: what an application may give, and what the agent finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import prefork
from prefork._worker.metrics import collectors


@pytest.fixture(autouse=True)
def none_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collectors, "collectors", [])


def test_functions_objects_and_classes_are_collected() -> None:
    class Queue:
        def collect(self) -> list[str]:
            return ["collected"]

    def function() -> Iterator[str]:
        yield "yielded"

    assert prefork.collector(Queue) is Queue
    assert prefork.collector(function) is function
    prefork.collector(Queue())
    assert [list(each()) for each in collectors.collectors] == [["collected"], ["yielded"], ["collected"]]


def test_a_daemons_collector_is_the_same() -> None:
    @prefork.Daemon("shop").collector
    def function() -> list[str]:
        return []

    assert collectors.collectors == [function]


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(prefork.UsageError, match=r"collector\(7\): not a function, and without a method collect"):
        prefork.collector(7)
