"""However a program was started, its workers are the same program; where there is none to start again, it says so."""

from __future__ import annotations

import stat
import sys
import zipapp

import pytest

from support import Running, Start, command_line

PROGRAM = """
import os, signal, sys
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

    def interpreter_options(self):
        return ["-X", "faulthandler", "-W", "error"]

def work(worker):
    import faulthandler
    mode = sys.flags.dev_mode, sys.flags.optimize, faulthandler.is_enabled(), sys.warnoptions[-1:]
    print("worker", os.getpid(), sys.argv[1:], os.getcwd(), *mode)
    signal.pause()

def start(_config):
    os.chdir("/")
    return [prefork.fork_worker_process(Waiting(0), ["id=0"])]

def main():
    if sys.argv[1:] != ["id=0"]:
        sys.argv[:] = ["changed", "by", "the", "program"]
    prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)

if __name__ == "__main__":
    main()
"""

DAEMON = """
import prefork

daemon = prefork.Daemon("some")

@daemon.plan
def plan():
    return []

def main():
    daemon.run()

if __name__ == "__main__":
    main()
"""

both_interfaces = pytest.mark.parametrize("source", [PROGRAM, DAEMON], ids=["hooks", "daemon"])


def works(program: Running, dev: bool = False, optimize: int = 0) -> None:
    found = program.expect(r"^worker (\d+) \['id=0'\] (.*)$")
    (pid,) = program.children()
    assert pid == int(found[1])
    assert found[2].endswith(f" {dev} {optimize} True ['error']")
    assert command_line(pid)[-1] == "id=0"
    assert program.stop() == 0
    assert program.err == []


def test_script_by_a_relative_path(start: Start) -> None:
    works(start.program(PROGRAM))


def test_module(start: Start) -> None:
    package = start.directory / "pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PROGRAM)
    works(start.command(sys.executable, "-m", "pkg"))
    works(start.command(sys.executable, "-Ompkg"), optimize=1)


def test_code_on_the_command_line(start: Start) -> None:
    works(start.command(sys.executable, "-X", "dev", "-c", PROGRAM), dev=True)
    works(start.command(sys.executable, "-OOc", PROGRAM), optimize=2)


def test_zipapp(start: Start) -> None:
    source = start.directory / "source"
    source.mkdir()
    (source / "__main__.py").write_text(PROGRAM)
    zipapp.create_archive(source, start.directory / "app.pyz", sys.executable)
    works(start.command(sys.executable, "app.pyz"))
    works(start.command("./app.pyz"))


def test_directory(start: Start) -> None:
    (start.directory / "source").mkdir()
    (start.directory / "source" / "__main__.py").write_text(PROGRAM)
    works(start.command(sys.executable, "source"))


def test_executable_script(start: Start) -> None:
    script = start.directory / "script"
    script.write_text(f"#!{sys.executable} -O\n{PROGRAM}")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    works(start.command("./script"), optimize=1)


def test_script_found_in_the_path(start: Start) -> None:
    script = start.directory / "some-daemon"
    script.write_text(f"#!{sys.executable}\n{PROGRAM}")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    works(start.command("sh", "-c", 'PATH=.:"$PATH" exec some-daemon'))


def test_standard_input_is_refused(start: Start) -> None:
    script = start.directory / "program.py"
    script.write_text(PROGRAM)
    with script.open() as stream:
        program = start.command(sys.executable, "-X", "dev", stdin=stream)
        refused(program, "no program to execute again for workers: it came from standard input or a prompt")


@both_interfaces
def test_a_script_that_is_an_open_file_is_standard_input(start: Start, source: str) -> None:
    (start.directory / "program.py").write_text(source)
    with (start.directory / "program.py").open() as stream:
        program = start.command(sys.executable, "/dev/fd/0", stdin=stream)
        refused(program, "no program to execute again for workers: it came from standard input or a prompt")


HOST = """
import sys
__spec__ = None  # As a notebook's kernel leaves it.
sys.argv[:] = ["program.py"]
exec(compile(open("program.py").read(), "program.py", "exec"))
"""

RUNNERS = [("-m", "cProfile", "program.py"), ("-m", "IPython"), ("./ipython3",)]
"""One of each family; `linux/test_program.py` has them all."""


@both_interfaces
@pytest.mark.parametrize("command", RUNNERS, ids=" ".join)
def test_a_program_that_another_one_runs_is_refused(start: Start, source: str, command: tuple[str, ...]) -> None:
    (start.directory / "program.py").write_text(source)
    for host in "IPython", "coverage", "debugpy", "ipykernel":
        (start.directory / host).mkdir()
        for name in "__init__.py", "__main__.py", "kernelapp.py":
            (start.directory / host / name).write_text(HOST if name != "__init__.py" else "")
    for host in "ipykernel_launcher.py", "pydevd.py", "ipython3", "coverage-3.11":
        (start.directory / host).write_text(HOST)
    program = start.command(sys.executable, *command)
    program.wait()  # With what status is the runner's business.
    name = command[1] if command[0] == "-m" else command[0].strip("./")
    assert f"running inside {name}: workers would execute {name}, not the program" in "\n".join(program.err)
    assert program.left() == []


@pytest.mark.parametrize("name", ["profile.py", "pdb"])
def test_a_program_is_not_taken_for_a_host_by_its_name(start: Start, name: str) -> None:
    (start.directory / name).write_text(PROGRAM)
    works(start.command(sys.executable, name))


def test_module_in_a_package_is_no_standard_host(start: Start) -> None:
    (start.directory / "profile").mkdir()
    (start.directory / "profile" / "__init__.py").touch()
    (start.directory / "profile" / "daemon.py").write_text(PROGRAM)
    works(start.command(sys.executable, "-m", "profile.daemon"))


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_a_host_of_other_programs_is_refused(start: Start, runner: str) -> None:
    (start.directory / "test_it.py").write_text(
        PROGRAM + "\nimport unittest\nclass Test(unittest.TestCase):\n    def test_it(self):\n        main()\n"
    )
    program = start.command(sys.executable, "-m", runner, "test_it.py", *(["-s"] if runner == "pytest" else []))
    program.wait()
    said = "\n".join(program.out + program.err)
    assert f"running inside {runner}: workers would execute {runner}, not the program" in said
    assert "SystemExit: 2" in said
    assert program.left() == []


def refused(program: Running, why: str) -> None:
    assert program.wait() == 2
    assert [line for line in program.err if why in line]
    assert not any("Traceback" in line for line in program.err)
    assert program.left() == []


def test_a_second_thread_is_refused(start: Start) -> None:
    threaded = "    import threading\n    threading.Thread(target=main).start()\n"
    program = start.program(PROGRAM.removesuffix("    main()\n") + threaded)
    program.wait()
    assert program.err == ["prefork: a master must run in the main thread: only there can Python catch signals"]
    assert program.left() == []
