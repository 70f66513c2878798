"""Logging as a file configures it: dictConfig in JSON or TOML, or an ini file of fileConfig (logging.config)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..._errors import UsageError
from ..._linux import regular_file


def configure(path: str, shown: str) -> None:
    """Configure logging in this process. Raises UsageError with the file and the reason."""
    kind = os.path.splitext(path)[1].lower()
    if kind not in _READERS:
        raise UsageError(f"--log-config {shown}: give a file .json or .toml (dictConfig), .ini or .conf (fileConfig)")
    try:
        _READERS[kind](regular_file.read(path).decode())
    except Exception as error:
        cause = f": {error.__cause__}" if error.__cause__ is not None else ""
        reason = getattr(error, "strerror", None) or f"{error}{cause}" or type(error).__name__
        raise UsageError(f"--log-config {shown}: {' '.join(reason.split())}") from None


def _json(text: str) -> None:
    import json

    _dictionary(json.loads(text))


def _toml(text: str) -> None:
    import tomllib

    _dictionary(tomllib.loads(text))


def _dictionary(data: Any) -> None:
    import logging.config

    if not isinstance(data, dict):
        raise ValueError("it has no table at its top")
    logging.config.dictConfig(data)


def _ini(text: str) -> None:
    import io
    import logging.config

    logging.config.fileConfig(io.StringIO(text), disable_existing_loggers=False)


_READERS: dict[str, Callable[[str], None]] = {".json": _json, ".toml": _toml, ".ini": _ini, ".conf": _ini}
