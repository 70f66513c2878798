"""The options of kinds and daemons, each defined once.

A field has its type, default, help and scope.

`@daemon.worker(...)` and `Daemon(...)`, the plan that a mold sends, the master, and the flags, variables and file keys
of `prefork run` are made from these fields. A new option is a field here and the place that reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar, get_args

from .._errors import UsageError, did_you_mean
from .._records.members import field, fields, replace
from .._records.record import record_by_name
from .listed.mode import Mode
from .types import BYTES, SECONDS, SOME_SECONDS, Choice, Flag, Processors, ResourceLimits, Several, Text, Whole, shown

Restart = Literal["always", "on-failure", "never"]
Replace = Literal["new-first", "old-first"]
Spawn = Literal["fork", "exec"]
Ready = Literal["auto", "explicit"]
HangPolicy = Literal["kill", "report"]
Share = Literal["freeze", "immortal", "none"]
LazyImports = Literal["resolve", "keep"]
Insufficient = Literal["hold", "pass", "fail"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["info", "debug"]

Scope = Literal["served", "daemon", "code"]
"""Where an option can be given, besides code: to `prefork run` for an application that it serves, to `prefork run` for
every daemon, or nowhere.
"""
Applies = Literal["planned", "start"]
"""When a value in a `Daemon`'s code takes effect that `prefork run` starts: with its plan, or not at all."""


def _option(default: Any, type_: Any, text: str, scope: Scope = "served", applies: Applies = "planned") -> Any:
    value: Any = {"default_factory": dict} if default == {} else {"default": default}
    return field(**value, metadata={"type": type_, "help": text, "scope": scope, "applies": applies})


def _of(choice: Any) -> Choice:
    return Choice(get_args(choice))


@record_by_name
class KindOptions:
    """What holds for every worker of one kind. Times are in seconds, sizes in bytes."""

    restart: Restart = _option("always", _of(Restart), "When to restart a worker that ends by itself.", "code")
    replace: Replace = _option(
        "new-first", _of(Replace), "Whether the successor starts before or after the old worker's end.", "code"
    )
    """With "old-first" two never run at once. Such a worker has no `orphan_grace`: the kernel kills it with the master,
    since the next master starts its successor at once."""
    spawn: Spawn = _option("fork", _of(Spawn), "Fork workers from the mold, or exec a new interpreter.", "code")
    ready: Ready = _option(
        "auto", _of(Ready), "When a worker is ready: at its first wait, or when it calls ready().", "code"
    )
    start_timeout: float = _option(60.0, SOME_SECONDS, "Seconds a worker may take to become ready.")
    drain_timeout: float = _option(30.0, SECONDS, "Seconds a worker may take to finish when it is replaced.")
    """Then its whole session is killed. It holds for the threads that the function leaves, too; the interpreter's exit
    has at least ten seconds."""
    hang_timeout: float = _option(
        30.0, SECONDS, "Seconds without progress after which a busy worker counts as hung; 0: never."
    )
    hang_policy: HangPolicy = _option("kill", _of(HangPolicy), "Kill a hung worker, or only report it.")
    max_requests: int = _option(0, Whole(), "Requests after which a worker is replaced; 0: no limit.")
    max_requests_jitter: int = _option(0, Whole(), "Largest random addition to --max-requests, per worker.")
    max_age: float = _option(
        0.0, SECONDS, "Seconds after which a ready worker is replaced, or up to a tenth earlier; 0: no limit."
    )
    max_memory: int = _option(
        0, BYTES, "Private memory in bytes (K, M, G) above which a worker is replaced after a request; 0: no limit."
    )
    limits: Mapping[str, int | tuple[int, int]] = _option(
        {}, ResourceLimits(), "Resource limits by name; one value, or soft and hard.", "code"
    )
    umask: int | None = _option(None, Mode(), "File mode creation mask, in octal; default: the master's.")
    nice: int | None = _option(None, Whole(-20, 19), "Nice value; default: the master's.", "code")
    affinity: Collection[int] = _option((), Processors(), "Processors to run on; default: all.", "code")
    oom_score_adj: int | None = _option(
        None, Whole(-1000, 1000), "Badness adjustment when memory runs out; default: the master's.", "code"
    )


