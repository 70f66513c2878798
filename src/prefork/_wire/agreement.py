"""What a master and its molds agree on, as one number: a mold may be of another version of prefork.

A mold is started with the interpreter and the packages of the release that is in place then, its master with those of
an earlier one. The number is made of the records that pass between them, so that it changes with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from .._options.records import DaemonOptions, KindOptions
from .._records.members import fields, is_record
from . import messages, plan_data, scoreboard
from .metrics import arena


def agreement() -> str:
    """Return the number, as text."""
    return f"{fingerprint(' '.join(_shapes()).encode()):016x}"


def fingerprint(data: bytes) -> int:
    """Return 64 bits that stand for some bytes (FNV-1a): hashlib would cost a master megabytes."""
    number = 0xCBF29CE484222325
    for byte in data:
        number = (number ^ byte) * 0x100000001B3 % 2**64
    return number


def _shapes() -> Iterator[str]:
    yield f"scoreboard {scoreboard.VERSION}, metrics {arena.VERSION}"
    records = [each for each in vars(plan_data).values() if getattr(each, "__module__", "") == plan_data.__name__]
    for cls in (*get_args(messages.Message), messages.MoldLaunch, *records, DaemonOptions, KindOptions):
        if is_record(cls):
            yield f"{cls.__name__}({', '.join(f'{each.name}: {each.type}' for each in fields(cls))})"
