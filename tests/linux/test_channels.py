"""The master's channels against peers that break the protocol."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from prefork._core.events import ForkFailed, MoldFailed, SpareForked, WorkerFailed
from prefork._linux.channel import Channel
from prefork._master.births.channels import Fact, MoldDisconnected, PlanReceived, ProcessChannels
from prefork._wire import messages
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
    ours, theirs = Channel.pair()
    channels.add_mold(1, 999_999, ours)
    yield theirs
    theirs.close()


def facts(channels: ProcessChannels) -> list[Fact]:
    readable(channels)
    return channels.read()


def announce(mold: Channel) -> Channel:
    """The newborn's end."""
    ours, theirs = Channel.pair()
    mold.send(messages.ChildAnnounced(), [theirs.fileno()])
    theirs.close()
    return ours


class Child:
    """A child of this process that sends Hello on both of its channels, in order, when told to."""

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

    def send_hello(self) -> None:
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


def test_spare_is_reported_after_batch_end_and_hello(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 1)
    mold.send(messages.ChildAnnounced(), [child.channels[0].fileno()])
    mold.send(messages.ForksEnded(1, ""))
    assert facts(channels) == []
    child.send_hello()
    assert facts(channels) == [SpareForked(1, child.pid)]


def test_spare_is_reported_after_hello_and_batch_end(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 1)
    mold.send(messages.ChildAnnounced(), [child.channels[0].fileno()])
    child.send_hello()
    assert facts(channels) == []
    readable(channels)
    assert facts(channels) == []
    mold.send(messages.ForksEnded(1, ""))
    assert facts(channels) == [SpareForked(1, child.pid)]


def test_second_newborn_of_one_pid_fails(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 2)
    for each in child.channels:
        mold.send(messages.ChildAnnounced(), [each.fileno()])
    mold.send(messages.ForksEnded(2, ""))
    assert facts(channels) == []
    child.send_hello()
    found: list[Fact] = []
    while len(found) < 2:
        found += facts(channels)
    assert SpareForked(1, child.pid) in found
    assert ForkFailed(1, 1, f"pid {child.pid} is not a new child of the master") in found


def test_newborn_of_another_parent_fails(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    newborn = announce(mold)
    # This process is not its own child.
    readable(channels)
    assert channels.read() == []
    newborn.send_hello()
    mold.send(messages.ForksEnded(1, ""))
    found: list[Fact] = []
    while not found:
        found = facts(channels)
    assert found == [ForkFailed(1, 1, f"pid {os.getpid()} is not a new child of the master")]
    assert newborn.receive() is None


def test_hello_without_pid_fails(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mold.send(messages.ChildAnnounced(), [other.fileno()])
    other.close()
    with one:
        one.send(b"=" + messages.encode(messages.Ready()))
        readable(channels)
        channels.read()
        assert facts(channels) == [ForkFailed(1, 1, "a newborn must send Hello once, with its pid")]


def test_newborn_that_dies_before_hello_fails(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 2)
    announce(mold).close()
    mold.send(messages.ForksEnded(2, "the intermediate killed by signal 9"))
    found: list[Fact] = []
    while len(found) < 2:
        found += facts(channels)
    assert found == [
        ForkFailed(1, 1, "the intermediate killed by signal 9"),
        ForkFailed(1, 1, "the process exited before it was ready"),
    ]


def test_spare_that_dies_at_once_is_reported(channels: ProcessChannels, mold: Channel, child: Child) -> None:
    channels.fork_spares(1, 1)
    mold.send(messages.ChildAnnounced(), [child.channels[0].fileno()])
    mold.send(messages.ForksEnded(1, ""))
    assert facts(channels) == []
    child.send_hello()
    child.end()
    assert facts(channels) == [SpareForked(1, child.pid)]
    assert channels.read() == []
    # Its end has been read; no fact is left when it is reaped.
    assert channels.finish(child.pid) == []


def test_unordered_forks_disconnect_the_mold(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    newborns = [announce(mold), announce(mold)]
    assert facts(channels) == [
        ForkFailed(1, 1, "the mold announced a fork that was not ordered"),
        MoldDisconnected(1, "the mold announced a fork that was not ordered"),
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
def test_wrong_message_disconnects_the_mold(
    channels: ProcessChannels, mold: Channel, message: messages.Message
) -> None:
    mold.send(message)
    [fact] = facts(channels)
    assert isinstance(fact, MoldDisconnected)
    assert fact.reason
    assert not mold.try_send(messages.Planned(None, ()))


def test_mold_sends_one_plan_per_order(channels: ProcessChannels, mold: Channel) -> None:
    for text in ("first", "second"):
        channels.compute_plan(1)
        mold.send(messages.Planned(text, ()))
        assert facts(channels) == [PlanReceived(1, text, ())]
    mold.send(messages.Planned("third", ()))
    assert facts(channels) == [MoldDisconnected(1, "the mold sent a plan that was not ordered")]


def test_descriptor_of_no_channel_is_refused(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    with open("/etc/passwd") as file:
        mold.send(messages.ChildAnnounced(), [file.fileno()])
    assert facts(channels) == [
        ForkFailed(1, 1, "the descriptor is no socket"),
        MoldDisconnected(1, "the descriptor is no socket"),
    ]


def test_flood_does_not_starve_other_peers(channels: ProcessChannels, mold: Channel) -> None:
    ours, other = Channel.pair()
    channels.add_mold(2, 999_998, ours)
    try:
        while True:
            mold.send(messages.StepFailed("plan", "flood"), wait=False)
    except BlockingIOError:
        pass
    channels.compute_plan(2)
    other.send(messages.Planned("other", ()))
    found = facts(channels)
    assert PlanReceived(2, "other", ()) in found
    assert 0 < found.count(MoldFailed(1, "plan failed:\nflood")) < 100
    other.close()


def test_worker_that_breaks_the_protocol_fails_by_pid(channels: ProcessChannels) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channels.add_process(12_345, Channel(one))
    with other:
        other.send(b"hello")
        [fact] = facts(channels)
        assert isinstance(fact, WorkerFailed)
        assert fact.pid == 12_345
        assert other.recv(1) == b""


def test_order_to_an_ended_process_is_ignored(channels: ProcessChannels) -> None:
    channels.compute_plan(7)
    channels.fork_spares(7, 1)
    channels.end_mold(7)
    channels.order(7, messages.Order("web/0", 1, None, os.getpid(), ""), [0])
    channels.dismiss(7)
    assert channels.read() == channels.finish(7) == channels.finish_mold(7) == []


def test_unconnected_socket_is_refused(channels: ProcessChannels, mold: Channel) -> None:
    channels.fork_spares(1, 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        mold.send(messages.ChildAnnounced(), [sock.fileno()])
    found: list[Fact] = []
    while not found:
        found = facts(channels)
    [fact] = found
    assert isinstance(fact, ForkFailed)
    assert fact.count == 1


def test_failure_before_and_after_a_plan_differ(channels: ProcessChannels, mold: Channel) -> None:
    mold.send(messages.StepFailed("load", "text"))
    assert facts(channels) == [MoldFailed(1, "load failed:\ntext")]


def test_two_masters_in_one_process(tmp_path: object) -> None:
    with SmallMaster() as one, SmallMaster() as other:
        one.planned()
        other.planned()
        one.worker("serve")
        other.worker("serve")
        assert one.ask()["pid"] != other.ask()["pid"]
