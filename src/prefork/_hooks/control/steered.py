"""The decider of a hooks daemon with commands: `stop` is a TERM, `reload` a HUP, and what hooks decide is refused.

Pure. It drives another decider, and adds the outcomes that clients wait for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..._core import events as fact
from ..._core.actions import Action, Announce, Exit, Reply, Report, Watch
from ..._core.commands import Back, Command, Preview, Reload, Replan, Restart, Scale, Stop, Upgrade, words
from .changes import Changes, HookMaster
from .table import NO_RECORD, Fact, Table

REFUSED: Mapping[type[Command], str] = {
    Scale: "the program's hooks decide how many workers run: change its configuration, then `prefork reload`",
    Replan: "a program with hooks has no plan: use `prefork reload`, which is a HUP",
    Back: "a program with hooks keeps no former generation: restore its code, then `prefork reload`",
    Preview: "a program with hooks has no plan, and only running its hooks shows what they do: use `prefork reload`",
    Upgrade: "the hooks of the program run in its master: stop the daemon and start it again with the new prefork",
    Restart: "the program's hooks decide when a worker is started: end its process (`kill PID`), "
    "which calls on_child_finished; `prefork status` has the pid",
}
"""Command -> why a hooks daemon cannot carry it out, and what to use instead."""

_NOT_JUDGED = "a program with hooks has no judged reload: its workers count no requests, and its hooks replace them"


def refusal(command: Command) -> str:
    """Return why a hooks daemon cannot carry out a command; empty if it can."""
    return _NOT_JUDGED if isinstance(command, Reload) and command.asks_for_judge else REFUSED.get(type(command), "")


NO_STACKS = (
    "workers of a program with hooks write no stacks: the signal that asks for them would end a `signal.pause()`; "
    "use `py-spy dump --pid PID`; `prefork status` has the pid"
)
NO_SCOREBOARD = "workers of a program with hooks count no requests: there is no scoreboard; use `prefork status`"


class SteeredDecider:
    """A decider that carries out commands, too. `facts`: what the last event was, in the terms of the journal."""

    def __init__(self, decider: HookMaster, table: Table) -> None:
        self._decider = decider
        self._table = table
        self._changes = Changes()
        self._stop_askers: list[int] = []
        self.facts: list[Fact] = []

    def next_deadline(self) -> float | None:
        """See `Decider`."""
        return self._decider.next_deadline()

    def handle(self, event: fact.Event, now: float) -> Sequence[Action]:
        """See `Decider`."""
        actions = list(self._decided(event, now))
        what = _change_of(event)
        if what and any(isinstance(action, Watch) for action in actions):
            self._table.generation += 1
        self.facts = list(self._table.note(event, actions, now))
        stopping = self._decider.stopping
        self._table.settle(self._decider.retry_at, stopping, now)
        # A reload whose hooks have failed changes nothing about one that is under way.
        outcomes = [] if what and not stopping else self._changes.proceed(event, self._decider)
        if what:
            outcomes += self._changed(what, event, actions)
        self._table.change = self._changes.view()
        self.facts.append((NO_RECORD, [each for each in outcomes if isinstance(each, Announce)]))
        if actions and isinstance(last := actions[-1], Exit):
            return [*actions[:-1], *outcomes, *self._ending(last)]
        return [*actions, *outcomes]

    def _decided(self, event: fact.Event, now: float) -> Iterator[Action]:
        """Yield what the other decider answers, to a signal in place of a command."""
        if not isinstance(event, fact.CommandReceived):
            yield from self._decider.handle(event, now)
        elif text := refusal(event.command):
            yield Reply(event.id, False, text)
        elif isinstance(event.command, Stop):
            self._stop_askers.append(event.id)
            yield from self._signalled("TERM", event, now)
        else:
            yield from self._signalled("HUP", event, now)

    def _signalled(self, name: str, event: fact.CommandReceived, now: float) -> Iterator[Action]:
        yield Report(f"prefork: {words(event.command)} requested by {event.by}")
        yield from self._decider.handle(fact.SignalReceived(name), now)

    def _changed(self, what: str, event: fact.Event, actions: Sequence[Action]) -> list[Action]:
        """Return the outcome of a start or reload, or what shows that it is under way."""
        asker, why = (event.id, event.by) if isinstance(event, fact.CommandReceived) else (0, what)
        generation = self._table.generation
        if why_not := self._decider.failed or ("the daemon is stopping" if self._decider.stopping else ""):
            return self._changes.fail(what, generation, asker, why_not)
        started = self._table.starting([action.pid for action in actions if isinstance(action, Watch)])
        return self._changes.begin(what, generation, (asker, why), started, self._decider.reloading)

    def _ending(self, last: Exit) -> Iterator[Action]:
        """Yield the end, and before it what those are told who have asked for it."""
        text = f"exit status {last.status}; the log has the reason" if last.status else "stopped"
        yield from (Reply(asker, not last.status, text) for asker in self._stop_askers)
        yield last


def _change_of(event: fact.Event) -> str:
    """Return which change an event asks for; empty if none."""
    match event:
        case fact.Started():
            return "start"
        case fact.SignalReceived("HUP", terminal_gone=False) | fact.CommandReceived(_, Reload()):
            return "reload"
    return ""
