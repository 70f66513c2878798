"""Which programs can be run again, by how they were started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import prefork
from prefork import UsageError
from prefork._linux.program import Program
from prefork._linux.started.command import parse


def check(*command: str) -> None:
    Program("python", parse(command), "/", {}).check()


def refusal(*command: str) -> str:
    try:
        check(*command)
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("command", [[], ["-"], ["-X", "dev"], ["/dev/stdin"], ["/dev/fd/0"], ["/proc/self/fd/0"]])
def test_standard_input_is_refused(command: list[str]) -> None:
    with pytest.raises(UsageError, match="it came from standard input or a prompt"):
        check(*command)


HOSTS = [
    *(("-m", module, "program.py") for module in ("cProfile", "profile", "pdb", "trace", "runpy", "pytest")),
    *(("-m", module) for module in ("IPython", "coverage", "debugpy", "ipykernel.kernelapp", "ipykernel_launcher")),
    *((script,) for script in ("coverage-3.11", "debugpy/", "./ipython3", "ipykernel_launcher.py", "pydevd.py")),
]


@pytest.mark.parametrize("command", HOSTS, ids=" ".join)
def test_host_of_another_program_is_refused(command: tuple[str, ...]) -> None:
    name = command[1] if command[0] == "-m" else command[0].strip("./")
    with pytest.raises(UsageError, match=f"running inside {name}: workers would execute {name}, not the program"):
        check(*command)


@pytest.mark.parametrize(
    "command",
    [
        *((name,) for name in ("trace.py", "profile.py", "coverage.py", "debugger", "pdb", "program.py", "directory")),
        *(("-m", name) for name in ("profile.daemon", "shop", "shop.trace")),
        ("-c", "pass"),
        ("-O", "-X", "dev", "-W", "error", "program.py", "-m", "pdb"),
    ],
    ids=" ".join,
)
def test_program_of_ones_own_is_accepted(command: tuple[str, ...]) -> None:
    # The host may be this test's own, where pytest runs it in one process.
    assert refusal(*command).partition(":")[0] in ("", "running inside pytest")


ASKED = """
import os
from prefork._linux.program import THIS_PROGRAM as program
os.environ["LATER"], os.environ["KEPT"] = "new", "changed"
del os.environ["REMOVED"]
for environ in program.environ, program.environ_now():
    print({name: environ.get(name) for name in ("SITE", "GIVEN", "KEPT", "REMOVED", "LATER")})
"""


@pytest.mark.processes
def test_environment_is_the_one_of_exec(tmp_path: Path) -> None:
    """A sitecustomize that takes itself out of the environment is wanted in molds and workers, too."""
    (tmp_path / "sitecustomize.py").write_text("import os\nos.environ['SITE'] = 'set'\ndel os.environ['GIVEN']\n")
    source = str(Path(prefork.__file__).parents[1])
    environ = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{source}", "GIVEN": "1", "KEPT": "2", "REMOVED": "3"}
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [
        "{'SITE': None, 'GIVEN': '1', 'KEPT': '2', 'REMOVED': '3', 'LATER': None}",
        "{'SITE': None, 'GIVEN': '1', 'KEPT': 'changed', 'REMOVED': None, 'LATER': 'new'}",
    ]
