"""The master's side against peers that are not what they should be."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from prefork._core.events import BirthFailed, MoldFailed, SpareBorn, WorkerFailed
from prefork._linux.channel import Channel
from prefork._master.births.channels import Fact, MoldDisconnected, PlanReceived, ProcessChannels
from prefork._wire import messages
from small_master import SmallMaster, readable
from support import own_descriptors


@pytest.fixture
def nursery() -> Iterator[ProcessChannels]:
    before = own_descriptors()
    nursery = ProcessChannels()
    yield nursery
    nursery.close()
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def mold(nursery: ProcessChannels) -> Iterator[Channel]:
    """The test's own end: what a mold would say, the test says."""
    ours, theirs = Channel.pair()
    nursery.add_mold(1, 999_999, ours)
    yield theirs
    theirs.close()


def facts(nursery: ProcessChannels) -> list[Fact]:
    readable(nursery)
    return nursery.read()


def announce(mold: Channel) -> Channel:
    """The newborn's end."""
    ours, theirs = Channel.pair()
    mold.send(messages.ChildAnnounced(), [theirs.fileno()])
    theirs.close()
    return ours


class Child:
    """A child of this process that says Hello on both of its channels, the first first, when told to."""

    def __init__(self) -> None:
        go, self.go = Channel.pair()
        pairs = [Channel.pair(), Channel.pair()]
        self.pid = os.fork()
        if self.pid == 0:
            self.go.close()
            while go.receive() is not None:
                for ours, _ in pairs:
                    ours.send_hello()
            os._exit(0)
        go.close()
        for ours, _ in pairs:
            ours.close()
        self.ended = False
        self.channels = [theirs for _, theirs in pairs]

    def say_hello(self) -> None:
        self.go.send(messages.Ready())

    def end(self) -> None:
        for each in [self.go, *self.channels]:
            each.close()
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


def test_a_birth_is_told_when_it_is_adopted_and_has_said_hello(
    nursery: ProcessChannels, mold: Channel, child: Child
) -> None:
    nursery.breed(1, 1)
    mold.send(messages.ChildAnnounced(), [child.channels[0].fileno()])
    mold.send(messages.ForksEnded(1, ""))
    assert facts(nursery) == []
    child.say_hello()
    assert facts(nursery) == [SpareBorn(1, child.pid)]


def test_a_birth_that_has_said_hello_is_told_when_it_is_adopted(
    nursery: ProcessChannels, mold: Channel, child: Child
) -> None:
    nursery.breed(1, 1)
    mold.send(messages.ChildAnnounced(), [child.channels[0].fileno()])
    child.say_hello()
    assert facts(nursery) == []
    readable(nursery)
    assert facts(nursery) == []
    mold.send(messages.ForksEnded(1, ""))
    assert facts(nursery) == [SpareBorn(1, child.pid)]


def test_a_pid_is_born_once(nursery: ProcessChannels, mold: Channel, child: Child) -> None:
    nursery.breed(1, 2)
    for each in child.channels:
        mold.send(messages.ChildAnnounced(), [each.fileno()])
    mold.send(messages.ForksEnded(2, ""))
    assert facts(nursery) == []
    child.say_hello()
    found: list[Fact] = []
    while len(found) < 2:
        found += facts(nursery)
    assert SpareBorn(1, child.pid) in found
    assert BirthFailed(1, 1, f"pid {child.pid} is no new child of the master") in found


def test_who_is_not_the_masters_child_is_not_born(nursery: ProcessChannels, mold: Channel) -> None:
    nursery.breed(1, 1)
    newborn = announce(mold)
    # This process is nobody's child here, least of all its own.
    readable(nursery)
    assert nursery.read() == []
    newborn.send_hello()
    mold.send(messages.ForksEnded(1, ""))
    found: list[Fact] = []
    while not found:
        found = facts(nursery)
    assert found == [BirthFailed(1, 1, f"pid {os.getpid()} is no new child of the master")]
    assert newborn.receive() is None


def test_who_does_not_say_its_pid_is_not_born(nursery: ProcessChannels, mold: Channel) -> None:
    nursery.breed(1, 1)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mold.send(messages.ChildAnnounced(), [other.fileno()])
    other.close()
    with one:
        one.send(b"=" + messages.encode(messages.Ready()))
        readable(nursery)
        nursery.read()
        assert facts(nursery) == [BirthFailed(1, 1, "a newborn says Hello, once, and who it is")]


def test_a_newborn_that_dies_before_it_says_hello_has_failed(nursery: ProcessChannels, mold: Channel) -> None:
    nursery.breed(1, 2)
    announce(mold).close()
    mold.send(messages.ForksEnded(2, "the intermediate was killed by signal 9"))
    found: list[Fact] = []
    while len(found) < 2:
        found += facts(nursery)
    assert found == [
        BirthFailed(1, 1, "the intermediate was killed by signal 9"),
        BirthFailed(1, 1, "it ended before it was born"),
    ]


