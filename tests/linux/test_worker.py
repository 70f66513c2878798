"""The handles inside a worker: they wait for connections and for the end, and for nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from prefork._errors import UsageError
from prefork._wire.messages import Message, ReplacementRequested
from prefork._worker import handle
from prefork._worker.assignment import Assignment
from prefork._worker.async_handle import AsyncWorker
from prefork._worker.draining.drain import Drain
from prefork._worker.handle import Worker
from support import own_descriptors


@dataclass
class Place:
    """An assignment without a master."""

    drain: Drain
    listener: socket.socket
    ready: list[str] = field(default_factory=list)
    explicit_ready: bool = False
    waits: threading.Event = field(default_factory=threading.Event)
    worn: list[str] = field(default_factory=list)

    def assignment(self) -> Assignment:
        listeners = {"http": self.listener}
        return Assignment("web/0", 1, listeners, self.drain, self.explicit_ready, self.send_ready, self.send)

    def send(self, message: Message) -> None:
        assert isinstance(message, ReplacementRequested)
        self.worn.append(message.reason)

    def send_ready(self) -> None:
        self.ready.append("ready")
        self.waits.set()

    def worker(self) -> Worker[str]:
        return Worker("context", self.assignment())

    def async_worker(self) -> AsyncWorker[str]:
        return AsyncWorker("context", self.assignment())

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listener.getsockname(), timeout=10)


@pytest.fixture
def place() -> Iterator[Place]:
    before = own_descriptors()
    drain = Drain()
    drain.begin()
    place = Place(drain, socket.create_server(("127.0.0.1", 0)))
    place.listener.setblocking(False)
    yield place
    place.listener.close()
    signal.set_wakeup_fd(-1)
    for each in (drain.descriptor, drain.cut_short, drain.waker, drain._wake):
        os.close(each)
    assert os.listdir("/proc/self/fd") == before


def in_thread(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def test_knows_who_it_is(place: Place) -> None:
    worker = place.worker()
    assert (worker.context, worker.key, worker.generation, worker.draining) == ("context", "web/0", 1, False)


def test_a_listener_that_the_plan_does_not_give_is_misuse(place: Place) -> None:
    with pytest.raises(UsageError, match=r"web/0 has no listener 'https' \(it has: http\)"):
        place.worker().listener("https")
    with pytest.raises(UsageError):
        next(place.worker().accept("https"))


def test_accepts_until_it_drains(place: Place) -> None:
    clients = [place.connect() for _ in range(3)]
    accepted = 0
    for connection, address in place.worker().accept("http"):
        assert address == clients[accepted].getsockname()
        assert connection.gettimeout() is None
        connection.close()
        accepted += 1
        if accepted == 2:
            place.drain.request()
    assert accepted == 2
    # The third is still in the queue, for another worker.
    place.listener.accept()[0].close()
    for each in clients:
        each.close()


def test_says_ready_at_the_first_wait_and_not_before(place: Place) -> None:
    worker = place.worker()
    assert place.ready == []
    worker.wait_draining(0)
    assert place.ready


def test_leaves_it_to_the_function_to_say_ready(place: Place) -> None:
    place.explicit_ready = True
    worker = place.worker()
    worker.wait_draining(0)
    assert place.ready == []
    worker.ready()
    assert place.ready == ["ready"]


def test_a_waiting_thread_learns_of_the_drain(place: Place) -> None:
    threads = [
        in_thread(place.worker().wait_draining),
        in_thread(lambda: list(place.worker().accept("http"))),
    ]
    place.drain.request()
    for each in threads:
        each.join(10)
        assert not each.is_alive()


def test_a_signal_ends_the_wait_of_the_main_thread(place: Place) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    place.drain.catch(signal.SIGUSR1)
    try:
        killer = in_thread(lambda: signal_when(place.waits))
        assert place.worker().wait_draining(10)
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def signal_when(event: threading.Event) -> None:
    assert event.wait(10)
    os.kill(os.getpid(), signal.SIGUSR1)


def test_a_wait_with_a_timeout_tells_whether_it_is_draining(place: Place) -> None:
    assert place.worker().wait_draining(0.01) is False
    place.drain.request()
    assert place.worker().wait_draining() is True
    assert place.worker().draining


@pytest.fixture
def exhaust() -> Iterator[Callable[[], None]]:
    """Leave this process no descriptor, for a third of a second."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers: list[int] = []
    timers: list[threading.Timer] = []

    def fill() -> None:
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        try:
            while True:
                fillers.append(os.dup(0))
        except OSError:
            pass
        timers.append(threading.Timer(0.33, relax))
        timers[-1].start()

    def relax() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        while fillers:
            os.close(fillers.pop())

    yield fill
    for each in timers:
        each.join()
    relax()


