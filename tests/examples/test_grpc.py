"""gRPC, which binds for itself: no call fails when all workers are replaced."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from examples.example import EXAMPLES, Example
from support import PATIENCE, PROOF, Start, until

grpc: Any = pytest.importorskip("grpc", reason="there is no wheel of grpcio for this Python")
pytest.importorskip("grpc_tools", reason="there is no wheel of grpcio-tools for this Python")

OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
"""A connection for each channel. There is no policy of retries: what is repeated is what no server has seen."""

PAUSE = 0 if PROOF else 0.02
"""Seconds between two calls of a client."""


@pytest.fixture(scope="module")
def interface() -> tuple[Any, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES / "grpc"))
        found: tuple[Any, Any] = grpc.protos_and_services("greeter.proto")
        return found


@pytest.fixture
def greeter(start: Start) -> Example:
    greeter = Example(start, "grpc", GREETER_PORT="PORT", GREETER_MAX_AGE="1").run("python greeter.py")
    until(lambda: len(greeter.workers("web")) == 4, "four workers")
    return greeter


def channel(greeter: Example) -> Any:
    return grpc.insecure_channel(f"127.0.0.1:{greeter.port}", options=OPTIONS)


def test_it_greets_streams_and_fails_no_call_at_a_reload(greeter: Example, interface: tuple[Any, Any]) -> None:
    protos, services = interface
    seen: set[int] = set()

    def another_one() -> bool:
        with channel(greeter) as made:
            said = services.GreeterStub(made).Hello(protos.Who(name="you"), timeout=PATIENCE, wait_for_ready=True)
        assert said.text == "hello you"
        seen.add(said.pid)
        return len(seen) >= 2

    until(another_one, "two workers answer")
    assert seen <= set(greeter.workers("web").values())
    with channel(greeter) as made:
        streamed = list(services.GreeterStub(made).Count(protos.Who(name="you"), timeout=PATIENCE))
    assert [one.text for one in streamed] == [f"hello you {number}" for number in range(10)]
    assert len({one.pid for one in streamed}) == 1
    reload_fails_no_call(greeter, protos, services)
    assert greeter.stop() == 0
    assert not [line for line in greeter.running.err if "exited" in line or "killed" in line]


def reload_fails_no_call(greeter: Example, protos: Any, services: Any) -> None:
    """Reload while clients call on kept and on new channels."""
    stopping = threading.Event()
    answered: Counter[str] = Counter()
    failed: Counter[str] = Counter()

    def call(kind: str) -> None:
        made = channel(greeter)
        first = True
        while not stopping.is_set():
            if kind == "new":
                made.close()
                made = channel(greeter)
            try:
                services.GreeterStub(made).Hello(protos.Who(name=kind), timeout=PATIENCE, wait_for_ready=first)
                answered[kind] += 1
            except grpc.RpcError as error:
                failed[f"{kind}: {error.code().name} {error.details()}"] += 1
            first = False
            stopping.wait(PAUSE)
        made.close()

    threads = [threading.Thread(target=call, args=(kind,)) for kind in ("new", "kept") * (2 if PROOF else 1)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: min(answered["new"], answered["kept"]) > 20, "they call")
        before = set(greeter.workers("web").values())
        greeter.reload()
        after = answered.copy()
        until(lambda: all(answered[kind] > after[kind] + 20 for kind in ("new", "kept")), "they go on")
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert not failed, f"{failed} of {answered}"
    assert not before & set(greeter.workers("web").values())
