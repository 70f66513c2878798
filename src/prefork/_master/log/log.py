"""The log: what the master writes about its daemon, in one place, in the chosen form."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import TYPE_CHECKING

from ..._core.actions import Exit, Report
from ..._errors import SystemFailure
from ..._linux.terminal import is_journal, shows_colours
from ..._records.members import replace
from ..._records.record import record
from ..._report.folding import Folding, Repeated
from ..._report.forms import Form, Json, Text
from ..._report.journal import Notes
from ..._report.news import News, reported, usual
from ..._wire.printable import printable_lines
from ..paths import trust

if TYPE_CHECKING:
    from ..._core.actions import Action
    from ..._report.journal import Record
    from ..._wire.launch import MasterLaunch
    from ..loop import Master


@record
class LogOptions:
    """How the log is written. `everything`: at level debug. `file`: instead of the master's streams."""

    form: Form
    everything: bool = False
    file: LogFile | None = None

    @property
    def in_journal(self) -> bool:
        """Whether a service manager's journal has the log."""
        return self.file is None and is_journal(2, os.environ)

    @property
    def spoken(self) -> Form:
        """The form of messages to standard error, also when the log is a file."""
        return Text() if isinstance(self.form, Text) else self.form


def log_options(launch: MasterLaunch) -> LogOptions:
    """Return how a master writes its log."""
    options, identity = launch.options, launch.identity
    file = None
    if path := options.log_file:
        file = LogFile(os.path.abspath(path), None if identity is None else identity.gid)
    everything = options.log_level == "debug"
    if options.log_format == "json":
        return LogOptions(Json(time), everything, file)
    timed = file is not None or not is_journal(2, os.environ)
    return LogOptions(Text(file is None and shows_colours(2), time if timed else None), everything, file)


class Log:
    """Writes events, and what the decider reports about them; repeated ones are folded.

    `backs_off` returns whether a slot is not restarted at once.
    """

    def __init__(self, master: Master, options: LogOptions, backs_off: Callable[[str], bool]) -> None:
        """Raises SystemFailure if the file cannot be opened."""
        self._master = master
        self._options = options
        self._backs_off = backs_off
        self._folding = Folding()
        self._timer: float | None = None
        self._notes = Notes()
        self._pending: deque[Record] = deque()  # records of the present event that are not logged yet
        self._awaited: set[int] = set()  # records that a report is still to come about, by id()
        self._ends = False
        if options.file is not None:
            master.relay.divert(options.file.open())

    def note(self, notes: Notes, actions: Sequence[Action]) -> None:
        """Log the records of an event that have no report.

        A record with a report waits for it, so that a line about an action follows the action.
        """
        self._ends = any(isinstance(action, Exit) for action in actions)
        self._log_repeated(monotonic(), at_once=self._ends)
        self._notes = notes
        self._pending.extend(notes.records)
        self._awaited = {id(notes.subject(action)) for action in actions if isinstance(action, Report)}
        self._log_pending()

    def report(self, report: Report) -> None:
        """Log a report of the present event, in place of the record that it is about."""
        record = self._notes.subject(report)
        self._pending = deque(one for one in self._pending if one is not record)
        self._awaited.discard(id(record))
        self._log_unless_folded(reported(record, report.text))
        self._log_pending()

    def done(self) -> None:
        """Log what is left of the present event, whose actions have been carried out."""
        self._awaited.clear()
        self._log_pending()
        self._notes = Notes()

    def reopen(self) -> None:
        """Open the log file again, if there is one; if that fails, log it and continue in the open one."""
        if (file := self._options.file) is not None:
            try:
                self._master.relay.divert(file.open())
            except SystemFailure as error:
                self._master.relay.log(f"log: {error}; continuing in the file that is open")

    def _log_pending(self) -> None:
        while self._pending and id(self._pending[0]) not in self._awaited:
            if (item := usual(self._pending.popleft(), self._options.everything)) is not None:
                self._log_unless_folded(item)

    def _log_unless_folded(self, item: News) -> None:
        if item.folds and not self._ends:
            now, slot = monotonic(), str(item.record.get("slot", ""))
            passes = self._folding.passes(item.record["event"], slot, item.text, self._backs_off(slot), now)
            if item.due_to:
                self._folding.attribute(item.record["event"], slot, item.due_to)
            self._set_timer(now)
            if not passes:
                return
        self._write(item)

    def _write(self, item: News) -> None:
        self._master.relay.write(self._options.form.event(replace(item, text=printable_lines(item.text))))

    def _log_repeated(self, now: float, at_once: bool = False) -> None:
        for repeated in self._folding.due(now, at_once):
            self._write(News(_record(repeated), repeated.text, "plain" if repeated.event == "command" else "bad"))

    def _set_timer(self, now: float) -> None:
        """Wake when something that was counted is due; not at all if nothing was."""
        due = self._folding.next_deadline()
        if due is not None and (self._timer is None or due < self._timer):
            self._timer = due
            self._master.later(max(0.0, due - now), lambda: self._wake(due))

    def _wake(self, due: float) -> None:
        if self._timer == due:
            self._timer = None
        now = monotonic()
        self._log_repeated(now)
        self._set_timer(now)


def _record(repeated: Repeated) -> Record:
    place = {"slot": repeated.slots[0]} if len(repeated.slots) == 1 else {"kind": repeated.kind}
    return {
        "event": "repeated", "of": repeated.event, **place, "slots": len(repeated.slots), "count": repeated.count,
        "seconds": round(repeated.seconds, 1), "backing_off": repeated.backing_off,
    }  # fmt: skip


_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o640


@record
class LogFile:
    """A file by its path.

    `group`: the group of a new file, if the master is root and the application is not.
    """

    path: str
    group: int | None = None

    def open(self) -> int:
        """Return a descriptor that appends to it. Raises SystemFailure with the reason.

        With a `group` no other user may be able to change what the path leads to, and the file itself must be no
        symbolic link and root's own: the user who can choose it would choose what root writes to.
        """
        try:
            if self.group is None:
                return os.open(self.path, _FLAGS | os.O_CREAT, _MODE)
            why = trust.why_redirectable(os.path.dirname(self.path))
            if why is None:
                return self._open_own(_FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            why = "it is a symbolic link, which root does not follow" if error.errno == errno.ELOOP else error.strerror
        raise SystemFailure(f"cannot open the log file {self.path} for writing: {why}")

    def _open_own(self, flags: int) -> int:
        try:
            descriptor = os.open(self.path, flags)
        except FileNotFoundError:
            descriptor = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, _MODE)
            os.fchown(descriptor, -1, self.group or -1)
            return descriptor
        found = os.fstat(descriptor)
        if found.st_uid in (0, os.geteuid()) and (found.st_nlink == 1 or not stat.S_ISREG(found.st_mode)):
            return descriptor
        os.close(descriptor)
        raise OSError(errno.EPERM, "it belongs to another user, or has another name elsewhere: remove it")
