"""Orders with their processes: a worker with an interpreter of its own has no pid yet when it is ordered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]


class Orders:
    """The orders that no process has taken yet."""

    def __init__(self) -> None:
        self._open: dict[str, Record] = {}  # by slot

    def whole(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records; in place of a `spawned` the order that it carries out, with the pid."""
        for record in records:
            if record["event"] == "ordered" and "pid" not in record:
                self._open[record["slot"]] = record
            elif record["event"] == "spawned" and record["slot"] in self._open:
                yield {**self._open.pop(record["slot"]), "pid": record["pid"], "number": record["number"]}
            else:
                yield record
