"""The functions that a hooks program gives: each that a call would not run is refused by its name and the reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from prefork import (
    PreforkResource,
    PreforkSettings,
    UsageError,
    WorkerContext,
    default_settings,
    fork_worker_process,
    relaunch_settings,
    update_worker_set,
)
from prefork._hooks.functions import check_function, checked

HOOKS = [name for name in PreforkSettings.__dataclass_fields__ if name != "drain_timeout"]
GENERATING = {"update_server", "on_child_finished"}


async def coroutine(*_: Any) -> None: ...


async def asynchronous_generator(*_: Any) -> AsyncIterator[int]:
    yield 1


def generator(*_: Any) -> Iterator[int]:
    yield 1


def plain(*_: Any) -> None: ...


class Object:
    def __call__(self, *_: Any) -> None: ...

    async def method(self, *_: Any) -> None: ...


class AsynchronousObject:
    async def __call__(self, *_: Any) -> None: ...


class Derived(Object):
    pass


COROUTINE = "to run coroutines, give a function that calls asyncio.run()"
REFUSED: dict[str, tuple[Any, str]] = {
    "coroutine": (coroutine, COROUTINE),
    "partial of one": (partial(partial(coroutine), 1), COROUTINE),
    "method": (Object().method, COROUTINE),
    "object": (AsynchronousObject(), COROUTINE),
    "asynchronous generator": (asynchronous_generator, COROUTINE),
    "class of objects that can be called": (Object, "call it, and give what that returns"),
    "class derived from one": (Derived, "call it, and give what that returns"),
    "nothing": (None, "give a function"),
    "result of a call": ([1, 2], "give a function"),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(("given", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_hook_that_a_call_would_not_run_is_refused_by_name(hook: str, given: Any, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked(PreforkSettings(**dict[str, Any]({hook: given})))
    assert str(refused.value) == f"hook {hook} is {given!r}, not a plain function: {why}"


@pytest.mark.parametrize("hook", HOOKS)
def test_generator_is_refused_where_no_pids_are_wanted(hook: str) -> None:
    if hook in GENERATING:
        checked(PreforkSettings(**dict[str, Any]({hook: generator})))
        return
    with pytest.raises(UsageError, match=rf"^hook {hook} is .*: a call runs nothing of a generator"):
        checked(PreforkSettings(**dict[str, Any]({hook: generator})))


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    "given", [plain, partial(plain), Object(), Derived()], ids=["function", "partial", "object", "derived"]
)
def test_whatever_runs_when_it_is_called_is_a_hook(hook: str, given: Callable[..., Any]) -> None:
    checked(PreforkSettings(**dict[str, Any]({hook: given})))


def test_settings_of_the_library_are_allowed() -> None:
    checked(default_settings())


@pytest.mark.parametrize(
    ("hook", "given", "arguments"),
    [
        ("on_start", lambda: None, "config"),
        ("on_terminate", lambda config: None, "config, pids"),
        ("update_config", lambda resource: None, ""),
        ("cleanup_child", lambda config, pid, more: None, "config, pid"),
        ("update_server", partial(lambda config, fork: (), 1, 2), "config"),
    ],
)
def test_hook_that_takes_other_arguments_is_refused(hook: str, given: Any, arguments: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked(PreforkSettings(**dict[str, Any]({hook: given})))
    assert str(refused.value).startswith(f"hook {hook} is called with ({arguments}), but {given!r} takes (")


class Configuration:
    """A class that makes configurations, which is what `update_config` is for."""


def test_class_of_configurations_is_a_hook_for_them_alone() -> None:
    assert isinstance(checked(PreforkSettings(update_config=Configuration)).update_config(), Configuration)
    with pytest.raises(UsageError, match=r"^hook on_start is .*: call it, and give what that returns$"):
        checked(PreforkSettings(on_start=Configuration))  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [coroutine, generator, asynchronous_generator])
def test_result_that_has_not_run_is_no_configuration(function: Callable[..., Any]) -> None:
    settings = checked(PreforkSettings(update_config=lambda: function()))
    with pytest.raises(UsageError, match=r" is no configuration: its code has not run; return its result$"):
        settings.update_config()


def test_configurations_pass() -> None:
    assert checked(PreforkSettings(update_config=lambda: {"a": 1})).update_config() == {"a": 1}


@dataclass(frozen=True)
class Greeter(WorkerContext):
    id: int


def wanted(resource: PreforkResource[Greeter]) -> str:
    update_worker_set(resource, [Greeter(0)])
    return "configuration"


@pytest.mark.parametrize("given", [*(given for given, _ in REFUSED.values()), generator], ids=[*REFUSED, "generator"])
def test_relaunching_refuses_functions_by_their_names(given: Any) -> None:
    with pytest.raises(UsageError) as refused:
        relaunch_settings(PreforkResource[Greeter](), given, fork_worker_process).update_config()
    assert str(refused.value).startswith(f"update is {given!r}, not a plain function: ")
    with pytest.raises(UsageError) as refused:
        relaunch_settings(PreforkResource[Greeter](), wanted, given).update_config()
    assert str(refused.value).startswith(f"fork is {given!r}, not a plain function: ")


@pytest.mark.parametrize(
    ("update", "fork", "complaint"),
    [
        (lambda: None, fork_worker_process, r"update is called with \(resource\), but .* takes \(\)"),
        (wanted, lambda context, args: 1, r"fork is called with \(context\), but .* takes \(context, args\)"),
    ],
)
def test_relaunching_refuses_functions_with_other_arguments(update: Any, fork: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=f"^{complaint}$"):
        relaunch_settings(PreforkResource[Greeter](), update, fork).update_config()


def test_relaunching_takes_functions() -> None:
    resource = PreforkResource[Greeter]()
    assert relaunch_settings(resource, wanted, fork_worker_process).update_config() == "configuration"
    assert resource.workers == {Greeter(0)}


@pytest.mark.parametrize(
    ("resource", "workers", "complaint"),
    [
        (PreforkResource, [Greeter(0)], "the resource is <class .*>, not a PreforkResource"),
        (None, [Greeter(0)], "the resource is None, not a PreforkResource"),
        (PreforkResource(), [Greeter], r"update_worker_set\(\) takes worker contexts, not <class "),
        (PreforkResource(), Greeter(0), r"update_worker_set\(\) takes a list of worker contexts, not Greeter\(id=0\)"),
        (PreforkResource(), None, r"update_worker_set\(\) takes a list of worker contexts, not None"),
        (PreforkResource(), ["0"], r"update_worker_set\(\) takes worker contexts, not '0'"),
    ],
)
def test_workers_that_are_none_are_refused(resource: Any, workers: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=f"^{complaint}"):
        update_worker_set(resource, workers)


def test_generator_is_no_action() -> None:
    with pytest.raises(UsageError, match=r"^the workers' action is .*: a call runs nothing of a generator"):
        check_function("the workers' action", generator, ("context",))
