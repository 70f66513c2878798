"""Facts about what hands over, in the past tense; like all others they are events of `events.py`."""

from __future__ import annotations

from ..._records.record import record


class HandoverFact:
    """A fact about an upgrade, or about the master before."""

    __slots__ = ()


@record
class UpgradeFailed(HandoverFact):
    """The program of the master was not replaced, or the new one could not go on and this one is the old one again.

    `why` in words. `away`: seconds in which no program ran the loop; 0 if nothing was executed.
    """

    asker: int
    why: str
    away: float = 0.0


@record
class Upgraded(HandoverFact):
    """This program has taken the place of the former one, and goes on from its snapshot.

    `asker`: the reply's number here. `away`: seconds in which no program ran the loop. `program`: this program, in
    words. `other_python`: its minor version of Python is another one than that of the molds and workers.
    """

    asker: int
    away: float
    program: str
    other_python: bool = False


@record
class Survivor:
    """A worker of a dead master that can be adopted: what it was ordered to be, and whether it drains already.

    `drain_timeout`: seconds that its drain may last, where it is not adopted.
    """

    pid: int
    generation: int
    key: str
    digest: str
    drain_timeout: float
    draining: bool = False


@record
class Survived(HandoverFact):
    """These workers of the dead master whose snapshot was restored live; all its other processes have ended."""

    survivors: tuple[Survivor, ...]


HandoverReport = UpgradeFailed | Upgraded | Survived
