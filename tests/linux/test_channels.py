"""The master's channels against peers that break the protocol."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from prefork._core.events import ForkFailed, MoldFailed, SpareForked, WorkerDrained, WorkerFailed, WorkerWornOut
from prefork._linux.channel import Channel
from prefork._master.births.channels import Fact, MoldDisconnected, PlanReceived, ProcessChannels
from prefork._master.channels.end import MasterEnd
from prefork._wire import messages, plan_memory
from small_master import SmallMaster, readable
from support import own_descriptors


@pytest.fixture
def channels() -> Iterator[ProcessChannels]:
    before = own_descriptors()
    channels = ProcessChannels()
    yield channels
    channels.close()
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def mold(channels: ProcessChannels) -> Iterator[Channel]:
    """The mold's end: the test sends what a mold would send."""
    ours, theirs = MasterEnd.made()
    channels.add_mold(1, 999_999, ours)
    yield theirs
    theirs.close()


def facts(channels: ProcessChannels) -> list[Fact]:
    readable(channels)
    return channels.read()


def ordered(mold: Channel) -> list[Channel]:
    """The newborns' ends of the next batch that the mold is ordered."""
    received = mold.receive()
    assert received is not None
    assert received.message == messages.Fork(len(received.descriptors))
    return [Channel.from_descriptor(each) for each in received.descriptors]


def plan(mold: Channel, text: str) -> None:
    """Answer the next order of a plan."""
    received = mold.receive()
    assert received is not None
    assert isinstance(received.message, messages.ComputePlan)
    [memory] = received.descriptors
    mold.send(messages.Planned(plan_memory.write(memory, text), (), ()))
    os.close(memory)


class Child:
    """A child of this process that sends Hello on the channels that it is given, in order, when told to."""

    def __init__(self) -> None:
        go, self.go = Channel.pair()
        self.pid = os.fork()
        if self.pid == 0:
            self.go.close()
            while (received := go.receive()) is not None:
                for each in received.descriptors:
                    os.dup(each)  # It stays open, as a newborn's does.
                    Channel.from_descriptor(each).send_hello()
            os._exit(0)
        go.close()
        self.ended = False

    def send_hello(self, *channels: Channel) -> None:
        self.go.send(messages.Ready(), [each.fileno() for each in channels])
        for each in channels:
            each.close()

    def end(self) -> None:
        self.go.close()
        if not self.ended:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.ended = True

    def reap(self) -> None:
        self.end()
        os.waitpid(self.pid, 0)


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.reap()


def until_facts(channels: ProcessChannels, count: int) -> list[Fact]:
    found: list[Fact] = []
    while len(found) < count:
        found += facts(channels)
    return found


def test_spare_is_reported_after_batch_end_and_hello(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 1)
    newborns = ordered(mold)
    mold.send(messages.ForksEnded(1, ""))
    assert facts(channels) == []
    child.send_hello(*newborns)
    assert facts(channels) == [SpareForked(1, child.pid)]


def test_spare_is_reported_after_hello_and_batch_end(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 1)
    child.send_hello(*ordered(mold))
    assert facts(channels) == []
    mold.send(messages.ForksEnded(1, ""))
    assert until_facts(channels, 1) == [SpareForked(1, child.pid)]


def test_second_newborn_of_one_pid_fails(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 2)
    newborns = ordered(mold)
    mold.send(messages.ForksEnded(2, ""))
    assert facts(channels) == []
    child.send_hello(*newborns)
    found = until_facts(channels, 2)
    assert SpareForked(1, child.pid) in found
    assert ForkFailed(1, 1, f"pid {child.pid} is not a new child of the master") in found


