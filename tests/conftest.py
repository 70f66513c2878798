"""Fixtures for tests with real processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import Spied, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start programs; when the test is over they are ended, and whatever they leave behind fails the test."""
    starter = Start(tmp_path)
    yield starter
    starter.close()


@pytest.fixture
def open_start() -> Iterator[Start]:
    """Start programs where other users may come: pytest closes its own directories whenever somebody starts it."""
    with tempfile.TemporaryDirectory(prefix="test-of-prefork-") as directory:
        os.chmod(directory, 0o755)
        starter = Start(Path(directory))
        yield starter
        starter.close()


@pytest.fixture
def spied(tmp_path: Path) -> Spied:
    """Note what programs started in `spied.environment` do to their children."""
    return Spied(tmp_path)
