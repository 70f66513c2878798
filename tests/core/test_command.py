"""The command line of CPython, taken apart: by table, and against the interpreter's own account."""

import json
import subprocess
import sys

import pytest

from prefork._linux.started.command import PythonCommand, parse

TABLE = [
    (["script.py", "a", "-b"], PythonCommand((), ("script.py",), ("a", "-b"))),
    (["-m", "pkg", "a"], PythonCommand((), ("-m", "pkg"), ("a",))),
    (["-mpkg", "a"], PythonCommand((), ("-m", "pkg"), ("a",))),
    (["-c", "print()", "-x"], PythonCommand((), ("-c", "print()"), ("-x",))),
    (["-Bc", "print()"], PythonCommand(("-B",), ("-c", "print()"), ())),
    (["-X", "dev", "-c", "print()"], PythonCommand(("-X", "dev"), ("-c", "print()"), ())),
    (["-Xdev", "-O", "script.py"], PythonCommand(("-X", "dev", "-O"), ("script.py",), ())),
    (["-BWignore", "-m", "pkg"], PythonCommand(("-B", "-W", "ignore"), ("-m", "pkg"), ())),
    (["-W", "-m", "script.py"], PythonCommand(("-W", "-m"), ("script.py",), ())),
    (
        ["--check-hash-based-pycs", "never", "script.py"],
        PythonCommand(("--check-hash-based-pycs", "never"), ("script.py",), ()),
    ),
    (["--", "-odd.py", "a"], PythonCommand((), ("--", "-odd.py"), ("a",))),
    (["-"], PythonCommand((), (), ())),
    (["-i"], PythonCommand(("-i",), (), ())),
    ([], PythonCommand((), (), ())),
]


@pytest.mark.parametrize(("arguments", "command"), TABLE)
def test_every_form_of_a_command(arguments: list[str], command: PythonCommand) -> None:
    assert parse(arguments) == command


def test_options_and_arguments_are_put_where_they_belong() -> None:
    command = parse(["-X", "dev", "-m", "pkg", "--port", "1"])
    assert command.again(["-O"], ["id=0"]) == ["-X", "dev", "-O", "-m", "pkg", "id=0"]


SHOW = "import sys, json; print(json.dumps([sys.orig_argv, sys.argv]))"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", SHOW, "a", "-c"],
        ["-Bc", SHOW, "-"],
        ["-Xdev", "-W", "ignore", f"-c{SHOW}", "a"],
        ["-IBXutf8", "-c", SHOW],
    ],
)
def test_the_interpreter_sees_the_same_arguments(arguments: list[str]) -> None:
    def run(words: list[str]) -> tuple[list[str], list[str]]:
        output = subprocess.run([sys.executable, *words], capture_output=True, check=True, timeout=30).stdout
        original, argv = json.loads(output)
        return original, argv

    original, argv = run(arguments)
    command = parse(original[1:])
    assert list(command.arguments) == argv[1:]
    _, again = run(command.again([], ["id=0"]))
    assert again[1:] == ["id=0"]
