"""What an option's value may be: read from text (command line, environment) or from a TOML file, and refused in words.

No msgspec here: the command line starts an interpreter of its own before the master's and the mold's, and stays light.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class OptionType(Protocol):
    """One type of value. Both methods raise ValueError, with what was expected, for what is no value of it."""

    @property
    def metavar(self) -> str:
        """What stands for a value in `--help`."""

    def parse(self, text: str) -> Any:
        """Return the value that text on a command line or in a variable means."""

    def check(self, value: Any) -> Any:
        """Return the value that a file's value means: a string, a number, a boolean, or a list."""


@dataclass(frozen=True, slots=True)
class Text:
    """Any text but the empty one; `what` says in a refusal what is expected, where `fits` looks at it more closely."""

    metavar: str = "TEXT"
    what: str = "some text"
    fits: Callable[[str], bool] = bool

    def parse(self, text: str) -> str:
        """Return the text itself."""
        if not text or "\0" in text or not self.fits(text):
            raise ValueError(f"{text!r} is not {self.what}")
        return text

    def check(self, value: Any) -> str:
        """Return the text itself."""
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not {self.what}")
        return self.parse(value)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a function makes of text; it raises ValueError."""

    metavar: str
    parse: Callable[[str], str]

    def check(self, value: Any) -> str:
        """Return what the function makes of a file's value."""
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not text")
        return self.parse(value)


@dataclass(frozen=True, slots=True)
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
            raise ValueError(f"{value!r} is none of {', '.join(self.names)}" + nearest(str(value), self.names))
        return str(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    metavar: str = ""

    def parse(self, text: str) -> bool:
        """Return what a variable says; a command line says it by the flag's name."""
        value = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in value:
            raise ValueError(f"{text!r} is neither true nor false")
        return value[text.lower()]

    def check(self, value: Any) -> bool:
        """Return the boolean itself."""
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
        return value


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` on, or the `word` that stands for one."""

    least: int = 0
    word: str = ""
    metavar: str = "N"

    def parse(self, text: str) -> int | str:
        """Return the number, or the word."""
        return self.check(int(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else text)

    def check(self, value: Any) -> int | str:
        """Return the number, or the word."""
        if self.word and value == self.word:
            return self.word
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value < 2**31:
            what = f"a whole number, {self.least} or more"
            raise ValueError(f"{value!r} is not {what}" + (f", or {self.word!r}" if self.word else ""))
        return value


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit, such as 90s or 512MB. A bare number is of the unit that counts 1, as is the value."""

    metavar: str
    what: str
    units: tuple[tuple[str, float], ...]
    whole: bool = False

    def parse(self, text: str) -> float | int:
        """Return the quantity in the unit that counts 1."""
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)", text)
        factor = match and dict(self.units).get(match[2].lower() or self.units[0][0])
        if not match or not factor:
            raise ValueError(f"{text!r} is not {self.what}")
        value = float(match[1]) * factor
        return int(value) if self.whole else value

    def check(self, value: Any) -> float | int:
        """Return the quantity; a file may give the number alone."""
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
            raise ValueError(f"{value!r} is not {self.what}")
        return int(value) if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class Several:
    """A list; in a variable with commas between, on a command line by repeating the flag."""

    item: OptionType
    """What each one is."""

    @property
    def metavar(self) -> str:
        """That of one of them."""
        return self.item.metavar

    def parse(self, text: str) -> list[Any]:
        """Return the values of a variable."""
        return self.check([part.strip() for part in text.split(",")])

    def check(self, value: Any) -> list[Any]:
        """Return the values; a file may give one alone."""
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError("the list is empty")
        return [self.item.check(each) for each in values]


def nearest(given: str, known: object) -> str:
    """Return what to add to a refusal: the known name that may have been meant, if there is one."""
    import difflib

    near = difflib.get_close_matches(given, list(known), 1)  # type: ignore[call-overload]
    return f": did you mean {near[0]}?" if near else ""


SECONDS = Quantity(
    "SECONDS", "a time such as 30, 1.5, 500ms or 2m", (("s", 1), ("ms", 0.001), ("m", 60), ("h", 3600), ("d", 86400))
)
# As systemd, Docker and the kernel count memory.
BYTES = Quantity(
    "SIZE",
    "a size such as 512MB or 1.5GB",
    tuple(
        (f"{letter}{end}", 1024**power) for power, letter in enumerate(["", "k", "m", "g"]) for end in ("b", "", "ib")
    ),
    whole=True,
)