def test_newborn_of_another_parent_fails(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    [newborn] = ordered(mold)
    newborn.send_hello()  # This process is not its own child.
    mold.send(messages.ForksEnded(1, ""))
    assert until_facts(channels, 1) == [ForkFailed(1, 1, f"pid {os.getpid()} is not a new child of the master")]
    assert newborn.receive() is None
    newborn.close()


def test_newborn_whose_pid_has_a_role_fails(child: Child) -> None:
    """The channel of a newborn was given to a process that the master knows as something else, such as a mold."""
    roles = {child.pid}
    channels = ProcessChannels(lambda pid: pid not in roles)
    ours, mold = MasterEnd.made()
    channels.add_mold(1, 999_999, ours)
    channels.fork_spares(1, 1)
    child.send_hello(*ordered(mold))
    mold.send(messages.ForksEnded(1, ""))
    assert until_facts(channels, 1) == [ForkFailed(1, 1, f"pid {child.pid} is not a new child of the master")]
    assert channels.finish(child.pid) == []
    channels.close()
    mold.close()


def test_newborn_that_says_something_else_fails(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    [newborn] = ordered(mold)
    newborn.send(messages.Ready())
    assert facts(channels) == []
    mold.send(messages.ForksEnded(1, ""))
    assert until_facts(channels, 1) == [ForkFailed(1, 1, "a newborn must send Hello once, with its pid")]
    newborn.close()


def test_newborn_that_dies_before_hello_fails(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 2)
    early, late = ordered(mold)
    early.close()
    mold.send(messages.ForksEnded(2, "the intermediate killed by signal 9"))
    assert until_facts(channels, 1) == [ForkFailed(1, 1, "the intermediate killed by signal 9")]
    late.close()
    assert until_facts(channels, 1) == [ForkFailed(1, 1, "the intermediate killed by signal 9")]


def test_large_order_is_several_batches(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 250)
    batches = [ordered(mold) for _ in range(3)]
    assert list(map(len, batches)) == [100, 100, 50]
    for batch in batches:
        for newborn in batch:
            newborn.close()
        mold.send(messages.ForksEnded(len(batch), "they are full"))
    assert until_facts(channels, 3) == [ForkFailed(1, count, "they are full") for count in (100, 100, 50)]


def test_spare_that_dies_at_once_is_reported(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 1)
    newborns = ordered(mold)
    mold.send(messages.ForksEnded(1, ""))
    assert facts(channels) == []
    child.send_hello(*newborns)
    child.end()
    assert facts(channels) == [SpareForked(1, child.pid)]
    assert channels.read() == []
    # Its end has been read; no fact is left when it is reaped.
    assert channels.finish(child.pid) == []


def test_batch_that_was_not_ordered_disconnects_the_mold(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    newborns = ordered(mold)
    mold.send(messages.ForksEnded(2, ""))
    assert until_facts(channels, 2) == [
        ForkFailed(1, 1, "the mold ended a batch of forks that was not ordered"),
        MoldDisconnected(1, "the mold ended a batch of forks that was not ordered"),
    ]
    assert [each.receive() for each in newborns] == [None]
    for each in newborns:
        each.close()


@pytest.mark.parametrize(
    "message",
    [
        messages.Ready(),
        messages.Hello(),
        messages.Fork(1),
        messages.ComputePlan(),
        messages.ForksEnded(1, ""),
        messages.Failed(""),
    ],
    ids=lambda message: type(message).__name__,
)
def test_wrong_message_disconnects_the_mold(
    channels: ProcessChannels, mold: Channel, message: messages.Message
) -> None:
    mold.send(message)
    [fact] = facts(channels)
    assert isinstance(fact, MoldDisconnected)
    assert fact.reason
    assert not mold.try_send(messages.Planned(0, (), ()))


def test_mold_sends_one_plan_per_order(channels: ProcessChannels, mold: Channel) -> None:
    for text in ("first", "second"):
        channels.compute_plan(1)
        plan(mold, text)
        assert facts(channels) == [PlanReceived(1, text, ())]
    mold.send(messages.Planned(2, (), ()))
    assert facts(channels) == [MoldDisconnected(1, "the mold sent a plan that was not ordered")]


def test_plan_longer_than_its_memory_disconnects_the_mold(channels: ProcessChannels, mold: Channel) -> None:
    channels.compute_plan(1)
    mold.send(messages.Planned(2**40, (), ()))
    assert facts(channels) == [MoldDisconnected(1, f"a plan of {2**40} bytes")]


def test_flood_does_not_starve_other_peers(channels: ProcessChannels, mold: Channel) -> None:
    ours, other = MasterEnd.made()
    channels.add_mold(2, 999_998, ours)
    try:
        while True:
            mold.send(messages.StepFailed("plan", "flood"), wait=False)
    except BlockingIOError:
        pass
    channels.compute_plan(2)
    plan(other, "other")
    found = facts(channels)
    assert PlanReceived(2, "other", ()) in found
    assert 0 < found.count(MoldFailed(1, "flood")) < 100
    other.close()


def test_worker_that_breaks_the_protocol_fails_by_pid(channels: ProcessChannels) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channels.add_process(12_345, MasterEnd(one))
    with other:
        other.send(b"hello")
        [fact] = facts(channels)
        assert isinstance(fact, WorkerFailed)
        assert fact.pid == 12_345
        assert other.recv(1) == b""


def test_reports_of_one_process_are_bounded(channels: ProcessChannels) -> None:
    ours, worker = MasterEnd.made()
    channels.add_process(12_345, ours)
    for number in range(50):
        worker.send(messages.ReplacementRequested(f"reason {number}"))
    worker.send(messages.Drained())
    found = until_facts(channels, 17)
    assert found[:16] == [WorkerWornOut(12_345, f"reason {number}") for number in range(16)]
    assert found[16:] == [WorkerDrained(12_345)]
    worker.close()


def test_order_to_an_ended_process_is_ignored(channels: ProcessChannels) -> None:
    channels.compute_plan(7)
    channels.fork_spares(7, 1)
    channels.end_mold(7)
    channels.order(7, messages.Order("web/0", 1, None, os.getpid(), ""), [0])
    channels.dismiss(7)
    assert channels.read() == channels.finish(7) == channels.finish_mold(7) == []


def test_failure_before_and_after_a_plan_differ(channels: ProcessChannels, mold: Channel) -> None:
    mold.send(messages.StepFailed("load", "text"))
    assert facts(channels) == [MoldFailed(1, "text")]


@pytest.mark.parametrize(
    ("step", "text", "first"),
    [
        ("load", "Traceback\n  line\nKeyError: 'x'", "importing the application failed: KeyError: 'x'"),
        ("plan", "Traceback\n  line\n  | a group", "computing the plan failed"),
        ("before_fork", "Traceback\n" + "x" * 201, "before_fork failed"),
    ],
)
def test_first_line_of_a_failure_has_the_cause(
    channels: ProcessChannels, mold: Channel, step: str, text: str, first: str
) -> None:
    mold.send(messages.StepFailed(step, text))
    assert facts(channels) == [MoldFailed(1, f"{first}\n{text}")]


def test_first_line_of_a_refusal_has_it(channels: ProcessChannels, mold: Channel) -> None:
    mold.send(messages.StepFailed("import", "shop.db is open to db:5432\nAll workers would share it"))
    report = "import failed: shop.db is open to db:5432\nAll workers would share it"
    assert facts(channels) == [MoldFailed(1, report)]


@pytest.mark.processes
def test_two_masters_in_one_process(tmp_path: object) -> None:
    with SmallMaster() as one, SmallMaster() as other:
        one.planned()
        other.planned()
        one.worker("serve")
        other.worker("serve")
        assert one.ask()["pid"] != other.ask()["pid"]
