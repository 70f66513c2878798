"""Which frames are prefork's own."""

from __future__ import annotations

import os

from prefork._wire import frames
from prefork._worker import newborn
from prefork.adapters import lifespan


def test_beneath_exists() -> None:
    assert all(os.path.exists(path) for path in frames.BENEATH)


def test_worker_start_is_beneath_and_adapter_is_not() -> None:
    assert frames.is_beneath(newborn.__file__)
    assert not frames.is_beneath(lifespan.__file__)
    assert frames.is_own(lifespan.__file__)
    assert not frames.is_own(__file__)
