"""The options that the daemon's code sets: which of them are in force, and which the log names as without effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..._options.records import DaemonOptions, in_force
from ..._records.members import replace

if TYPE_CHECKING:
    from ..._core.plan import Plan
    from .launches import Launching


class CodeOptions:
    """Compares the options of each plan with those that the master was started with."""

    def __init__(self, launching: Launching, say: Callable[[str], None]) -> None:
        self._start = launching.options
        self._fixed = launching.fixed
        self._flags = launching.by_command
        self._distrusted = launching.interpreter.identity is not None
        self._say = say
        self._named: dict[str, object] = {}

    def planned(self, plan: Plan, code: DaemonOptions) -> tuple[Plan, DaemonOptions]:
        """Return the plan with the options in force, and these; log once which ones of the code have no effect."""
        options, rest = in_force(self._start, self._fixed, code)
        if self._distrusted and options.control_group != self._start.control_group:
            # A mold without the master's rights must not choose who controls the daemon.
            options = replace(options, control_group=self._start.control_group)
            rest.append("control_group")
        named = {name: getattr(code, name) for name in rest}
        if named and named != self._named:
            self._say(self._notice(rest))
        self._named = named
        return replace(plan, options=options), options

    def _notice(self, names: Sequence[str]) -> str:
        what = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        take = "takes effect" if len(names) == 1 else "take effect"
        if not self._flags:
            return f"prefork: the daemon's code changes {what}, which {take} at the next start"
        flags = ", ".join("--" + name.replace("_", "-") for name in names)
        return f"prefork: the daemon's code sets {what}, which {take} only when set by the operator: use {flags}"