@record_by_name
class DaemonOptions:
    """How a daemon runs. Times are in seconds."""

    control_group: str | None = _option(
        None, Text("GROUP", "a group"), "Group whose members may control the daemon, besides its user.", "daemon"
    )
    share: Share = _option("freeze", _of(Share), "Memory sharing between workers.", "daemon")
    allow_shared: Collection[str] | None = _option(
        None, Several(Text("NAME", "a name")), "Connection of the import that workers may share; repeatable.", "daemon"
    )
    lazy_imports: LazyImports = _option(
        "resolve", _of(LazyImports), "Whether the mold does lazy imports (Python 3.15), or each worker.", "daemon"
    )
    # Bounded, since the master keeps a record of each and a mold may say how many.
    spares: int = _option(1, Whole(0, 1000), "Processes kept forked ahead, to replace a lost worker at once.", "daemon")
    capture: bool = _option(False, Flag(), "Log the workers' output with the worker's name.", "daemon", "start")
    log_file: str | None = _option(
        None, Text("FILE", "a path"), "File for the log instead of standard error; USR1 reopens it.", "daemon", "start"
    )
    log_format: LogFormat = _option(
        "text", _of(LogFormat), "Format of the log: for people or for programs.", "daemon", "start"
    )
    log_level: LogLevel = _option("info", _of(LogLevel), "Level of the log; debug: every event.", "daemon", "start")
    pid_file: str | None = _option(
        None, Text("FILE", "a path"), "File for the master's pid; removed at its end.", "daemon", "start"
    )
    profile_on_hang: bool = _option(
        False, Flag(), "Keep a profile of a worker that is about to count as hung.", "daemon", "start"
    )
    profile_slower_than: int = _option(
        0,
        Whole(),
        "Milliseconds without progress after which a profile of a worker is kept; 0: never.",
        "daemon",
        "start",
    )
    import_timeout: float = _option(
        60.0, SOME_SECONDS, "Seconds that importing the application and computing its plan may take.", "daemon"
    )
    warm_timeout: float = _option(
        10.0, SOME_SECONDS, "Seconds that warming the application up may take, besides --import-timeout.", "daemon"
    )
    orphan_grace: float = _option(
        10.0, SECONDS, "Seconds that workers serve after the master's death, until a new master takes over.", "daemon"
    )
    keep_mold: float = _option(
        0.0, SECONDS, "Seconds that the mold of the former generation is kept for `prefork back`; 0: not.", "daemon"
    )
    judge: bool = _option(
        False, Flag(), "Compare new workers with the old generation before a reload replaces the others.", "daemon"
    )
    bake: float = _option(
        30.0, SOME_SECONDS, "Seconds that new workers serve beside the old ones for --judge.", "daemon"
    )
    canary_share: int = _option(1, Whole(1), "Slots of each kind that --judge replaces first.", "daemon")
    judge_min_requests: int = _option(
        200, Whole(1), "Requests that new and old workers must each have served for --judge.", "daemon"
    )
    judge_insufficient: Insufficient = _option(
        "hold", _of(Insufficient), "What --judge does when there are fewer: wait, go on, or roll back.", "daemon"
    )


Record = TypeVar("Record", KindOptions, DaemonOptions)


def checked(record: type[Record], given: Mapping[str, Any]) -> Record:
    """Return the record of these options. Raises UsageError, which names the option and says what is allowed."""
    known = {each.name: each for each in fields(record)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            name = name if name.isprintable() and len(name) < 80 else shown(name)
            raise UsageError(f"there is no option {name}" + did_you_mean(name, known))
        try:
            # None is what an option without a default holds, and () what one for all processors does.
            absent = known[name].default in (None, ()) and value in (None, (), [])
            values[name] = known[name].default if absent else known[name].metadata["type"].check(value)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None
    return record(**values)


def in_force(start: DaemonOptions, fixed: Collection[str], code: DaemonOptions) -> tuple[DaemonOptions, list[str]]:
    """Return the options that hold once a mold has sent those of the daemon's code, and the names of the rest.

    `start` is what the master was started with, of which the operator gave those in `fixed`. The rest are options that
    the code sets and that take effect only at a start.
    """
    differ = {
        each.name: each
        for each in fields(DaemonOptions)
        if each.name not in fixed and getattr(code, each.name) != getattr(start, each.name)
    }
    applied = {name: getattr(code, name) for name, each in differ.items() if each.metadata["applies"] == "planned"}
    return replace(start, **applied), [name for name in differ if name not in applied]
