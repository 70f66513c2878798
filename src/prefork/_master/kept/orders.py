"""The contents of orders, kept through an exec, each set of options once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._wire.plan_data import Assignable
from ..births.orders import Orders
from ..watching.contents import Files
from .records import KeptOrder, KeptOrders


class _Shared:
    """Values that many records share, each once, by its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[int, int] = {}

    def place(self, value: Any) -> int:
        """Return the place of a value."""
        if (place := self._places.get(id(value))) is None:
            place = self._places[id(value)] = len(self.values)
            self.values.append(value)
        return place


def save(orders: Orders, files: Files) -> KeptOrders:
    """Return the contents by generation, key and digest, and what was read of the files for them."""
    kinds, contents = _Shared(), _Shared()
    kept = [
        _order(generation, name, each, (kinds, contents))
        for generation, named in orders._assignables.items()
        for name, each in named.items()
    ]
    latest = contents.place(files.latest)
    planned = {generation: contents.place(read) for generation, read in files._planned.items()}
    return KeptOrders(tuple(kinds.values), tuple(contents.values), tuple(kept), orders._options, latest, planned)


def _order(generation: int, name: tuple[str, str], each: Assignable, shared: tuple[_Shared, _Shared]) -> KeptOrder:
    kinds, contents = shared
    options, files = kinds.place(each.options), contents.place(each.files)
    terms, env = each.terms, dict(each.env)
    return KeptOrder(
        generation, *name, each.context, env, terms, each.interpreter_options, options, each.auxiliary, files
    )


def restore(orders: Orders, files: Files, kept: KeptOrders) -> None:
    """Give the orders their contents again."""
    for each in kept.orders:
        contents: Mapping[str, bytes] = kept.contents[each.files]
        options = kept.kinds[each.options]
        made = Assignable(
            each.context, each.env, each.terms, each.interpreter_options, options, each.auxiliary, contents
        )
        orders._assignables.setdefault(each.generation, {})[each.key, each.digest] = made
    orders._options.update(kept.daemons)
    files.latest = kept.contents[kept.latest]
    files._planned = {generation: kept.contents[place] for generation, place in kept.planned.items()}
