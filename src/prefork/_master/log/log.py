"""The log: what the master has to say, in one place, in the form that was asked for."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from ..._core.actions import Exit
from ..._errors import SystemFailure
from ..._linux.terminal import shows_colours
from ..._report.folding import Folding, Repeated
from ..._report.forms import Form, Json, Text
from ..._report.news import News, news

if TYPE_CHECKING:
    from ..._core.actions import Action
    from ..._report.journal import Record
    from ..loop import Master


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How the log is written. `everything`: what is no news, too. `file`: in place of the master's own streams."""

    form: Form
    everything: bool = False
    file: LogFile | None = None

    @property
    def spoken(self) -> Form:
        """How it is written to standard error whatever the log is written to."""
        return Text() if isinstance(self.form, Text) else self.form


def log_options(launch: dict[str, Any]) -> LogOptions:
    """Return how a master is to write its log: from what it was told (see `_become_master.launch_of`)."""
    options, identity = launch["options"], launch.get("identity")
    file = None
    if path := options.get("log_file"):
        file = LogFile(os.path.abspath(path), None if identity is None else identity["gid"])
    everything = options.get("log_level") == "debug"
    if options.get("log_format") == "json":
        return LogOptions(Json(time), everything, file)
    # Whoever reads a stream (journald, a container's runtime) adds the time; to a file nobody does.
    return LogOptions(
        Text(file is None and shows_colours(2), clock=time if file is not None else None), everything, file
    )


class Log:
    """Tells what happens, and what is reported of it; what comes again and again, once in a while.

    `backs_off` is asked whether a slot is not tried again at once.
    """

    def __init__(self, master: Master, options: LogOptions, backs_off: Callable[[str], bool]) -> None:
        """Raises SystemFailure where the file cannot be written."""
        self._master = master
        self._manner = options
        self._backs_off = backs_off
        self._folding = Folding()
        self._timer: float | None = None
        self._waiting: deque[News] = deque()
        self._ends = False
        master.relay.form = options.form
        master.report = self._report
        if options.file is not None:
            master.relay.divert(options.file.open())

    def note(self, records: Sequence[Record], actions: Sequence[Action]) -> None:
        """Take note of what an event has brought. What is reported is told when the turn of the report comes.

        Then what had to be done before it has been done: who reads that something is done can rely on it.
        """
        self._ends = any(isinstance(action, Exit) for action in actions)
        self._tell_repeated(monotonic(), at_once=self._ends)
        self._waiting.extend(news(records, actions, self._manner.everything))
        self._tell_until_reported()

    def reopen(self) -> None:
        """Open the file, if there is one, again; where that fails, say so, and go on in the one that is open."""
        if (file := self._manner.file) is not None:
            try:
                self._master.relay.divert(file.open())
            except SystemFailure as error:
                self._master.relay.say(f"prefork: {error}; the log goes on where it was")

    def _report(self, text: str) -> None:
        """Tell the next thing that was reported, and what is no report and came after it."""
        if not self._waiting:
            self._master.relay.say(text)
            return
        self._tell_unless_folded(self._waiting.popleft())
        self._tell_until_reported()

    def _tell_until_reported(self) -> None:
        while self._waiting and not self._waiting[0].reported:
            self._tell_unless_folded(self._waiting.popleft())

    def _tell_unless_folded(self, item: News) -> None:
        if item.folds and not self._ends:
            now, slot = monotonic(), str(item.record.get("slot", ""))
            says = self._folding.says(item.record["event"], slot, item.text, self._backs_off(slot), now)
            self._set_timer(now)
            if not says:
                return
        self._tell(item)

    def _tell(self, item: News) -> None:
        self._master.relay.write(self._manner.form.told(item))

    def _tell_repeated(self, now: float, at_once: bool = False) -> None:
        for repeated in self._folding.due(now, at_once):
            self._tell(News(_record(repeated), repeated.text, "plain" if repeated.event == "command" else "bad"))

    def _set_timer(self, now: float) -> None:
        """Wake when something that was counted is to be told; at no time where nothing was."""
        due = self._folding.next_deadline()
        if due is not None and (self._timer is None or due < self._timer):
            self._timer = due
            self._master.later(max(0.0, due - now), lambda: self._wake(due))

    def _wake(self, due: float) -> None:
        if self._timer == due:
            self._timer = None
        now = monotonic()
        self._tell_repeated(now)
        self._set_timer(now)


def _record(repeated: Repeated) -> Record:
    who = {"slot": repeated.slots[0]} if len(repeated.slots) == 1 else {"kind": repeated.kind}
    return {
        "event": "repeated", "of": repeated.event, **who, "slots": len(repeated.slots), "count": repeated.count,
        "seconds": round(repeated.seconds, 1), "backing_off": repeated.backing_off,
    }  # fmt: skip


_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file by its path.

    `group`: where the master is root and the application is not, the group that may read a file which we make.
    """

    path: str
    group: int | None = None

    def open(self) -> int:
        """Return a descriptor that appends to it. Raises SystemFailure, which says why it cannot be.

        Where root writes for others the last part of the path may not be a symbolic link: whoever could make one there
        would choose what root writes to.
        """
        flags = _FLAGS if self.group is None else _FLAGS | os.O_NOFOLLOW
        try:
            try:
                descriptor = os.open(self.path, flags)
            except FileNotFoundError:
                descriptor = os.open(self.path, flags | os.O_CREAT, _MODE)
                if self.group is not None:
                    os.fchown(descriptor, -1, self.group)
        except OSError as error:
            why = "root follows no symbolic link there" if error.errno == errno.ELOOP else error.strerror
            raise SystemFailure(f"the log file {self.path} cannot be opened to write: {why}") from None
        return descriptor
