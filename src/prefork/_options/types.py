"""The types of option values, read from text or TOML and checked.

No msgspec here: the command line, the master and the mold all read options, and the first two stay light.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from .._errors import did_you_mean
from .._records.record import record

LIMITS = (
    *("as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "ofile", "rss"),
    *("rtprio", "rttime", "sigpending", "stack"),
)
"""Names of the resource limits of getrlimit(2), as in the module `resource`."""

_LONGEST_SHOWN = 80
"""Characters of a refused value in an error: a mold that is not trusted may send a megabyte."""


class OptionType(Protocol):
    """A type of value. Both methods raise ValueError, which says what is allowed."""

    @property
    def metavar(self) -> str:
        """The name of a value in `--help`."""

    def parse(self, text: str) -> Any:
        """Return the value of a text from a command line or a variable."""

    def check(self, value: Any) -> Any:
        """Return the value as the option holds it: of a value from code, from a file, or from a mold's plan."""


@record
class Text:
    """Text that is not empty. `what` names in an error what is expected; `fits` is a further check."""

    metavar: str = "TEXT"
    what: str = "text"
    fits: Callable[[str], bool] = bool

    def parse(self, text: str) -> str:
        """Return the text itself."""
        return self.check(text)

    def check(self, value: Any) -> str:
        """Return the text itself."""
        if not isinstance(value, str) or not value or "\0" in value or not self.fits(value):
            raise ValueError(f"{shown(value)} is not {self.what}")
        return value


@record
class Choice:
    """One of a few names."""

    names: tuple[str, ...]

    @property
    def metavar(self) -> str:
        """The names themselves."""
        return "[" + "|".join(self.names) + "]"

    def parse(self, text: str) -> str:
        """Return the name."""
        return self.check(text)

    def check(self, value: Any) -> str:
        """Return the name."""
        if value not in self.names:
            near = did_you_mean(value, self.names) if isinstance(value, str) else ""
            raise ValueError(f"{shown(value)} is not one of {', '.join(self.names)}{near}")
        return str(value)


@record
class Flag:
    """True or false."""

    metavar: str = ""

    def parse(self, text: str) -> bool:
        """Return the value of a variable; a command line has two flags instead."""
        for value, words in (True, ("1", "true", "yes", "on")), (False, ("0", "false", "no", "off")):
            if text.lower() in words:
                return value
        raise ValueError(f"{shown(text)} is neither true nor false")

    def check(self, value: Any) -> bool:
        """Return the boolean itself."""
        if not isinstance(value, bool):
            raise ValueError(f"{shown(value)} is neither true nor false")
        return value


@record
class Whole:
    """A whole number from `least` to `most`, or the `word` that stands for one."""

    least: int = 0
    most: int = 2**31 - 1
    word: str = ""
    metavar: str = "N"

    def parse(self, text: str) -> int | str:
        """Return the number, or the word."""
        return self.check(int(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else text)

    def check(self, value: Any) -> int | str:
        """Return the number, or the word."""
        if self.word and value == self.word:
            return self.word
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            most = f"{self.least} or more" if self.most >= 2**31 - 1 else f"{self.least} to {self.most}"
            raise ValueError(
                f"{shown(value)} is not a whole number, {most}" + (f", or {self.word!r}" if self.word else "")
            )
        return value


@record
class Quantity:
    """A number with a unit, such as 90s or 512MB. A bare number is in the first unit, as is the value."""

    metavar: str
    what: str
    units: Mapping[str, float]
    most: int
    whole: bool = False
    least: float = 0

    def parse(self, text: str) -> float | int:
        """Return the quantity in the first unit."""
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)", text)
        factor = match and self.units.get(match[2].lower() or next(iter(self.units)))
        if not match or not factor:
            raise ValueError(f"{shown(text)} is not {self.what}")
        return self.check(float(match[1]) * factor)

    def check(self, value: Any) -> float | int:
        """Return the quantity; the value may be a number alone."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise ValueError(f"{shown(value)} is not {self.what}")
        return int(value) if self.whole else float(value)


@record
class Parsed:
    """A text that a function parses; it raises ValueError."""

    metavar: str
    parse: Callable[[str], str]

    def check(self, value: Any) -> str:
        """Return what the function makes of a file's value."""
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is not text")
        return self.parse(value)


