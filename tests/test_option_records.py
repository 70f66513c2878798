"""The records of options: what they accept, what they refuse and how; and the launch of a master that carries one."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from prefork import Daemon, UsageError, WorkerContext
from prefork._launch.keywords import DaemonKeywords
from prefork._linux import terms
from prefork._options.records import DaemonOptions, KindOptions, checked, in_force
from prefork._options.types import LIMITS
from prefork._wire.launch import Greeting, Identity, MasterLaunch, Sockets, decode, encode


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"restarts": "always"}, "there is no option restarts: did you mean restart?"),
        ({"\ud800": 1}, "there is no option '\\ud800'"),
        ({"x" * 10**6: 1}, "there is no option 'xxx"),
        ({"restart": "sometimes"}, "restart: 'sometimes' is not one of always, on-failure, never"),
        ({"restart": ["always"]}, "restart: ['always'] is not one of always, on-failure, never"),
        ({"drain_timeout": -1}, "drain_timeout: -1 is not a time such as 30, 1.5, 500ms or 2m"),
        ({"start_timeout": 0}, "start_timeout: 0 is not a time above 0 such as 30, 1.5, 500ms or 2m"),
        ({"start_timeout": 2**31}, "start_timeout: 2147483648 is not a time"),
        ({"start_timeout": float("nan")}, "start_timeout: nan is not a time"),
        ({"start_timeout": True}, "start_timeout: True is not a time"),
        ({"drain_timeout": None}, "drain_timeout: None is not a time"),
        ({"max_requests": 1.5}, "max_requests: 1.5 is not a whole number, 0 or more"),
        ({"max_memory": -1}, "max_memory: -1 is not a size such as 512MB or 1.5GB"),
        ({"umask": 0o1000}, "umask: 512 is not a mode from 0 to 0o777"),
        ({"affinity": "01"}, "affinity: '01' is not a list of processor numbers"),
        ({"affinity": [True]}, "affinity: True is not a whole number"),
        ({"limits": {"nofile": [1, 2, 3]}}, "limits: nofile is [1, 2, 3]: give a number, or a soft and a hard one"),
        ({"limits": {"nofile": 2**63}}, "limits: nofile is 9223372036854775808: give a number"),
        ({"limits": {"x" * 10**6: 1}}, "limits: there is no limit 'xxx"),
        ({"limits": {1: 1}}, "limits: there is no limit 1"),
        ({"limits": [1]}, 'limits: [1] is not a mapping such as {"nofile": 1024, "core": (0, -1)}'),
    ],
)
def test_options_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked(KindOptions, given)
    assert str(refused.value).startswith(why)
    assert len(str(refused.value)) < 400


def test_options_accepted() -> None:
    limits = {"nofile": 1024, "core": (0, -1), "as": [5, 6]}
    found = checked(KindOptions, {"limits": limits, "affinity": {1}, "nice": -20, "max_age": 3, "umask": None})
    assert found == KindOptions(
        limits={"nofile": (1024, 1024), "core": (0, -1), "as": (5, 6)}, affinity=(1,), nice=-20, max_age=3.0
    )


@pytest.mark.parametrize("record", [KindOptions, DaemonOptions])
def test_record_travels_as_json(record: type[KindOptions | DaemonOptions]) -> None:
    full = (
        checked(KindOptions, {"limits": {"core": (0, 1)}, "affinity": [0], "nice": 3})
        if record is KindOptions
        else record()
    )
    for options in record(), full:
        assert checked(record, json.loads(json.dumps(asdict(options)))) == options  # type: ignore[type-var]


def test_every_option_has_a_help_that_says_one_thing() -> None:
    for each in (*fields(KindOptions), *fields(DaemonOptions)):
        text = each.metadata["help"]
        assert text.endswith("."), each.name
        assert text[0].isupper(), each.name
        assert len(text) <= 100, each.name


def test_keywords_of_a_daemon_are_its_options() -> None:
    assert DaemonKeywords.__annotations__.keys() == DaemonOptions.__annotations__.keys()
    for name, type_ in DaemonKeywords.__annotations__.items():
        assert type_.__forward_arg__ == DaemonOptions.__annotations__[name], name


def test_keywords_of_a_worker_are_typed_by_its_record() -> None:
    """The comments are for the type checker, which refuses one that has nothing to ignore."""

    class Own(WorkerContext):
        pass

    daemon = Daemon("typed")
    with pytest.raises(UsageError, match="nice: 'high' is not a whole number"):
        daemon.worker(Own, nice="high")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no option niceness: did you mean nice"):
        daemon.worker(Own, niceness=3)  # type: ignore[call-arg]
    daemon.worker(Own, nice=3, limits={"nofile": 10}, affinity={0}, hang_policy="report")


def test_limits_are_those_of_the_kernel() -> None:
    assert sorted(LIMITS) == sorted(terms.LIMITS)


@pytest.mark.parametrize(
    ("fixed", "code", "applied", "rest"),
    [
        ((), {}, {}, []),
        ((), {"spares": 3, "import_timeout": 5, "orphan_grace": 1, "control_group": "ops", "share": "none"}, ..., []),
        ((), {"capture": True, "log_level": "debug", "spares": 2}, {"spares": 2}, ["capture", "log_level"]),
        (("spares", "capture"), {"capture": True, "spares": 2}, {}, []),
    ],
)
def test_options_in_force(fixed: tuple[str, ...], code: dict[str, Any], applied: Any, rest: list[str]) -> None:
    found, names = in_force(DaemonOptions(), fixed, checked(DaemonOptions, code))
    assert found == checked(DaemonOptions, code if applied is ... else applied)
    assert names == rest


def test_option_no_longer_set_has_its_default_again() -> None:
    assert in_force(DaemonOptions(spares=5), (), DaemonOptions()) == (DaemonOptions(), [])


LAUNCH = MasterLaunch(
    name="shop",
    target={"run": {"given": {"workers": 2}}},
    command=("/usr/bin/python", "-X", "dev"),
    argv=("prefork", "run"),
    directory=None,
    environ={"PATH": "/bin", "ODD": "\udcff"},
)
FULL = replace(
    LAUNCH,
    options=DaemonOptions(spares=3, log_file="shop.log"),
    fixed=("spares",),
    addresses=("tcp://*:80",),
    sockets=Sockets((3, 4), {"http": (3,)}),
    manager={"NOTIFY_SOCKET": "/run/x"},
    sources=("/srv",),
    identity=Identity(1, 2, (3,)),
    greeting=Greeting("plain", 1.5),
)


@pytest.mark.parametrize("launch", [LAUNCH, FULL])
def test_launch_travels(launch: MasterLaunch) -> None:
    assert decode(encode(launch)) == launch


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": 1}, "name is not"),
        ({"argv": "ab"}, "argv is not"),
        ({"argv": [1]}, "argv is not"),
        ({"sockets": {"numbers": [3]}}, "sockets has other fields: names"),
        ({"identity": {"uid": True, "gid": 1, "groups": []}}, "uid is not"),
        ({"greeting": {"style": "loud", "started": 1.0}}, "style is not"),
        ({"options": {"spares": -1}}, "spares: -1 is not a whole number"),
        ({"unknown": 1}, "the launch has other fields: unknown"),
    ],
)
def test_launch_refused(change: dict[str, Any], why: str) -> None:
    data = json.loads(encode(LAUNCH)) | change
    with pytest.raises(ValueError, match=why):
        decode(json.dumps(data).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff"])
def test_launch_that_is_none(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Of json, or ours.
        decode(data)
