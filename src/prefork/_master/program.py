"""The program of a daemon's master: executed in place of the application's, by path, with `-I -S`.

It imports the standard library, its own parts and setproctitle, and stays small.
"""
# ruff: noqa: E402 - The collector is off while modules are imported.

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

gc.disable()  # Until all is imported: collections find nothing there, and take an eighth of the processor time.

if __package__ is None or __package__ == "":  # Run by path: `prefork` is where this file's folder is, without its API.
    # Last: beside it are other packages, and none of them may take the place of a standard module.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from prefork._errors import PreforkError
from prefork._linux import memfd
from prefork._master.adoption.begin import begin
from prefork._master.log.log import LogOptions, log_options
from prefork._master.loop import Master
from prefork._master.parts import Parts, started
from prefork._master.paths.relied_on import checked
from prefork._master.upgrade.upgrade import Upgrade
from prefork._wire.launch import MasterLaunch, decode


def main() -> int:
    """Run the daemon that the descriptor on the command line describes; return the exit status."""
    try:
        descriptor = int(sys.argv[1])
        launch = decode(memfd.read(descriptor))
    except (IndexError, ValueError, OSError):
        print("prefork: this is the master's own program: a daemon's run() or `prefork run` starts it", file=sys.stderr)
        return 2
    os.close(descriptor)
    gc.freeze()  # What is imported lives as long as the master: no collection visits it.
    gc.enable()
    title = f"prefork: master {launch.name}"
    show = titles(launch.libraries)
    show(title)
    manner = log_options(launch)
    try:
        status = _run(launch, manner, lambda words: show(f"{title} [{words}]"))
    except PreforkError as error:
        complain(manner, str(error))
        return error.exit_code
    if status and manner.file is not None:
        complain(manner, f"{launch.name} failed; see {manner.file.path}")
    return status


def complain(manner: LogOptions, text: str) -> None:
    """Say something on standard error, whatever file the log goes to."""
    sys.stderr.write(manner.spoken.message(f"prefork: {text}").decode())


def _run(launch: MasterLaunch, manner: LogOptions, show: Callable[[str], object]) -> int:
    launch = checked(launch)
    with Master(manner.form) as master:
        parts = Parts(master, started(launch, master), manner, show)
        parts.executor.replacing = Upgrade(parts)
        begin(parts)
        return parts.run()


def titles(libraries: str) -> Callable[[str], object]:
    """Return what shows a title. setproctitle is the one library here, and looked for at the one place it is at."""
    sys.path.append(libraries)
    try:
        from prefork._linux.title import set_title
    finally:
        sys.path.remove(libraries)
    return set_title


def _end(status: int) -> NoReturn:
    """End without the interpreter's teardown, which would take 10 ms for a master that has closed what it had."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # There is none, or no process reads it, or it is closed.
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _end(main())
