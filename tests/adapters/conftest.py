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
