"""Who talks to the daemon for the page: threads, since every call of a client blocks until its outcome is known.

What they find they post, as messages, to the page. Nothing is asked of the daemon while nothing happens there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.message import Message

from ..._errors import CommandFailedError, PreforkError, SystemFailure
from ..._report.units import counted
from ...client import Client, Each, Event
from .._words import with_user_names

_PAUSE = 0.5
"""Seconds between two attempts to reach a daemon that has ended."""

_SETTLED = 1.5
"""Seconds after the last event when a state is asked for once more: a worker has by then made up for its failures."""


@dataclass
class Happened(Message):
    """There are events to be taken."""


@dataclass
class Seen(Message):
    """The daemon's status."""

    status: dict[str, Any]


@dataclass
class Trouble(Message):
    """The daemon is there, and does not answer as it should."""

    text: str


@dataclass
class Gone(Message):
    """The daemon has ended."""


@dataclass
class Back(Message):
    """It runs, at first or again."""


@dataclass
class Under(Message):
    """How far a command has come."""

    what: str
    text: str


@dataclass
class Outcome(Message):
    """How a command has ended."""

    what: str
    ok: bool
    text: str


@dataclass
class Answered(Message):
    """What was asked for, to be read: its subject, and what there is."""

    subject: str
    found: dict[str, Any]


class Link:
    """One daemon, for as long as the page is open."""

    def __init__(self, client: Client, post: Callable[[Message], object]) -> None:
        self.client = client
        self.events: deque[Event] = deque(maxlen=2000)
        self._post = post
        self._asked = threading.Event()
        self._closed = threading.Event()

    def start(self) -> None:
        """Follow the daemon from now on."""
        in_background(self._follow)
        in_background(self._answer)

    def close(self) -> None:
        """Let the threads end, as far as they do not wait for the daemon: that one's end is theirs."""
        self._closed.set()
        self._asked.set()

    def tell(self, message: Message) -> None:
        """Post a message, unless the page has been closed in the meantime."""
        try:
            self._post(message)
        except RuntimeError:
            pass  # Its loop is closed.

    def ask(self) -> None:
        """Have the status fetched soon."""
        self._asked.set()

    def command(self, what: str, command: Callable[[Each], str]) -> None:
        """Have a command carried out."""
        in_background(lambda: self._carry_out(what, command))

    def find(self, subject: str, question: Callable[[], dict[str, Any]]) -> None:
        """Have something found out about a slot."""
        in_background(lambda: self._find(subject, question))

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                self.client.hello()
                self.tell(Back())
                self._listen()
                self.tell(Gone())
            except SystemFailure as error:
                self.tell(Trouble(str(error)) if self._runs() else Gone())
            self._closed.wait(_PAUSE)

    def _listen(self) -> None:
        """Take in what happens until the daemon ends. What comes in one rush is told of once."""
        for event in self.client.events(follow=True):
            told = bool(self.events)
            self.events.append(event)
            if not told:
                self.tell(Happened())

    def _runs(self) -> bool:
        try:
            self.client.hello()
        except SystemFailure:
            return False
        return True

    def _answer(self) -> None:
        """Fetch the status when asked to, and once more when it has become quiet; the more slots, the more seldom."""
        while self._asked.wait():
            while self._asked.is_set():
                self._asked.clear()
                if self._closed.is_set():  # It is so before it asks for the last time: none of its asking is missed.
                    return
                slots = self._fetch()
                self._closed.wait(0.2 + slots / 1000)
                self._asked.wait(_SETTLED)
            self._fetch()

    def _fetch(self) -> int:
        try:
            status = self.client.status()
        except PreforkError as error:
            if self._runs():
                self.tell(Trouble(str(error)))
            return 0
        self.tell(Seen(status))
        return len(status["slots"])

    def _carry_out(self, what: str, command: Callable[[Each], str]) -> None:
        self.tell(Under(what, "asked for"))
        try:
            text = command(lambda event: self._progress(what, event))
        except PreforkError as error:
            self.tell(Outcome(what, False, with_user_names(str(error))))
        else:
            self.tell(Outcome(what, True, with_user_names(text)))

    def _progress(self, what: str, event: Event) -> None:
        match event["event"]:
            case "mold started":
                self.tell(Under(what, f"generation {event['generation']} imports the application"))
            case "planned":
                self.tell(Under(what, f"generation {event['generation']} has a plan"))
            case "change" if event.get("left") and event["stage"] in ("rolling", "settled"):
                self.tell(Under(what, f"{counted(event['left'], 'slot')} to go"))

    def _find(self, subject: str, question: Callable[[], dict[str, Any]]) -> None:
        try:
            self.tell(Answered(subject, question()))
        except CommandFailedError as error:
            self.tell(Outcome(subject, False, str(error)))
        except PreforkError as error:
            self.tell(Trouble(str(error)))


def in_background(function: Callable[[], None]) -> None:
    """Run it in a thread that nobody waits for."""
    threading.Thread(target=function, daemon=True).start()
