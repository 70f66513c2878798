"""How the processes of one daemon are started: the launch of its master, in the master's own terms."""

from __future__ import annotations

from collections.abc import Sequence

from ..._options.records import DaemonOptions
from ..._records.members import field, replace
from ..._records.record import record
from ..._report.banner import Welcome
from ..._wire import messages
from ..._wire.launch import MasterLaunch
from ..listeners.inherited import Given
from ..watching.contents import Files
from .start import Interpreter, described


@record
class Launching:
    """How molds and workers are started. `fixed` names the options that the operator gave.

    `addresses` are those that the operator gave, which are opened with the master's own rights. `welcome` is logged
    when all workers are ready. A change of a Python file in a folder of `sources` means a reload.
    `files` are those that are read for the workers.
    """

    interpreter: Interpreter
    mold: messages.MoldLaunch
    options: DaemonOptions
    fixed: frozenset[str] = frozenset()
    given: Given = field(default_factory=Given)
    addresses: frozenset[str] = frozenset()
    welcome: Welcome | None = None
    sources: tuple[str, ...] = ()
    files: Files = field(default_factory=lambda: Files({}))

    @property
    def by_command(self) -> bool:
        """Whether `prefork run` started the daemon, and not its own program."""
        return isinstance(self.mold.arguments, dict) and "run" in self.mold.arguments

    def of_mold(self, generation: int, warm: bool) -> messages.MoldLaunch:
        """Return the launch of the mold of a generation; `warm`: it may warm the application up."""
        title, spare = (f"prefork: {what} g{generation} {self.mold.title}" for what in ("mold", "spare"))
        return replace(self.mold, generation=generation, title=title, spare_title=spare, warm=warm)

    def of_worker(self, key: str, generation: int) -> messages.MoldLaunch:
        """Return the launch of a worker with an interpreter of its own."""
        title = self.title(key, generation).replace("{}", "starting")
        return replace(self.mold, generation=generation, title=title, alone=True)

    def of_watcher(self, program: str, arguments: messages.Json) -> messages.MoldLaunch:
        """Return the launch of a watcher of files, by the name of its program in `_mold.watching.watch_files`."""
        title = f"prefork: watcher {self.mold.title}"
        application = f"prefork._mold.watching.watch_files:{program}"
        return replace(self.mold, application=application, arguments=arguments, title=title, alone=True)

    def interpreter_with(self, options: Sequence[str]) -> Interpreter:
        """Return the interpreter with more options."""
        return replace(self.interpreter, command=(*self.interpreter.command, *options))

    def title(self, key: str, generation: int) -> str:
        """Return the title of a worker's process, with `{}` for its state."""
        return f"prefork: {key} g{generation} {{}} ({self.mold.title})"


def launching_from(launch: MasterLaunch, open_files: int) -> Launching:
    """Return the launching of a daemon. `open_files` is the soft limit that the master was started with."""
    interpreter, mold = described(launch)
    greeting = launch.greeting
    return Launching(
        replace(interpreter, open_files=open_files),
        mold,
        launch.options,
        frozenset(launch.fixed),
        Given(launch.sockets.numbers, launch.sockets.names),
        frozenset(launch.addresses),
        None if greeting is None else Welcome(launch.name, greeting.style, greeting.started),
        launch.sources,
        Files.of(launch),
    )
