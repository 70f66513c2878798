"""The program of a daemon's master: executed in place of the application's, by path, with `-I -S`.

It imports the standard library, its own parts and setproctitle, and stays small.
"""

import json
import os
import sys
from typing import Any

if __package__ is None or __package__ == "":  # Run by path: `prefork` is where this file's folder is, without its API.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from prefork._core.banner import Welcome
from prefork._core.plan import Spec
from prefork._core.supervisor import Supervisor
from prefork._errors import MisuseError, PreforkError
from prefork._linux import memfd
from prefork._linux.given import Given
from prefork._linux.master import Master
from prefork._linux.notify import Manager, Told
from prefork._linux.runtime import Runtime, directory_for
from prefork._linux.shell import Launching, Shell
from prefork._linux.start_mold import described
from prefork._linux.subreaper import become


def main() -> int:
    """Run the daemon that the descriptor on the command line describes; return the exit status."""
    try:
        descriptor = int(sys.argv[1])
        launch = json.loads(memfd.read(descriptor))
    except (IndexError, ValueError, OSError):
        print("prefork: this is the master's own program: a daemon's run() or `prefork run` starts it", file=sys.stderr)
        return 2
    os.close(descriptor)
    _set_title(launch["libraries"], f"prefork: master {launch['name']}")
    try:
        return _run(launch)
    except PreforkError as error:
        print(f"prefork: {error}", file=sys.stderr)
        return 2 if isinstance(error, MisuseError) else 1


def _run(launch: dict[str, Any]) -> int:
    name, options = str(launch["name"]), launch["options"]
    spec = Spec(
        name=name,
        spares=int(options.get("spares", 1)),
        mold_timeout=float(options.get("import_timeout", 60.0)),
    )
    become()
    runtime = Runtime(directory_for(name, dict(os.environ)))
    with Master() as master:
        shell = Shell(master, _launching(launch), runtime)
        supervisor = Supervisor(spec, int.from_bytes(os.urandom(8)))
        manager = Manager(master, launch["manager"], supervisor)
        try:
            return master.run(Told(supervisor, manager), shell)
        finally:
            shell.close()
            manager.close()
            runtime.close()


def _launching(launch: dict) -> Launching:  # type: ignore[type-arg]
    interpreter, mold = described(launch)
    given = Given(launch["given"]["numbers"], launch["given"]["names"])
    greeting = launch.get("greeting")
    return Launching(
        interpreter,
        mold,
        float(launch["options"].get("orphan_grace", 10.0)),
        given,
        frozenset(launch.get("operator", ())),
        None if greeting is None else Welcome(launch["name"], greeting["style"], greeting["started"]),
        tuple(launch.get("sources", ())),
    )


def _set_title(libraries: str, title: str) -> None:
    """Show what this process is. setproctitle is the one library here, and looked for at the one place it is at."""
    sys.path.append(libraries)
    try:
        from prefork._linux.title import set_title
    finally:
        sys.path.remove(libraries)
    set_title(title)


if __name__ == "__main__":
    sys.exit(main())
