"""The units of docs/systemd/ are well formed; `make proof` runs them under a real systemd."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prefork.cli import _units
from support import PATIENCE, Start
from system.runs import PREFORK, write

UNITS = Path(__file__).parents[2] / "docs" / "systemd"
DOCUMENT = (UNITS.parent / "systemd.md").read_text()
HERE = Path(sys.executable).parent
FINDER = """
import sys
from importlib.machinery import ModuleSpec

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return ModuleSpec(name, None) if name == "shop" else None

sys.meta_path.append(Finder)
"""


def test_the_units_are_what_systemd_understands(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/srv/shop/venv/bin", str(HERE)).replace("User=shop\n", "")
        (tmp_path / unit.name).write_text(text)
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([analyze, "verify", *files], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stderr.splitlines() if "shop" in line]
    assert ours == []


def test_the_service_is_rated_as_documented() -> None:
    """Other versions of systemd ask for other things; none of them may find much more."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    command = [analyze, "security", "--offline=true", "--no-pager", "--threshold=25", str(UNITS / "shop.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze rates no files")
    assert done.returncode == 0, done.stdout
    found = re.search(r"shop\.service: ([\d.]+) (\w+)", done.stdout)
    assert found is not None, done.stdout
    version = subprocess.run([analyze, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if f"(systemd {version};" in DOCUMENT:
        assert f"rates it {found[1]} {found[2]}" in DOCUMENT


def test_what_the_service_forbids_is_explained() -> None:
    text = (UNITS / "shop.service").read_text()
    assert "\nNoNewPrivileges=yes\nCapabilityBoundingSet=\n" in text
    table = DOCUMENT.partition("## What the service may do")[2].partition("\n## ")[0]
    for name in re.findall(r"`(\w+=)", table.partition("Not there")[0]):
        assert f"\n{name}" in text or name in ("ReadWritePaths=", "StateDirectory="), name
    for name in re.findall(r"`(\w+=)", table.partition("Not there")[2].partition("If the master")[0]):
        assert f"\n{name}" not in text, name


def test_documented_units_are_those_of_the_command() -> None:
    program = ["/srv/shop/venv/bin/prefork"]
    made = _units.service(_units.Service("shop", "shop", "/srv/shop", program, ["shop:app", "--name", "shop"]))
    assert (UNITS / "shop.service").read_text().partition("\n\n")[2] == made
    documented = (UNITS / "shop.socket").read_text().partition("\n\n")[2]
    assert documented == _units.socket("shop", ["8000"], 2048)


def test_command_writes_units_that_systemd_understands(start: Start) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    write(start, "units/.keep", "")
    write(start, "shop.py", "")
    options = ["--socket", "--user", "daemon", "-b", ":80", "-b", "unix:/run/a b.sock", "--root-path", '/a $b "%c']
    written = start.command(PREFORK, "systemd", "shop:app", *options, "--drain-timeout", "90", "--write", "units")
    assert (written.wait(), written.out) == (0, [])
    units = start.directory / "units"
    assert written.err == [f"{units}/shop.service, {units}/shop.socket: written; next: systemctl daemon-reload"]
    service, socket = (units / "shop.service").read_text(), (units / "shop.socket").read_text()
    assert "\nUser=daemon\n" in service
    assert "\nTimeoutStopSec=120\n" in service
    assert f"\nWorkingDirectory={start.directory}\n" in service
    assert f'\nExecStart={PREFORK} run shop:app --name shop --root-path "/a $$b \\"%%c" --drain-timeout 90\n' in service
    assert "\nListenStream=80\nListenStream=/run/a b.sock\n" in socket
    command = [analyze, "verify", str(units / "shop.service"), str(units / "shop.socket")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "shop" in line]) == (0, [])
    again = start.command(PREFORK, "systemd", "shop:app", "--user", "nobody", "--write", "units")
    assert again.wait() == 2
    assert again.err == [f"prefork: {units}/shop.service exists and is left as it is: remove it first"]


def test_json_has_the_units_by_their_names(start: Start) -> None:
    running = start.command(PREFORK, "systemd", "shop:app", "--socket", "--user", "nobody", "--json")
    assert (running.wait(), running.err) == (0, [])
    made = json.loads(running.out[0])
    assert sorted(made["units"]) == ["shop.service", "shop.socket"]
    assert made["units"]["shop.service"].startswith("[Unit]\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "there is no TARGET, and no prefork.toml names one: name it, as in shop:app"),
        (["shop:app", "--socket", "-b", "fd://3"], "--bind fd://3: a socket unit cannot open it"),
        (["--config", "of.toml"], "of.toml: user: the service itself is that user: remove it there, and give --user"),
    ],
)
def test_units_that_cannot_be_made_are_refused(start: Start, arguments: list[str], why: str) -> None:
    write(start, "of.toml", 'target = "shop:app"\nuser = "nobody"\n')
    running = start.command(PREFORK, "systemd", *arguments)
    assert (running.wait(), running.out, running.err) == (2, [], [f"prefork: {why}"])


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["shop:app"], "no module shop is in {}, and none is installed: the service would not start"),
        (
            ["shop:app", "--chdir", "site"],
            "no module shop is in {}/site, and none is installed: the service would not start",
        ),
        (["shop:app", "--python-path", "lib"], None),
        (["site.api:app"], None),
        (["prefork.samples.hello"], None),
    ],
)
def test_target_that_is_not_there_is_remarked(start: Start, arguments: list[str], missing: str | None) -> None:
    write(start, "site/api.py", "raise AssertionError('it is imported')")
    write(start, "lib/shop.py", "")
    running = start.command(PREFORK, "systemd", "--user", "nobody", *arguments)
    expected = [] if missing is None else [f"prefork: {missing.format(start.directory)}"]
    assert (running.wait(), running.err) == (0, expected)
    assert running.out[0].startswith("# /etc/systemd/system/")


def test_module_of_a_finder_is_there(start: Start) -> None:
    """As packages are that are installed to be edited."""
    write(start, "site/sitecustomize.py", FINDER)
    options = ["--user", "nobody", "shop:app"]
    running = start.command(PREFORK, "systemd", *options, env={"PYTHONPATH": str(start.directory / "site")})
    assert (running.wait(), running.err) == (0, [])


def test_unit_follows_low_port_directory_and_pid_file(start: Start) -> None:
    write(start, "site/shop.py", "")
    options = ["--user", "nobody", "-b", "127.0.0.1:80", "--chdir", "site", "--pid-file", "shop.pid"]
    running = start.command(PREFORK, "systemd", "shop:app", *options)
    assert (running.wait(), running.err) == (0, [])
    assert running.out[0] == "# /etc/systemd/system/shop.service"
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE" in running.out
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in running.out
    assert f"WorkingDirectory={start.directory}/site" in running.out
    assert f"ReadWritePaths={start.directory}/site" in running.out
    assert "--chdir" not in "".join(running.out)


@pytest.mark.parametrize(("directory", "homes"), [("/srv/shop", "yes"), ("/home/ann/shop", "read-only")])
def test_service_in_a_home_may_read_it(directory: str, homes: str) -> None:
    made = _units.service(_units.Service("shop", "ann", directory, ["/usr/bin/prefork"], ["shop:app"]))
    assert f"\nProtectHome={homes}\n" in made
