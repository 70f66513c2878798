"""Channels: what is said arrives whole, with its descriptors and its sender, or not at all."""

from __future__ import annotations

import array
import json
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork._errors import UsageError
from prefork._linux import memfd
from prefork._linux.channel import INLINE_LIMIT, Channel, DescriptorsLost, Received
from prefork._master.channels import rights
from prefork._master.channels.end import MasterEnd
from prefork._wire import messages, plan_memory
from prefork._wire.messages import Failed, Fork, MalformedMessage, Order, Planned, Ready
from support import children, own_descriptors

Pair = tuple[MasterEnd, Channel]


@pytest.fixture(params=["refused", "looked for"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that refuses descriptors for a socket, and one that is too old for it."""
    if request.param == "looked for":
        monkeypatch.setattr(rights, "_PASSRIGHTS", 9999)  # No kernel has it.
    return str(request.param)


@pytest.fixture
def pair(kernel: str) -> Iterator[Pair]:
    """The master's end, and that of a process."""
    one, other = MasterEnd.made()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def raw(kernel: str) -> Iterator[tuple[socket.socket, MasterEnd]]:
    """A peer that writes what it likes."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end = MasterEnd(other)
    if kernel == "refused" and not end._refused:
        pytest.skip("this kernel cannot refuse descriptors (SO_PASSRIGHTS, Linux 6.16)")
    yield one, end
    one.close()
    end.close()


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
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sock.sendmsg([data], control)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def heard(end: MasterEnd) -> messages.Message:
    told = end.hear()
    assert told is not None
    return told.message


@pytest.mark.parametrize("size", [0, 1, INLINE_LIMIT - 100, INLINE_LIMIT, 1_000_000, 20_000_000])
def test_masters_messages_of_any_size_arrive(pair: Pair, size: int) -> None:
    one, other = pair
    one.send(Failed("x" * size))
    assert other.receive() == Received(Failed("x" * size), ())


@pytest.mark.parametrize("letter", ["x", "é", "\x1b", "\n", "\U0001f980"])
@pytest.mark.parametrize("size", [100, INLINE_LIMIT - 100, INLINE_LIMIT + 1, 5_000_000])
def test_report_to_the_master_fits_a_packet_and_keeps_its_end(pair: Pair, size: int, letter: str) -> None:
    one, other = pair
    other.send(Failed(letter * size + "the error"))
    message = heard(one)
    assert isinstance(message, Failed)
    assert message.text.endswith("the error")
    assert len(message.text) >= min(size, INLINE_LIMIT // 16)


def test_what_is_one_line_is_cut_and_printable(pair: Pair) -> None:
    one, other = pair
    texts = ["\rMAINPID=1\nWATCHDOG=trigger", "\x1b]0;title\x07", "\u202edrowssap", "\x9b31m", "x" * 10_000, "\ud800"]
    for text in texts:
        other.send(messages.ReplacementRequested(text))
        message = heard(one)
        assert isinstance(message, messages.ReplacementRequested)
        assert message.reason.isprintable()
        assert len(message.reason) < 600
    other.send(Planned(1, tuple(texts * 100), ()))
    planned = heard(one)
    assert isinstance(planned, Planned)
    assert len(planned.warnings) == 20
    assert all(each.isprintable() and len(each) < 600 for each in planned.warnings)


def test_report_keeps_lines_but_no_escape_sequences(pair: Pair) -> None:
    one, other = pair
    other.send(Failed("Traceback:\n\tone\r\x1b[2Ktwo\x85three"))
    assert heard(one) == Failed("Traceback:\n\tone??[2Ktwo?three")


def lingering() -> tuple[int, socket.socket]:
    """A descriptor that takes a minute to close, and what keeps it so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender = socket.create_connection(server.getsockname())
        reader, _ = server.accept()
    sender.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sender.send(b"x" * 65536)
    sender.setblocking(True)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    return sender.detach(), reader


def reap(pids: set[int]) -> None:
    """Reap the processes that have closed a descriptor: not any child, since the tests of this process have others."""
    for pid in pids:
        os.waitpid(pid, 0)


@pytest.mark.parametrize("packet", [b"", b"=", b"@", b'={"message":"Ready"}'])
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("verified", [False, True])
def test_slow_descriptor_costs_the_master_nothing(
    raw: tuple[socket.socket, MasterEnd], packet: bytes, before: int, verified: bool
) -> None:
    peer, end = raw
    end.verify_sender(verified)
    before_it = set(children(os.getpid(), ended=True))
    slow, reader = lingering()
    began = time.monotonic()
    for _ in range(before):
        send(peer, b'={"message":"Busy"}', [])
    try:
        send(peer, packet, [slow])
    except PermissionError:
        assert end._refused
        reader.close()  # A reset: nothing is left that the close below would wait for.
    os.close(slow)
    for _ in range(before):
        assert heard(end) == messages.Busy()
    if not end._refused:
        with pytest.raises(MalformedMessage):
            end.hear()
    end.close()
    assert time.monotonic() - began < 5
    reader.close()
    reap(set(children(os.getpid(), ended=True)) - before_it)


@pytest.mark.parametrize("before", [0, 1, 5])
def test_channel_with_an_unread_slow_descriptor_closes_at_once(
    raw: tuple[socket.socket, MasterEnd], before: int
) -> None:
    peer, end = raw
    if end._refused:
        pytest.skip("here the kernel refuses it")
    before_it = set(children(os.getpid(), ended=True))
    slow, reader = lingering()
    for _ in range(before):
        send(peer, b"", [])
    send(peer, b"", [slow])
    os.close(slow)
    began = time.monotonic()
    end.close()
    peer.close()
    assert time.monotonic() - began < 5
    reader.close()
    reap(set(children(os.getpid(), ended=True)) - before_it)


@pytest.mark.parametrize("context", [{"small": 1}, {"large": "x" * 1_000_000}], ids=["small", "large"])
def test_descriptors_arrive_in_order(pair: Pair, context: messages.Json) -> None:
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


def test_the_sender_is_told_when_asked_for(pair: Pair) -> None:
    one, other = pair
    one.verify_sender(True)
    other.send_hello()
    child = os.fork()
    if child == 0:
        other.send_hello()
        os._exit(0)
    os.waitpid(child, 0)
    other.send(Ready())  # The kernel adds the sender where the sender does not.
    told = [one.hear(), one.hear(), one.hear()]
    assert [each.pid for each in told if each] == [os.getpid(), child, os.getpid()]


def test_end_of_file_is_none(pair: Pair) -> None:
    one, other = pair
    one.send(Ready())
    one.close_sending()
    assert other.receive() is not None
    assert other.receive() is None
    other.send(Ready())
    assert one.hear() is not None
    other.close()
    assert one.hear() is None


def test_peers_last_packet_is_read_despite_unread_data(pair: Pair) -> None:
    one, other = pair
    one.send(Ready())
    other.send(Failed("last words"))
    other.close()
    assert heard(one) == Failed("last words")
    assert one.hear() is None


def test_a_call_that_must_not_wait_does_not(pair: Pair) -> None:
    one, other = pair
    with pytest.raises(BlockingIOError):
        other.receive(wait=False)
    with pytest.raises(BlockingIOError):
        one.hear(wait=False)
    for end in pair:
        with pytest.raises(BlockingIOError):
            fill(end)


def fill(channel: Channel) -> None:
    for _ in range(100_000):
        channel.send(Failed("x" * 10_000), wait=False)


def test_a_peer_that_has_gone_cannot_be_told(pair: Pair) -> None:
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
def test_what_is_not_one_message_is_refused(raw: tuple[socket.socket, MasterEnd], data: bytes) -> None:
    peer, end = raw
    send(peer, data, [])
    with pytest.raises(MalformedMessage):
        end.hear()


@pytest.mark.parametrize("count", [1, 253])
@pytest.mark.parametrize("verified", [False, True])
def test_descriptors_never_reach_the_master(
    raw: tuple[socket.socket, MasterEnd], descriptor: int, count: int, verified: bool
) -> None:
    peer, end = raw
    end.verify_sender(verified)
    before = open_descriptors()
    if end._refused:
        with pytest.raises(PermissionError):
            send(peer, b"=" + messages.encode(Ready()), [descriptor] * count)
    else:
        send(peer, b"=" + messages.encode(Ready()), [descriptor] * count)
        with pytest.raises(MalformedMessage):
            end.hear()
    assert open_descriptors() == before


@pytest.mark.parametrize("size", [INLINE_LIMIT + 2, 100_000])
def test_longer_packet_is_refused(raw: tuple[socket.socket, MasterEnd], size: int) -> None:
    peer, end = raw
    send(peer, b"=" + b" " * (size - 1), [])
    with pytest.raises(MalformedMessage):
        end.hear()


def test_order_without_room_for_its_descriptors_is_reported(pair: Pair) -> None:
    one, other = pair
    reader, writer = os.pipe()
    one.send(Order("web/0", 1, None, 1, ""), [reader])
    with full_of_descriptors(), pytest.raises(DescriptorsLost):
        other.receive_order()
    os.close(reader)
    os.close(writer)


def test_mold_without_room_for_all_channels_gets_the_first(pair: Pair) -> None:
    one, other = pair
    reader, writer = os.pipe()
    one.send(Fork(3), [reader] * 3)
    with full_of_descriptors(fillers=1) as descriptors:
        os.close(descriptors.pop())
        received = other.receive()
        assert received is not None
        assert (received.message, len(received.descriptors)) == (Fork(3), 1)
        os.close(received.descriptors[0])
    os.close(reader)
    os.close(writer)


@contextmanager
def full_of_descriptors(fillers: int = 0) -> Iterator[list[int]]:
    """No descriptor is left but those that are closed of the given ones, which are `fillers` at least."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, own_descriptors()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + fillers, limits[1]))
    opened: list[int] = []
    try:
        with suppress(OSError):
            while True:
                opened.append(os.dup(0))
        yield opened
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in opened:
            os.close(each)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(st.text()))
def test_plain_data_comes_back_as_it_was(warnings: list[str]) -> None:
    message = Planned(5, tuple(warnings), ())
    assert messages.decode(messages.encode(message)) == message


@given(json_values)
def test_plan_comes_back_as_it_was(plan: messages.Json) -> None:
    memory = plan_memory.create()
    try:
        assert plan_memory.read(memory, plan_memory.write(memory, plan)) == plan
    finally:
        os.close(memory)


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        ("x" * plan_memory.LIMIT, "bytes"),
        ([0] * (plan_memory.MOST_VALUES + 1), "values"),
        ([[]] * (plan_memory.MOST_VALUES // 2 + 1), "values"),
        ([{}] * (plan_memory.MOST_VALUES // 2 + 1), "values"),
    ],
    ids=["text", "numbers", "lists", "objects"],
)
def test_plan_that_is_too_large_is_refused_on_both_sides(plan: messages.Json, problem: str) -> None:
    memory = plan_memory.create()
    try:
        with pytest.raises(UsageError, match=f"the plan is too large: .* {problem}"):
            plan_memory.write(memory, plan)
        data = json.dumps(plan, separators=(",", ":")).encode()[: plan_memory.LIMIT]
        os.pwrite(memory, data, 0)
        with pytest.raises(MalformedMessage):
            plan_memory.read(memory, len(data) + (problem == "bytes"))
    finally:
        os.close(memory)


def test_commas_in_a_context_are_no_values() -> None:
    memory = plan_memory.create()
    plan: messages.Json = {"entries": [{"context": "[" + "1," * 1_000_000 + '"\\"]'}]}
    try:
        assert plan_memory.read(memory, plan_memory.write(memory, plan)) == plan
    finally:
        os.close(memory)


@pytest.mark.parametrize(
    "data",
    [
        b'"' * 8_000_000,
        b'"\\\\"' * 2_000_000,
        b'"' + b'\\"' * 3_000_000,
        b"[" * 8_000_000,
        b"\\" * 8_000_000,
        b'"' + b"\\" * 8_000_000,
        b"1" * 8_000_000,
    ],
    ids=[
        "quotes",
        "backslashes in quotes",
        "escaped quotes",
        "brackets",
        "backslashes",
        "backslashes in a string",
        "digits",
    ],
)
def test_garbage_in_the_memory_of_a_plan_is_refused_soon(data: bytes) -> None:
    memory = plan_memory.create()
    os.pwrite(memory, data[: plan_memory.LIMIT], 0)
    began = time.process_time()
    try:
        with pytest.raises(MalformedMessage):
            plan_memory.read(memory, plan_memory.LIMIT)
        assert time.process_time() - began < 0.5
        for size in (-1, plan_memory.LIMIT + 1, 2**70):
            with pytest.raises(MalformedMessage):
                plan_memory.read(memory, size)
    finally:
        os.close(memory)


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
