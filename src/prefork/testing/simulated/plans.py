"""The plan of a simulated daemon, of the data that `plan_of` returns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..._core.plan import Entry, Kind, Listener, Plan, Pool
from ..._errors import UsageError
from ..._options.records import KindOptions, checked

_OPTIONS = {each.name for each in fields(KindOptions)}


def core_plan(data: Mapping[str, Any], versions: Mapping[str, int]) -> Plan:
    """Return the plan that the core decides by. Raises UsageError, which names what is wrong with the data.

    The data are those of `plan_of`, or `{"slots": ["web/0", "web/1"]}`, with `pools`, `kinds` and `listeners` as far as
    they matter. `versions`: of the contexts of slots that have changed.
    """
    slots = list(data.get("slots", ()))
    if not all(isinstance(slot, str) and slot for slot in slots):
        raise UsageError(f"simulate(): the slots of a plan are texts such as 'web/0', not {slots!r}")
    pools = tuple(_pool(pool, slots) for pool in data.get("pools", ()))
    keys = list(dict.fromkeys([*slots, *(key for pool in pools for key in pool.keys)]))
    kinds = {kind["name"]: _kind(kind) for kind in data.get("kinds", ())}
    for key in keys:
        kinds.setdefault(_kind_of(key), Kind(_kind_of(key)))
    entries = (Entry(key, _kind_of(key), str(versions.get(key, 0)), _spawn(data, key)) for key in keys)
    listeners = tuple(Listener(**one) for one in data.get("listeners", ()))
    plan = Plan(tuple(entries), tuple(kinds.values()), pools, listeners)
    if refusal := plan.refusal():
        raise UsageError(f"simulate(): {refusal}")
    return plan


def _kind_of(key: str) -> str:
    return key.partition("/")[0]


def _kind(data: Mapping[str, Any]) -> Kind:
    options = {name: value for name, value in data.items() if name in _OPTIONS and name != "spawn"}
    return Kind(data["name"], checked(KindOptions, options))


def _spawn(data: Mapping[str, Any], key: str) -> Any:
    kinds = {kind["name"]: kind for kind in data.get("kinds", ())}
    return kinds.get(_kind_of(key), {}).get("spawn", "fork")


def _pool(data: Mapping[str, Any], slots: list[str]) -> Pool:
    """Return a pool: the slots of its kind, and others with the next numbers up to its maximum."""
    name, size = data["pool"], data["size"]
    own = [slot for slot in slots if _kind_of(slot) == name]
    most = max(data.get("max", size), len(own))
    more = (f"{name}/{number}" for number in range(most + len(own)))
    keys = [*own, *(key for key in more if key not in own)][:most]
    return Pool(name, tuple(keys), size, data.get("min", 1), data.get("default", False))
