"""Random and mutated bytes and values for all that a master reads: it raises the one exception of that input.

`make proof` sends a million inputs, `make test` a hundredth; `system/test_control_abuse.py` has those for a running
master. The seed is printed, and TEST_OF_PREFORK_SEED sets it.
"""

from __future__ import annotations

import json
import os
import random
import socket
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from prefork._core import events as ev
from prefork._core.plan import Spec
from prefork._core.supervisor import Supervisor
from prefork._errors import PreforkError
from prefork._linux import memfd
from prefork._linux.channel import Channel
from prefork._master.births.channels import ProcessChannels
from prefork._master.channels.cleaned import cleaned
from prefork._master.channels.end import MasterEnd
from prefork._master.control.requests import MalformedRequest, parse
from prefork._master.listeners.opened import BindOptions, Listeners
from prefork._wire import messages, plan_data
from support import PROOF, chance_seed, own_descriptors, resident

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(10**30), 1e308, float("inf"), float("nan"), 0.5),
    *("", "x", "web", "web/0", "\0", "\ud800", "\x1b[2J", "a" * 300, "é", "٣", "tcp://127.0.0.1:0", "udp://[::1]:0"),
    *("tcp://a..b:0", "unix:///nowhere/a\udcffb", "fd://7", "9" * 30, "nobody"),
    *([], {}, [[]], [1], ["x"], {"x": 1}, [None] * 3),
]

TERMS = {"limits": {"nofile": 1024, "core": [0, -1]}, "nice": 5, "affinity": [0, 1], "oom_score_adj": 500}

SOCKET = {"sharing": "shared", "backlog": 128, "nodelay": True, "defer_accept": 0, "reuseport": True}

PLAN: dict[str, Any] = {
    "options": {"share": "freeze", "spares": 2},
    "about": {"application": "ASGI application", "server": "uvicorn"},
    "watched": "/srv/chat.toml",
    "listeners": {
        "http": {"address": "tcp://127.0.0.1:0", **SOCKET, "mode": None, "owner": "", "group": ""},
        "local": {"address": "unix://@prefork-fuzz", **SOCKET, "mode": 0o660, "owner": "0", "group": "root"},
    },
    "kinds": {
        "web": {"restart": "always", "start_timeout": 5.0, "ready": "explicit", "max_age": 3.0, **TERMS},
        "job": {"restart": "never", "replace": "old-first", "spawn": "exec", "drain_timeout": 1},
    },
    "entries": [
        {
            "key": key,
            "kind": key.partition("/")[0],
            "digest": "abc",
            "context": "{}",
            "launch": {"env": {"A": "b"}, "affinity": [0], "nice": None, "interpreter_options": ["-X", "dev"]},
        }
        for key in ("web/0", "web/1", "job/0")
    ],
    "pools": [{"kind": "web", "keys": ["web/0", "web/1"], "size": 1, "min": 1, "default": True}],
}

MESSAGES: list[messages.Message] = [
    messages.MoldLaunch("m:f", {"a": [1]}, 3, "title", "spare", "freeze", ("a", "b"), False),
    messages.ComputePlan(),
    messages.Fork(3),
    messages.Planned(2, ("a warning",), ("a thread",)),
    messages.StepFailed("load", "Traceback"),
    messages.Warming(5.0),
    messages.ForkFailed("EAGAIN"),
    messages.ForksEnded(3, ""),
    messages.Hello(),
    messages.Ready(),
    messages.ReplacementRequested("100 requests"),
    messages.Drained(),
    messages.Failed("Traceback"),
    messages.DrainBacklogs(("http",)),
    messages.Edited(1.5),
    messages.Busy(),
    messages.StacksWritten((4711, 4712)),
]

REQUESTS: list[dict[str, Any]] = [
    {"protocol": 1, "request": "status"},
    {"protocol": 1, "request": "events", "follow": True},
    {"protocol": 1, "request": "explain", "slot": "web/0"},
    {"protocol": 1, "request": "scale", "pool": "web", "size": 5, "events": True},
    {"protocol": 1, "request": "restart", "slot": "web/0"},
    {"protocol": 1, "request": "reload"},
    {"protocol": 1, "request": "stop"},
]


pytestmark = pytest.mark.timeout(3600)

SHARE = 100 if PROOF else 1
"""Hundredths of the million inputs."""


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_honest_message_is_left_as_it_is(message: messages.Message) -> None:
    assert cleaned(messages.decode(messages.encode(message))) == message


@pytest.fixture
def chance() -> random.Random:
    return random.Random(chance_seed())


