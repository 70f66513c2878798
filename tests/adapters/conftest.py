"""Daemons that the tests of adapters share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.served import Shared


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Start daemons once for several tests, and end them after the last."""
    daemons = Shared(tmp_path_factory.mktemp("shared"))
    yield daemons
    daemons.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run where the same daemon is what shares it: one process of pytest for each server."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "server" in callspec.params and "shared" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("-".join(callspec.params["server"])))
