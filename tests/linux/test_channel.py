"""Channels: what is said arrives whole, with its descriptors and its sender, or not at all."""

from __future__ import annotations

import array
import fcntl
import json
import os
import resource
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork._linux import memfd
from prefork._linux.channel import INLINE_LIMIT, Channel, DescriptorsLost
from prefork._wire import messages
from prefork._wire.messages import ChildAnnounced, Failed, MalformedMessage, Order, Planned, Ready
from support import own_descriptors


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """A peer that writes what it likes."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(other)
    yield one, channel
    one.close()
    channel.close()


@pytest.fixture(autouse=True)
def _no_leak() -> Iterator[None]:
    before = own_descriptors()
    yield
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def descriptor() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(writer)
    yield reader
    os.close(reader)


def send(sock: socket.socket, data: bytes, descriptors: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sock.sendmsg([data], rights)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 1, INLINE_LIMIT - 100, INLINE_LIMIT, 1_000_000, 20_000_000])
def test_messages_of_any_size_arrive(pair: tuple[Channel, Channel], size: int) -> None:
    one, other = pair
    one.send(Failed("x" * size))
    received = other.receive()
    assert received is not None
    assert received == (Failed("x" * size), (), None)


@pytest.mark.parametrize("context", [{"small": 1}, {"large": "x" * 1_000_000}], ids=["small", "large"])
def test_descriptors_arrive_in_order(pair: tuple[Channel, Channel], context: messages.Json) -> None:
    one, other = pair
    files = [memfd.write(str(n), str(n).encode()) for n in range(3)]
    order = Order("web/0", 1, context, 100, "title", listeners=("a", "b"))
    one.send(order, files)
    received = other.receive_order()
    assert received is not None
    message, descriptors = received
    assert message == order
    assert [memfd.read(each) for each in descriptors] == [b"0", b"1", b"2"]
    assert not any(os.get_inheritable(each) for each in descriptors)
    for each in [*files, *descriptors]:
        os.close(each)


def test_the_sender_is_told_when_asked_for(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    one.send_hello()
    child = os.fork()
    if child == 0:
        one.send_hello()
        os._exit(0)
    os.waitpid(child, 0)
    # Only now: what was sent before is verified as well.
    other.verify_sender(True)
    senders = [other.receive(), other.receive()]
    assert [each.pid for each in senders if each] == [os.getpid(), child]


def test_end_of_file_is_none(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    one.send(Ready())
    one.close_sending()
    assert other.receive() is not None
    assert other.receive() is None
    other.send(Ready())
    assert one.receive() is not None


def test_peers_last_packet_is_read_despite_unread_data(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    other.send(Ready())
    one.send(Failed("last words"))
    one.close()
    received = other.receive()
    assert received is not None
    assert received.message == Failed("last words")
    assert other.receive() is None


def test_a_call_that_must_not_wait_does_not(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    with pytest.raises(BlockingIOError):
        other.receive(wait=False)
    with pytest.raises(BlockingIOError):
        fill(one)


def fill(channel: Channel) -> None:
    for _ in range(100_000):
        channel.send(Failed("x" * 10_000), wait=False)


def test_a_peer_that_has_gone_cannot_be_told(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    other.close()
    assert not one.try_send(Ready())
    with pytest.raises(BrokenPipeError):
        one.send(Ready())


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"=",
        b"=[]",
        b"={}",
        b'={"message":"Ready","more":1}',
        b'={"message":"Launched"}',
        b'={"message":["Ready"]}',
        b'={"message":"Fork"}',
        b'={"message":"Fork","count":true}',
        b'={"message":"Fork","count":1.5}',
        b'={"message":"Failed","text":"\xff"}',
        b"=" + b"[" * 10_000,
        b"@",
        b"@and more",
        b"=" + b'"' + b"x" * 2 * INLINE_LIMIT + b'"',
    ],
)
@pytest.mark.parametrize("with_descriptors", [False, True], ids=["bare", "descriptors"])
def test_what_is_not_one_message_is_refused(
    raw: tuple[socket.socket, Channel], descriptor: int, data: bytes, with_descriptors: bool
) -> None:
    peer, channel = raw
    before = open_descriptors()
    send(peer, data, [descriptor] * 3 if with_descriptors else [])
    with pytest.raises(MalformedMessage):
        channel.receive()
    assert open_descriptors() == before


@pytest.mark.parametrize("count", [1, 253])
def test_descriptors_that_do_not_belong_to_a_message_are_refused(
    raw: tuple[socket.socket, Channel], descriptor: int, count: int
) -> None:
    peer, channel = raw
    before = open_descriptors()
    send(peer, b"=" + messages.encode(Ready()), [descriptor] * count)
    with pytest.raises(MalformedMessage):
        channel.receive()
    assert open_descriptors() == before


def test_a_message_without_its_descriptor_is_refused(raw: tuple[socket.socket, Channel]) -> None:
    peer, channel = raw
    send(peer, b"=" + messages.encode(ChildAnnounced()), [])
    with pytest.raises(MalformedMessage):
        channel.receive()


def test_an_empty_packet_with_descriptors_is_refused(raw: tuple[socket.socket, Channel], descriptor: int) -> None:
    peer, channel = raw
    send(peer, b"", [descriptor])
    with pytest.raises(MalformedMessage):
        channel.receive()


def _pipe() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def _unsealed() -> int:
    descriptor = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.write(descriptor, messages.encode(Ready()))
    return descriptor


def _huge() -> int:
    descriptor = os.memfd_create("huge", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, memfd.LIMIT + 1)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _file() -> int:
    return os.open("/etc/passwd", os.O_RDONLY)


@pytest.mark.parametrize("make", [_pipe, _unsealed, _huge, _file])
def test_only_a_sealed_memfd_is_read(raw: tuple[socket.socket, Channel], make: object) -> None:
    assert callable(make)
    peer, channel = raw
    offered = make()
    send(peer, b"@", [offered])
    os.close(offered)
    with pytest.raises(MalformedMessage):
        channel.receive()


def test_descriptors_without_room_are_lost_and_reported(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    reader, writer = os.pipe()
    one.send(ChildAnnounced(), [reader])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(reader, writer) + 1, limits[1]))
    fillers = []
    try:
        try:
            while True:
                fillers.append(os.dup(0))
        except OSError:
            pass
        with pytest.raises(DescriptorsLost):
            other.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in [*fillers, reader, writer]:
            os.close(each)


@pytest.mark.parametrize("make", [_file, lambda: socket.socket().detach()], ids=["file", "tcp"])
def test_only_a_seqpacket_socket_becomes_a_channel(make: object) -> None:
    assert callable(make)
    with pytest.raises(MalformedMessage):
        Channel.from_descriptor(make())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values, st.lists(st.text()))
def test_plain_data_comes_back_as_it_was(plan: messages.Json, warnings: list[str]) -> None:
    message = Planned(plan, tuple(warnings))
    assert messages.decode(messages.encode(message)) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        messages.decode(data)


@given(st.sampled_from(["Order", "Planned", "ForksEnded", "MoldLaunch", "Failed"]), json_values)
def test_fields_of_any_json_are_a_message_or_malformed(name: str, value: messages.Json) -> None:
    cls = getattr(messages, name)
    fields = dict.fromkeys(cls.__dataclass_fields__, value)
    try:
        message = messages.decode(json.dumps({"message": name, **fields}).encode())
    except MalformedMessage:
        return
    assert messages.decode(messages.encode(message)) == message
