"""What passes from a master to the program that takes its place: its parts as records, with their descriptors.

The state of the supervisor is apart (`_core`). A record here mirrors one part; the module that saves and restores the
part is named in the record's docstring. `tests/test_upgrade_kept.py` holds that no attribute of a part is
forgotten.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ..._core.plan import Listener
from ..._core.watch.hang_watch import _BusyPeriod
from ..._linux.address import Address
from ..._linux.terms import Terms
from ..._options.records import DaemonOptions, KindOptions
from ..._records.members import field
from ..._records.plain import Descriptor
from ..._records.record import record, record_by_name
from ..._report.counts.tally import Tally
from ..._report.folding import _Run
from ..._report.forms import Origin
from ..births.processes import HelperRole, MoldRole, WatcherRole, WorkerRole
from ..hangs.watch import WatchedWorker
from ..listeners.port import Use
from ..runtime.roster import Survivor
from ..scoreboard.board import _Row, _Slot


@record
class KeptShared:
    """The descriptors that all processes share (`workers`). `writer`: the lifeline's, which must never be closed."""

    writer: Descriptor
    lifeline: Descriptor
    scoreboard: Descriptor
    stacks: Descriptor
    metrics: Descriptor


@record
class KeptNewborn:
    """A fork that was ordered; without a `descriptor` one that has failed already."""

    descriptor: Descriptor | None
    pid: int | None
    unborn: bool


@record
class KeptBatch:
    """The forks of one order. `ended`: the mold has ended the order, and some are no spares yet."""

    newborns: tuple[KeptNewborn, ...]
    failed: int
    reason: str
    ended: bool


@record
class KeptMold:
    """A mold's channel (`channels`)."""

    generation: int
    pid: int
    descriptor: Descriptor
    memory: Descriptor | None
    planned: bool
    batches: tuple[KeptBatch, ...]


@record
class KeptWorker:
    """The channel of a spare, a worker or a watcher (`channels`)."""

    pid: int
    descriptor: Descriptor
    reports: int


@record
class KeptProcesses:
    """The register of processes (`workers`), and their channels (`channels`). `others`: pidfds of adopted ones."""

    roles: dict[int, MoldRole | WorkerRole | WatcherRole | HelperRole]
    killed: dict[int, str]
    stopped: set[int]
    molds: tuple[KeptMold, ...]
    workers: tuple[KeptWorker, ...]
    others: dict[int, Descriptor] = field(default_factory=dict)


@record
class KeptTotal:
    """What dead workers of a generation have measured; of all in block 0 (`board`)."""

    number: int
    sums: dict[int, float]
    counts: dict[int, int]


@record_by_name
class KeptBoard:
    """The master's half of the scoreboard (`board`)."""

    rows: dict[int, _Row]
    pids: dict[int, int]
    slots: dict[str, _Slot]
    ended: tuple[int, ...]
    changes: int
    requests: int
    errors: int
    groups: dict[tuple[str, tuple[Listener, ...]], int]
    dead: KeptTotal
    generations: dict[int, KeptTotal]


@record
class KeptHangs:
    """The hang watch (`workers`)."""

    workers: dict[int, WatchedWorker]
    stopped: dict[int, float]
    periods: dict[int, _BusyPeriod]
    starved: set[int]
    stuck: dict[int, float]
    imports: dict[int, float]
    notes: dict[int, dict[str, str]]
    out_of_memory: int


@record
class KeptOrder:
    """The contents of an order (`orders`); options and files by their place in the lists of `KeptOrders`."""

    generation: int
    key: str
    digest: str
    context: str
    env: dict[str, str]
    terms: Terms
    interpreter_options: tuple[str, ...]
    options: int
    auxiliary: bool
    files: int


@record
class KeptOrders:
    """The contents of orders, and the files that were read for them (`orders`)."""

    kinds: tuple[KindOptions, ...]
    contents: tuple[dict[str, bytes], ...]
    orders: tuple[KeptOrder, ...]
    daemons: dict[int, DaemonOptions]
    latest: int
    planned: dict[int, int]


@record
class KeptWatcher:
    """A watcher of files (`workers`)."""

    path: str | None
    since: float
    ends: int
    ended: float
    pid: int | None


@record
class KeptWatchers:
    """Both watchers, and what their notices have asked for (`workers`)."""

    planned: dict[int, str | None]
    file: KeptWatcher
    code: KeptWatcher
    edits: dict[str, bool | int | float | str | None]


