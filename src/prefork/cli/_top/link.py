"""The connection of the page to the daemon: threads, since every call of a client blocks until its outcome is known.

They post their results to the page as messages. While the daemon has no events, they request nothing from it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from textual.message import Message

from ..._errors import CommandFailedError, PreforkError, SystemFailure
from ..._report.units import counted
from ...client import Client, Each, Event, Status
from .._words import with_user_names

_PAUSE = 0.5
"""Seconds between two attempts to reach a daemon that has ended."""

_SETTLED = 1.5
"""Seconds after the last event until the last request of the status, for what changes without an event."""


@dataclass
class EventsReceived(Message):
    """New events are in `Link.events`."""


@dataclass
class StatusReceived(Message):
    """The daemon's status."""

    status: Status


@dataclass
class RequestFailed(Message):
    """The daemon is running, but a request failed."""

    text: str


@dataclass
class Disconnected(Message):
    """The daemon has ended."""


@dataclass
class Connected(Message):
    """The daemon is running: for the first time, or again."""


@dataclass
class CommandProgress(Message):
    """The progress of a command."""

    what: str
    text: str


@dataclass
class CommandEnded(Message):
    """The outcome of a command."""

    what: str
    ok: bool
    text: str


@dataclass
class DetailsReceived(Message):
    """The history or the stacks of a slot (`subject`)."""

    subject: str
    found: Mapping[str, Any]


class Link:
    """The threads of a page."""

    def __init__(self, client: Client, post: Callable[[Message], object]) -> None:
        self.client = client
        self.events: deque[Event] = deque(maxlen=2000)
        self._post = post
        self._asked = threading.Event()
        self._closed = threading.Event()
        self._bakes = False

    def start(self) -> None:
        """Follow the daemon from now on."""
        in_background(self._follow)
        in_background(self._fetch_on_request)

    def close(self) -> None:
        """Let the threads end, as far as they do not wait for the daemon: that one's end is theirs."""
        self._closed.set()
        self._asked.set()

    def post(self, message: Message) -> None:
        """Post a message, unless the page has been closed in the meantime."""
        try:
            self._post(message)
        except RuntimeError:
            pass  # Its loop is closed.

    def request_status(self) -> None:
        """Fetch the status soon."""
        self._asked.set()

    def command(self, what: str, command: Callable[[Each], str]) -> None:
        """Execute a command in a thread."""
        in_background(lambda: self._execute(what, command))

    def fetch_details(self, subject: str, question: Callable[[], Mapping[str, Any]]) -> None:
        """Fetch the history or the stacks of a slot in a thread."""
        in_background(lambda: self._fetch_details(subject, question))

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                self.client.hello()
                self.post(Connected())
                self._read_events()
                self.post(Disconnected())
            except SystemFailure as error:
                self.post(RequestFailed(str(error)) if self._is_running() else Disconnected())
            self._closed.wait(_PAUSE)

    def _read_events(self) -> None:
        """Read events until the daemon ends. One message announces all events that the page has not taken yet."""
        for event in self.client.events(follow=True):
            announced = bool(self.events)
            self.events.append(event)
            if not announced:
                self.post(EventsReceived())

    def _is_running(self) -> bool:
        try:
            self.client.hello()
        except SystemFailure:
            return False
        return True

    def _fetch_on_request(self) -> None:
        """Fetch the status on request, and once more after the last event; less often with more slots.

        Also while a reload is judged: no event comes with the figures of its bake.
        """
        while self._asked.wait(_SETTLED if self._bakes else None) or self._bakes:
            while self._asked.is_set():
                self._asked.clear()
                if self._closed.is_set():  # `close` sets it before the last request: none is missed.
                    return
                slots = self._fetch()
                self._closed.wait(0.2 + slots / 1000)
                self._asked.wait(_SETTLED)
            self._fetch()
            if self._closed.is_set():
                return

    def _fetch(self) -> int:
        try:
            status = self.client.status()
        except PreforkError as error:
            if self._is_running():
                self.post(RequestFailed(str(error)))
            return 0
        self._bakes = bool(status["change"] and status["change"].get("bake"))
        self.post(StatusReceived(status))
        return len(status["slots"])

    def _execute(self, what: str, command: Callable[[Each], str]) -> None:
        self.post(CommandProgress(what, "sent"))
        try:
            text = command(lambda event: self._progress(what, event))
        except PreforkError as error:
            self.post(CommandEnded(what, False, with_user_names(str(error))))
        else:
            self.post(CommandEnded(what, True, with_user_names(text)))

    def _progress(self, what: str, event: Event) -> None:
        match event["event"]:
            case "mold_started":
                self.post(CommandProgress(what, f"importing generation {event['generation']}"))
            case "planned":
                self.post(CommandProgress(what, f"generation {event['generation']} is planned"))
            case "change" if event.get("left") and event["stage"] in ("rolling", "settled"):
                self.post(CommandProgress(what, f"{counted(event['left'], 'slot')} to go"))

    def _fetch_details(self, subject: str, question: Callable[[], Mapping[str, Any]]) -> None:
        try:
            self.post(DetailsReceived(subject, question()))
        except CommandFailedError as error:
            self.post(CommandEnded(subject, False, str(error)))
        except PreforkError as error:
            self.post(RequestFailed(str(error)))


def in_background(function: Callable[[], None]) -> None:
    """Run a function in a thread that does not keep the process alive."""
    threading.Thread(target=function, daemon=True).start()