@record
class Several:
    """A list: separated by commas in a variable, by repeating the flag on a command line."""

    item: OptionType
    """The type of each value."""

    @property
    def metavar(self) -> str:
        """The name of one value."""
        return self.item.metavar

    def parse(self, text: str) -> list[Any]:
        """Return the values of a variable."""
        return self.check([part.strip() for part in text.split(",")])

    def check(self, value: Any) -> list[Any]:
        """Return the values; a file may give a single one without a list."""
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError("the list is empty")
        return [self.item.check(each) for each in values]


@record
class ResourceLimits:
    """Limits by name; each is one value, or a soft and a hard one. -1 is infinity."""

    def check(self, value: Any) -> dict[str, tuple[int, int]]:
        """Return the soft and the hard limit of each name."""
        if not isinstance(value, Mapping):
            raise ValueError(f'{shown(value)} is not a mapping such as {{"nofile": 1024, "core": (0, -1)}}')
        return {_limit_name(name): self._pair(name, limit) for name, limit in value.items()}

    def _pair(self, name: str, limit: Any) -> tuple[int, int]:
        soft, hard = limit if isinstance(limit, tuple | list) and len(limit) == 2 else (limit, limit)
        for each in soft, hard:
            if not isinstance(each, int) or isinstance(each, bool) or not -1 <= each < 2**63:
                raise ValueError(f"{name} is {shown(limit)}: give a number, or a soft and a hard one; -1 is infinity")
        if hard != -1 and not -1 < soft <= hard:
            raise ValueError(f"{name} is {shown(limit)}: the soft limit is above the hard one (-1 is infinity)")
        return soft, hard


@record
class Processors:
    """Numbers of processors, at least one."""

    def check(self, value: Any) -> tuple[int, ...]:
        """Return the numbers."""
        if not isinstance(value, Collection) or isinstance(value, str | bytes | Mapping) or not value:
            raise ValueError(f"{shown(value)} is not a list of processor numbers")
        return tuple(int(Whole(0, 2**16).check(each)) for each in value)


def shown(value: object) -> str:
    """Return a refused value for an error: printable, and of limited length."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def _limit_name(name: object) -> str:
    if not isinstance(name, str) or name not in LIMITS:
        raise ValueError(f"there is no limit {shown(name)}" + (did_you_mean(str(name), LIMITS) or _OF_LIMITS))
    return name


_OF_LIMITS = f": the names are {', '.join(LIMITS)}"


def _is_name(text: str) -> bool:
    return not text.startswith(".") and all(letter.isalnum() or letter in "-_." for letter in text)


DAEMON_NAME = Text("NAME", "a daemon's name: letters, digits, '-', '_' and '.'", _is_name)
"""It is part of the path of the runtime directory."""

_TIMES = {"s": 1, "ms": 0.001, "m": 60, "h": 3600, "d": 86400}
SECONDS = Quantity("SECONDS", "a time such as 30, 1.5, 500ms or 2m", _TIMES, 2**31 - 1)
# Where 0 would fail each time, and elsewhere it means that there is no limit.
SOME_SECONDS = Quantity("SECONDS", "a time above 0 such as 30, 1.5, 500ms or 2m", _TIMES, 2**31 - 1, least=0.001)
# As systemd, Docker and the kernel count memory.
BYTES = Quantity(
    "SIZE",
    "a size such as 512MB or 1.5GB",
    {f"{letter}{end}": 1024**power for power, letter in enumerate(["", "k", "m", "g"]) for end in ("b", "", "ib")},
    2**53,
    whole=True,
)