@record
class KeptMember:
    """A socket in the list of a port (`sockets`)."""

    use: Use
    descriptor: Descriptor | None
    key: str
    holders: dict[int, bool]
    abandoned: bool
    withdrawn: bool


@record
class KeptPort:
    """A port with all its sockets (`sockets`). `as_user`: further ones are opened with the application's rights."""

    as_user: bool
    first: Descriptor | None
    members: tuple[KeptMember, ...]
    foreign: int
    orphans_serve: bool
    newest: str


@record
class KeptSocket:
    """A socket that cannot share its address (`sockets`)."""

    as_user: bool
    descriptor: Descriptor
    listener: Listener | None
    inode: tuple[int, int] | None
    path: str | None
    ours: bool


@record
class KeptListeners:
    """The open listeners (`sockets`)."""

    places: tuple[tuple[Address, str, KeptPort | KeptSocket], ...]
    records: tuple[tuple[Listener, Address, str], ...]
    orphans_serve: bool
    beside_orphans: bool
    given: tuple[Descriptor, ...]
    given_names: dict[str, int]
    given_used: set[int]


@record
class KeptSource:
    """The pipe of a captured process, and the line of it that is not whole (`output`)."""

    origin: Origin
    stream: str
    descriptor: Descriptor | None
    rest: bytes
    living: bool


@record
class KeptSink:
    """A stream of the log: what waits to be written, and the lines that were lost (`output`)."""

    waiting: bytes
    lost: int
    announced: int


@record
class KeptOutput:
    """The log and what is captured (`output`). `err`: None where both streams are one. `path`: of a log file.

    The path stays that of the start, where a relative one would mean another file in the next release's directory.
    """

    out: KeptSink
    err: KeptSink | None
    file: Descriptor | None
    path: str
    sources: tuple[KeptSource, ...]
    last: dict[int, bytes]
    dead: tuple[int, ...]
    runs: dict[tuple[str, str], _Run]


@record_by_name
class KeptConnection:
    """A client of the control socket (`clients`)."""

    descriptor: Descriptor
    pid: int
    uid: int
    member: bool
    reader: int
    incoming: bytes
    outgoing: bytes
    waits_for: int | None
    watches: bool
    lost: int
    readable: bool
    passes: Descriptor | None
    refuses: bool
    closing: bool


@record
class KeptControl:
    """The control socket and its clients (`clients`)."""

    place: Descriptor
    listener: Descriptor
    group: int | None
    grants: int
    commands: int
    connections: tuple[KeptConnection, ...]


@record
class KeptJournal:
    """The journal (`clients`)."""

    number: int
    kept: int
    recent: deque[str]
    slots: dict[str, list[str]]
    workers: dict[int, tuple[str, int, float]]
    limit: int
    report: str
    tally: Tally


@record_by_name
class KeptRuntime:
    """The runtime directory, the claim, the pid file, and the orphans (`ownership`)."""

    path: str
    lock: Descriptor
    roster: Descriptor
    places: dict[int, int]
    survivors: dict[int, int]
    free: list[int]
    size: int
    lifeline: int
    orphans: dict[int, Survivor]
    lifelines: tuple[Descriptor, ...]
    claims: tuple[Descriptor, ...]
    pid_file: Descriptor | None
    pid_path: str


@record_by_name
class KeptMaster:
    """A whole master, but for its supervisor. `shared` is first: it has the lifeline.

    `launch` is how it was started, as the launching process wrote it; `since` when this was written (monotonic),
    `started` when the daemon was (since 1970). `mask`: the signals that were blocked. `was_ready`: the service manager
    has been sent READY. `agreement`, `scoreboard`, `metrics`: the formats that it shares with its processes.
    `stored`: the names of what the service manager's store holds.
    """

    shared: KeptShared
    launch: dict[str, Any]
    asker: int
    since: float
    started: float
    open_files: int
    mask: tuple[int, ...]
    may_lose_terminal: bool
    was_ready: bool
    processes: KeptProcesses
    board: KeptBoard
    hangs: KeptHangs
    orders: KeptOrders
    watchers: KeptWatchers
    listeners: KeptListeners
    output: KeptOutput
    control: KeptControl
    journal: KeptJournal
    runtime: KeptRuntime
    agreement: str
    scoreboard: int
    metrics: int
    stored: tuple[str, ...] = ()
