"""The options of `prefork run`, given by code as keywords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._errors import UsageError, did_you_mean
from ..._options.table import BY_NAME
from .foreign import advice


def checked(call: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as a command line would give them; None is as if an option were not given.

    Raises UsageError, which names the `call`, for an unknown option and a value that is not allowed.
    """
    given = {}
    for name, value in options.items():
        option = BY_NAME.get(name)
        if option is None:
            hint = advice(name) or did_you_mean(name, BY_NAME)
            raise UsageError(f"{call}: there is no option {name}{hint}")
        try:
            if value is not None:
                given[name] = option.type.check(value)
        except ValueError as error:
            hint = ": name it, as in 'shop:app', since workers import it themselves" if name == "target" else ""
            raise UsageError(f"{call}: {name}: {error}{hint}") from None
    return given
