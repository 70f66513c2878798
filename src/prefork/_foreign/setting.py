"""One setting of another tool, and what takes its place here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]
"""Values of our options by name, as in prefork.toml. A name that begins with a dot is a part of an address."""
Conversion = Callable[[Any], Values]
"""From a setting's value to ours: a text from a command line or an ini, True for a flag, any object from Python. Raises
ValueError where there is no equal; the row says why, or the error."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of a tool's table.

    `names` has the key in the tool's file, its flags, and a word in capitals where a flag takes a value: `accesslog
    --access-logfile FILE`. A setting without a key or without a flag has the other one alone.
    """

    names: str
    ours: str = ""
    """The option of ours, as in prefork.toml, or a command (`prefork check`); empty where there is none."""
    text: str = ""
    """What to know besides, or the reason why there is no equal."""
    convert: Conversion | None = None
    """Without it, the value is that of ours."""
    note: str = ""
    """How the meaning of ours differs."""

    @property
    def keys(self) -> list[str]:
        """Its names in the tool's file."""
        return [word for word in self.names.split() if not word.startswith("-") and not word.isupper()]

    @property
    def flags(self) -> list[str]:
        """Its names on the tool's command line."""
        return [word for word in self.names.split() if word.startswith("-")]

    @property
    def takes_value(self) -> bool:
        """Whether a flag is followed by a value."""
        return any(word.isupper() and not word.startswith("-") for word in self.names.split())


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, its settings, and what holds without any."""

    name: str
    settings: tuple[Setting, ...]
    differences: tuple[str, ...]
    """What behaves differently here, in sentences, for those who move."""
    defaults: Values = field(default_factory=dict)
    """The tool's own defaults, in our options, where ours would change what an application sees."""
    default_name: str = "app"
    """The name in a module that the tool serves where the target has none."""
    prefix: str = ""
    """Of its own variables, such as `UVICORN_`, each named after a flag."""
    variables: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Those, without the prefix, that have another name, or several values: the flag, and what separates these."""
    implied: tuple[str, ...] = ()
    """Words of a command line that hold unless it has others: a default without an equal."""
