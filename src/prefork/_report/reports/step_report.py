"""The report of a step that failed in a mold."""

from __future__ import annotations

_STEPS = {
    "load": "importing the application failed",
    "plan": "computing the plan failed",
    "on_reload": "a function of on_reload failed",
}
"""What a mold was doing when it failed, in words; others are named as they are."""

_SHORT = 200
"""Characters of an error that still fit into the first line of a report."""


def failed_step(step: str, text: str) -> str:
    """Return the report of a mold: what failed in the first line, with the error if that is one line, too."""
    if "\n" not in text:
        return text
    first, last = text.partition("\n")[0], text.rstrip().rpartition("\n")[2]
    # A traceback ends with its cause; what prefork itself refuses begins with it.
    refused = first[:1].isalpha() and not first.startswith("Traceback")
    cause = first if refused else last
    error = f": {cause}" if cause[:1].isalpha() and len(cause) <= _SHORT else ""
    rest = text[len(first) + 1 :] if refused and error else text
    return f"{_STEPS.get(step, f'{step} failed')}{error}\n{rest}"