def test_a_spare_that_dies_at_once_was_born_all_the_same(nursery: ProcessChannels, mold: Channel, child: Child) -> None:
    nursery.breed(1, 1)
    mold.send(messages.ChildAnnounced(), [child.channels[0].fileno()])
    mold.send(messages.ForksEnded(1, ""))
    assert facts(nursery) == []
    child.say_hello()
    child.end()
    assert facts(nursery) == [SpareBorn(1, child.pid)]
    assert nursery.read() == []
    # Its end has been read; when it has been reaped nothing is left to be told.
    assert nursery.finish(child.pid) == []


def test_births_that_nobody_ordered_end_the_conversation(nursery: ProcessChannels, mold: Channel) -> None:
    nursery.breed(1, 1)
    newborns = [announce(mold), announce(mold)]
    assert facts(nursery) == [
        BirthFailed(1, 1, "a birth that was not ordered"),
        MoldDisconnected(1, "a birth that was not ordered"),
    ]
    assert [each.receive() for each in newborns] == [None, None]
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
def test_what_a_mold_may_not_say_ends_the_conversation(
    nursery: ProcessChannels, mold: Channel, message: messages.Message
) -> None:
    mold.send(message)
    [fact] = facts(nursery)
    assert isinstance(fact, MoldDisconnected)
    assert fact.reason
    assert not mold.try_send(messages.Planned(None, ()))


def test_a_mold_tells_one_plan_each_time_that_it_is_asked(nursery: ProcessChannels, mold: Channel) -> None:
    for text in ("first", "second"):
        nursery.compute_plan(1)
        mold.send(messages.Planned(text, ()))
        assert facts(nursery) == [PlanReceived(1, text, ())]
    mold.send(messages.Planned("third", ()))
    assert facts(nursery) == [MoldDisconnected(1, "a plan that was not asked for")]


def test_what_is_no_channel_is_not_taken(nursery: ProcessChannels, mold: Channel) -> None:
    nursery.breed(1, 1)
    with open("/etc/passwd") as file:
        mold.send(messages.ChildAnnounced(), [file.fileno()])
    assert facts(nursery) == [
        BirthFailed(1, 1, "the descriptor is no socket"),
        MoldDisconnected(1, "the descriptor is no socket"),
    ]


def test_a_flood_leaves_others_their_turn(nursery: ProcessChannels, mold: Channel) -> None:
    ours, other = Channel.pair()
    nursery.add_mold(2, 999_998, ours)
    try:
        while True:
            mold.send(messages.StepFailed("plan", "flood"), wait=False)
    except BlockingIOError:
        pass
    nursery.compute_plan(2)
    other.send(messages.Planned("other", ()))
    found = facts(nursery)
    assert PlanReceived(2, "other", ()) in found
    assert 0 < found.count(MoldFailed(1, "plan failed:\nflood")) < 100
    other.close()


def test_a_worker_that_breaks_the_protocol_is_named(nursery: ProcessChannels) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nursery.add_process(12_345, Channel(one))
    with other:
        other.send(b"hello")
        [fact] = facts(nursery)
        assert isinstance(fact, WorkerFailed)
        assert fact.pid == 12_345
        assert other.recv(1) == b""


def test_orders_to_those_who_have_gone_are_no_error(nursery: ProcessChannels) -> None:
    nursery.compute_plan(7)
    nursery.breed(7, 1)
    nursery.end_mold(7)
    nursery.order(7, messages.Order("web/0", 1, None, os.getpid(), ""), [0])
    nursery.dismiss(7)
    assert nursery.read() == nursery.finish(7) == nursery.finish_mold(7) == []


def test_a_socket_that_is_not_connected_is_no_birth(nursery: ProcessChannels, mold: Channel) -> None:
    nursery.breed(1, 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        mold.send(messages.ChildAnnounced(), [sock.fileno()])
    found: list[Fact] = []
    while not found:
        found = facts(nursery)
    [fact] = found
    assert isinstance(fact, BirthFailed)
    assert fact.count == 1


def test_a_failure_after_a_plan_is_another_fact_than_one_before(nursery: ProcessChannels, mold: Channel) -> None:
    mold.send(messages.StepFailed("load", "text"))
    assert facts(nursery) == [MoldFailed(1, "load failed:\ntext")]


def test_two_masters_in_one_process(tmp_path: object) -> None:
    with SmallMaster() as one, SmallMaster() as other:
        one.planned()
        other.planned()
        one.worker("serve")
        other.worker("serve")
        assert one.ask()["pid"] != other.ask()["pid"]
