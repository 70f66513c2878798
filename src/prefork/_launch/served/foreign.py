"""Options of other servers, and what takes their place here: for the command line and for `prefork.run()`."""

from __future__ import annotations


def advice(name: str) -> str:
    """Return what to append to the error about an option of another server; empty for any other name.

    A flag leads to a flag of ours, a key to a key.
    """
    from ..._foreign.every import setting_of  # Here, since only a mistake needs the tables.
    from ..._options.table import BY_NAME

    if (setting := setting_of(name)) is None:
        return ""
    ours = BY_NAME[setting.ours].flag if name.startswith("-") and setting.ours in BY_NAME else setting.ours
    return ": " + "; ".join(filter(None, [f"here it is {ours}" if ours else "", setting.text, setting.note]))
