"""Which agent tells a daemon's story, where one follows another: each span is told once. Pure.

A reload replaces the agent, too. The next one reads the same records, from the oldest that is kept, so that it has the
begin of what is under way. It tells what ends once its predecessor was asked to drain, or has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]

_FIRST = "daemon start"
"""The cause of the order of a daemon's first agent."""
_NEVER = float("inf")


class Turn:
    """The turn of the agent `pid` of `slot`; `kept` are the records when it begins."""

    def __init__(self, slot: str, pid: int, kept: Iterable[Record]) -> None:
        self._slot, self._pid = slot, pid
        self._ordered = self._first = False
        self._before: dict[int, float] = {}
        """The number of the record that ended the turn of each agent before this one."""
        self._later: set[int] = set()
        self._until, self._seen = _NEVER, 0
        for record in kept:
            self.read(record)

    def read(self, record: Record) -> None:
        """Note what a record says of agents; it may be read again."""
        if record.get("slot") != self._slot or "pid" not in record or record["number"] <= self._seen:
            return
        self._seen = record["number"]
        pid, number, over = record["pid"], record["number"], record["event"] in ("draining", "ended")
        if pid == self._pid:
            self._ordered = True
            self._first |= record.get("why") == _FIRST
            self._until = min(self._until, number) if over else self._until
        elif over and pid not in self._later:
            self._before[pid] = min(self._before.get(pid, _NEVER), number)
        elif record["event"] == "ordered":
            if self._ordered:
                self._later.add(pid)
            else:
                self._before[pid] = _NEVER

    @property
    def is_over(self) -> bool:
        """Whether this agent was asked to drain: it tells no more."""
        return self._until < _NEVER

    def has(self, record: Record) -> bool:
        """Return whether this agent tells what ends with this record."""
        begin = max(self._before.values(), default=0 if self._first else _NEVER)
        return bool(begin <= record["number"] < self._until)
