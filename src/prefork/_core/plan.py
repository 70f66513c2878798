"""The plan as the core has it: plain, immutable values, computed by the application in the mold.

The core never has a worker context, only its key, its kind and a digest of its encoded form. Two contexts of one key
with equal digests are the same worker; with different digests the second replaces the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from .._options.records import DaemonOptions, KindOptions, Spawn
from .._records.members import field
from .._records.record import record


@record
class Kind:
    """A class of workers, and the options of each.

    The workers of an `auxiliary` kind are no part of the service: they count for no health and for no outcome of a
    change, which they follow when it is done.
    """

    name: str
    options: KindOptions = field(default_factory=KindOptions)
    auxiliary: bool = False


@record
class Entry:
    """One worker of the plan. `key` is opaque; `digest` covers its encoded context and its launch."""

    key: str
    kind: str
    digest: str
    spawn: Spawn = "fork"


@record
class Pool:
    """Entries of which only the first `size` get a worker, so that scaling needs no mold.

    `keys` name entries of the plan in the order in which they are filled; their number is the pool's maximum.
    """

    kind: str
    keys: tuple[str, ...]
    size: int
    minimum: int = 0
    default: bool = False

    def clamp(self, size: int) -> int:
        """Return the nearest size that the pool allows."""
        return max(self.minimum, min(size, len(self.keys)))


@record
class Listener:
    """A listening socket that workers are given. The whole record is its identity.

    The options are those of `prefork.Listener`; `owner` and `group` are a name, a number as text, or empty. An
    `auxiliary` one is for auxiliary workers, and the others are for the others.
    """

    name: str
    address: str
    sharing: Literal["shared", "sharded"] = "shared"
    backlog: int = 2048
    nodelay: bool = True
    defer_accept: int = 0
    reuseport: bool = True
    mode: int | None = None
    owner: str = ""
    group: str = ""
    auxiliary: bool = False


@record
class Plan:
    """The desired state. An entry that no pool names always gets a worker. `options`: None for those of the `Spec`."""

    entries: tuple[Entry, ...]
    kinds: tuple[Kind, ...]
    pools: tuple[Pool, ...] = ()
    listeners: tuple[Listener, ...] = ()
    options: DaemonOptions | None = None

    def refusal(self) -> str | None:
        """Return why this plan cannot be applied; None if it can."""
        keys = Counter(entry.key for entry in self.entries)
        kinds = Counter(kind.name for kind in self.kinds)
        for what, names in (
            ("key", keys),
            ("kind", kinds),
            ("pool", Counter(pool.kind for pool in self.pools)),
            ("listener", Counter(listener.name for listener in self.listeners)),
        ):
            if twice := [name for name, count in names.items() if count > 1]:
                return f"the plan has two {what}s {', '.join(sorted(twice))}"
        for entry in self.entries:
            if entry.kind not in kinds:
                return f"the plan has no kind {entry.kind}, which {entry.key} is of"
        for pool in self.pools:
            if missing := [key for key in pool.keys if key not in keys]:
                return f"the pool {pool.kind} names {missing[0]}, which the plan does not have"
            if pool.clamp(pool.size) != pool.size:
                return f"the pool {pool.kind} is of size {pool.size}, outside {pool.minimum}..{len(pool.keys)}"
        return None

    def wanted(self, overrides: Mapping[str, int]) -> dict[str, Entry]:
        """Return the entries that get a worker, by key; `overrides` gives pools another size, by kind."""
        spared = set[str]()
        for pool in self.pools:
            spared.update(pool.keys[pool.clamp(overrides.get(pool.kind, pool.size)) :])
        return {entry.key: entry for entry in self.entries if entry.key not in spared}

    def kind(self, name: str) -> Kind:
        """Return the kind of this name. Raises KeyError."""
        for kind in self.kinds:
            if kind.name == name:
                return kind
        raise KeyError(name)

    def listeners_of(self, kind: Kind) -> tuple[Listener, ...]:
        """Return the listeners that the workers of a kind are given."""
        return tuple(one for one in self.listeners if one.auxiliary is kind.auxiliary)

    def pool(self, kind: str | None = None) -> Pool | None:
        """Return the pool of a kind; without a name the default one, or the only one."""
        if kind is None:
            chosen = [pool for pool in self.pools if pool.default] or list(self.pools)
        else:
            chosen = [pool for pool in self.pools if pool.kind == kind]
        return chosen[0] if len(chosen) == 1 else None


@record
class Spec:
    """The daemon's options before it has a plan, and the supervisor's own times, in seconds.

    `fork_timeout` bounds the wait for the next fork that was ordered. After a first start that failed a slot is filled
    again at once; then the pause starts at `backoff_first` and doubles up to `backoff_max`, less up to `jitter` (a
    share of it, 0 to 1); `degraded_after` failures in a row are a crash loop. A pool that was ready and is not
    starts one of its slots each `pause_down`, and more rarely when that lasts for long (`pace.py`). A worker that was
    ready for `healthy_after` is replaced at once when it dies. For those that die earlier a pool has, for each four
    workers, `rate` starts a second, and while none of it is ready `rate_down` in all. A process that is still there
    `kill_timeout` after a kill is killed again. While two workers of a slot drain, the older one has `overlap` left,
    and then `cut_timeout` to end in order. One that was never ready has `unready_timeout`. A change ends `hand_over`
    after the last new worker is ready, if not before. A hang that began within `hangs_early` of the readiness is a
    failure. When a worker has died of its work within `extra_below` of another, `extra_spares` more for each usual
    spare are kept for `extra_time` (`molds.py`).
    """

    name: str = "daemon"
    options: DaemonOptions = field(default_factory=DaemonOptions)
    fork_timeout: float = 10.0
    backoff_first: float = 0.1
    backoff_max: float = 30.0
    jitter: float = 0.5
    pause_down: float = 1.0
    rate: float = 40.0
    rate_down: float = 5.0
    healthy_after: float = 1.0
    degraded_after: int = 4
    kill_timeout: float = 5.0
    unready_timeout: float = 1.0
    overlap: float = 1.0
    cut_timeout: float = 2.0
    hand_over: float = 2.0
    hangs_early: float = 10.0
    extra_spares: int = 3
    extra_below: float = 1.0
    extra_time: float = 10.0
