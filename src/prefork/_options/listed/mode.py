"""The type of a umask, which is written in octal."""

from __future__ import annotations

import re
from typing import Any

from ..._records.record import record
from ..types import shown


@record
class Mode:
    """Permission bits of files: octal as text, a number in code."""

    metavar: str = "MODE"

    def parse(self, text: str) -> int:
        """Return the number."""
        if not re.fullmatch(r"(0o)?[0-7]{1,4}", text):
            raise ValueError(f"{shown(text)} is not an octal number such as 027")
        return self.check(int(text, 8))

    def check(self, value: Any) -> int:
        """Return the number; a file may have octal text."""
        if isinstance(value, str):
            return self.parse(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0o777:
            raise ValueError(f"{shown(value)} is not a mode from 0 to 0o777")
        return value