def test_descriptors_exhausted_are_waited_for_without_spinning(place: Place, exhaust: Callable[[], None]) -> None:
    with contextlib.closing(place.worker().accept("http")) as accepting, place.connect(), place.connect():
        next(accepting)[0].close()
        exhaust()
        before = time.thread_time()
        next(accepting)[0].close()
        assert time.thread_time() - before < 0.1


def test_descriptors_exhausted_leave_the_event_loop_running(place: Place, exhaust: Callable[[], None]) -> None:
    async def main() -> None:
        async with contextlib.aclosing(place.async_worker().accept("http")) as accepting:
            (await anext(accepting))[0].close()
            exhaust()
            before = time.thread_time()
            (await anext(accepting))[0].close()
            assert time.thread_time() - before < 0.1

    with place.connect(), place.connect():
        asyncio.run(main())


def test_counts_requests(place: Place) -> None:
    worker = place.worker()
    with worker.request("GET /"), worker.request("GET /a"):
        assert (worker.activity.in_flight, worker.activity.label) == (2, "GET /a")
    assert worker.activity.in_flight == 0


@pytest.mark.parametrize("end", ["close", "file", "detach", "drop", "transport"])
def test_connection_counts_as_open_until_its_owner_is_done(place: Place, end: str) -> None:
    worker = place.worker()
    accepting = worker.accept("http")
    with contextlib.closing(accepting), place.connect():
        connection: socket.socket | None = next(accepting)[0]
        assert connection is not None
        assert worker.activity.open == 1
        match end:
            case "close":
                connection.close()
                connection.close()
            case "file":
                file = connection.makefile("rb")
                connection.close()
                assert worker.activity.open == 1
                file.close()
            case "detach":
                os.close(connection.detach())
            case "transport":
                asyncio.run(take_over_and_close(connection))
            case "drop":
                with pytest.warns(ResourceWarning):
                    connection = None
        assert worker.activity.open == 0


async def take_over_and_close(connection: socket.socket) -> None:
    connection.setblocking(False)
    _, writer = await asyncio.open_connection(sock=connection)
    writer.close()
    await writer.wait_closed()


def test_an_async_worker_accepts_until_it_drains(place: Place) -> None:
    async def main() -> int:
        accepted = 0
        async for connection, _ in place.async_worker().accept("http"):
            with connection:
                assert connection.gettimeout() == 0
                accepted += 1
                await asyncio.get_running_loop().sock_sendall(connection, b"hello")
        return accepted

    def clients() -> None:
        for _ in range(5):
            with place.connect() as client:
                assert client.recv(10) == b"hello"
        place.drain.request()

    thread = in_thread(clients)
    assert asyncio.run(main()) == 5
    thread.join()


def test_several_tasks_of_an_async_worker_wait_side_by_side(place: Place) -> None:
    async def accept(worker: AsyncWorker[str]) -> int:
        accepted = 0
        async for connection, _ in worker.accept("http"):
            connection.close()
            accepted += 1
        return accepted

    async def main() -> tuple[int, int, bool]:
        worker = place.async_worker()
        waits = accept(worker), accept(worker), worker.wait_draining()
        return await asyncio.wait_for(asyncio.gather(*waits), 10)

    def clients() -> None:
        for _ in range(10):
            with place.connect() as client:
                assert client.recv(10) == b""
        place.drain.request()

    thread = in_thread(clients)
    one, other, draining = asyncio.run(main())
    thread.join()
    assert one + other == 10
    assert draining


def test_an_async_wait_with_a_timeout_leaves_the_next_one_intact(place: Place) -> None:
    async def main() -> list[bool]:
        worker = place.async_worker()
        found = [await worker.wait_draining(0.01)]
        asyncio.get_running_loop().call_soon(place.drain.request)
        found.append(await worker.wait_draining(10))
        found.append(await worker.wait_draining())
        return found

    assert asyncio.run(main()) == [False, True, True]


def test_asyncio_is_not_imported_for_a_plain_worker() -> None:
    assert not hasattr(handle, "asyncio")


def test_signal_just_before_the_wait_is_noticed(place: Place) -> None:
    """As the interpreter's C handler leaves it: the byte is there, the Python handler has not run."""
    place.drain.catch(signal.SIGUSR1)
    os.write(place.drain._wake, bytes([signal.SIGUSR1]))
    assert list(place.worker().accept("http")) == []
    assert place.worker().draining


def test_another_signal_ends_no_wait(place: Place) -> None:
    os.write(place.drain._wake, bytes([signal.SIGUSR2]))
    assert place.worker().wait_draining(0.05) is False
