"""One option of `prefork run`: its name, type, default and help."""

from __future__ import annotations

from typing import Any

from .._records.record import record
from .records import Scope
from .types import OptionType

PREFIX = "PREFORK_"


@record
class Option:
    """One option. Its name is the key in the file; the variable and the flag are made of it."""

    name: str
    type: OptionType
    default: Any
    help: str
    scope: Scope = "daemon"
    short: str = ""
    in_file: bool = True

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """Its name on a command line."""
        return "--" + self.name.replace("_", "-")