@pytest.fixture(autouse=True)
def _nothing_is_lost() -> Iterator[None]:
    before = sorted(own_descriptors())
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes changed in some places, cut, doubled, or replaced by random ones."""
    match chance.randrange(5):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            return data[: chance.randrange(len(data) + 1)]
        case 2:
            return data + data[chance.randrange(len(data)) :]
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        changed[chance.randrange(len(changed))] = chance.choice(b'{}[]",:0-1e\\u\n\x00\x80\xff')
    return bytes(changed)


def altered(text: str, chance: random.Random) -> Any:
    """Return the data of a JSON text with some values replaced, renamed or removed."""
    copy = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        place: Any = copy
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
                place = place[key]
                continue
            match chance.randrange(6):
                case 0:
                    del place[key]
                case 1 if isinstance(place, dict):
                    place[chance.choice(("x", "", "\ud800", "nice", "limits"))] = place.pop(key)
                case _:
                    place[key] = deepcopy(chance.choice(VALUES))
            break
    return copy


def mostly(count: int, refused: type[Exception], act: Callable[[int], object]) -> int:
    """Call `act` `count` times; it may raise only `refused`. Return how often it did not raise."""
    passed = silent = 0
    for number in range(count):
        try:
            act(number)
            passed += 1
        except refused as error:
            silent += not str(error)
    assert not silent, "refused without a reason"
    return passed


def test_messages(chance: random.Random) -> None:
    good = [messages.encode(message) for message in MESSAGES]
    plain = [data.decode() for data in good]

    def act(number: int) -> None:
        if number % 2:
            messages.decode(spoilt(chance.choice(good), chance))
        else:
            messages.decode(json.dumps(altered(chance.choice(plain), chance)).encode())

    assert 0 < mostly(4_500 * SHARE, messages.MalformedMessage, act) < 2_700 * SHARE


def test_requests(chance: random.Random) -> None:
    plain = [json.dumps(request) for request in REQUESTS]
    good = [text.encode() for text in plain]

    def act(number: int) -> None:
        if number % 2:
            parse(spoilt(chance.choice(good), chance))
        else:
            parse(json.dumps(altered(chance.choice(plain), chance)).encode())

    assert 0 < mostly(2_500 * SHARE, MalformedRequest, act) < 2_000 * SHARE


def test_plans(chance: random.Random, tmp_path: Path) -> None:
    """A plan that passes can be decided on, and its listeners opened or refused with a reason."""
    text = json.dumps(PLAN)
    assert plan_data.take_apart(json.loads(text)).plan.refusal() is None

    def act(number: int) -> None:
        received = plan_data.take_apart(json.loads(json.dumps(altered(text, chance))))
        supervisor = Supervisor(Spec())
        supervisor.handle(ev.Started(), 1.0)
        supervisor.handle(ev.MoldPlanned(1, received.plan), 2.0)
        supervisor.handle(ev.ListenersBound(1), 3.0)
        assert "\n" not in supervisor.health().text
        json.dumps(supervisor.snapshot())
        if number % 10 == 0:
            with closing(Listeners(BindOptions())) as listeners, suppress(PreforkError):
                listeners.bind(received.plan.listeners)

    assert 100 * SHARE < mostly(2_000 * SHARE, plan_data.MalformedPlan, act) < 1_900 * SHARE


def test_process_channels(chance: random.Random) -> None:
    """Packets with random bytes and descriptors; descriptors from a disconnected peer are closed."""
    good = [messages.encode(message) for message in MESSAGES]
    plain = [data.decode() for data in good]
    sizes = []
    with closing(ProcessChannels()) as channels:
        for number in range(count := 1_000 * SHARE):
            ours, theirs = MasterEnd.made()
            if number % 2:
                channels.add_mold(1, 999_999, ours)
                channels.compute_plan(1)
                channels.fork_spares(1, 2)
            else:
                channels.add_process(number + 10, ours)
            with closing(theirs):
                for _ in range(chance.randrange(1, 4)):
                    data = messages.encode(chance.choice(MESSAGES))
                    if chance.random() < 0.5:
                        data = spoilt(data, chance)
                    elif chance.random() < 0.5:
                        data = json.dumps(altered(chance.choice(plain), chance)).encode()
                    send(theirs, data, chance)
                channels.read()
            channels.read()
            channels.finish(number + 10)
            channels.finish_mold(1)
            if number in (count // 2, count - 1):
                sizes.append(resident())
    assert sizes[1] - sizes[0] < 1024, "kilobytes"


def send(channel: Channel, data: bytes, chance: random.Random) -> None:
    """Send a packet that breaks the protocol: with wrong descriptors, or in a file that is no sealed memfd."""
    passed = [made(data, chance) for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 30)))]
    head = chance.choice((b"=", b"=", b"=", b"@", b"\2", b""))
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", passed).tobytes())] if passed else []
    try:
        with suppress(BrokenPipeError, BlockingIOError, PermissionError):
            channel._socket.sendmsg([head, data if head != b"@" else b""], control, socket.MSG_DONTWAIT)
    finally:
        for each in passed:
            os.close(each)


def made(data: bytes, chance: random.Random) -> int:
    match chance.randrange(4):
        case 0:
            return memfd.write("prefork-message", data)
        case 1:
            descriptor = os.memfd_create("not-sealed")
            os.write(descriptor, data)
            return descriptor
        case 2:
            return os.open("/dev/zero", os.O_RDONLY)
    one, other = socket.socketpair(socket.AF_UNIX, chance.choice((socket.SOCK_SEQPACKET, socket.SOCK_STREAM)))
    other.close()
    return one.detach()
