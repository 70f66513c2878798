"""The Dockerfile of a new project, carried out: no root, a read-only file system, process 1, its health check."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from proof import image
from support import PATIENCE, PROOF, Running, Start, children
from system.daemons import free_port, root
from system.runs import PREFORK

PROJECT = Path(__file__).parent.parent.parent
PYTHON = os.path.realpath(sys.executable)  # The environment of the tests may have no pip.

pytestmark = [
    pytest.mark.skipif(not PROOF, reason="it installs packages from the index: make proof"),
    pytest.mark.skipif(not root(), reason="only root can mount"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([PYTHON, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, PROJECT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.timeout(600)
@pytest.mark.parametrize("template", ["fastapi", "flask"])
def test_image_of_a_project_serves(start: Start, wheel: Path, template: str) -> None:
    assert start.command(PREFORK, "new", "shop", "--template", template, cwd=start.directory).wait() == 0
    port = free_port()
    given = {"PREFORK_BIND": f"127.0.0.1:{port}", "PREFORK_WORKERS": "2"}
    text, built = image.script(start.directory / "shop" / "Dockerfile", wheel, given)
    assert built.uid != "0"
    contained = start.command("unshare", "--mount", "sh", "-c", text, cwd=start.directory)
    built_at_last(contained)
    contained.expect(" prefork: shop: ready ", "err")
    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE).json()["hello"] == "world"
    (first,) = children(contained.pid)
    status = Path(f"/proc/{first}/status").read_text()
    assert status.split("NSpid:")[1].splitlines()[0].split()[-1] == "1"
    assert f"Uid:\t{built.uid}" in status
    assert "CapEff:\t0000000000000000" in status
    assert executed(first, built, *built.health) == 0
    assert executed(first, built, "touch", "/srv/shop/file") != 0, "it is read-only"
    assert executed(first, built, "prefork", "reload") == 0
    os.kill(first, signal.SIGTERM)
    assert contained.wait() == 0


def built_at_last(contained: Running) -> None:
    """Wait until the image is built: packages are downloaded, which takes longer than anything else in a test."""
    for _ in range(15):
        try:
            contained.expect("^built$")
            return
        except AssertionError as error:
            if "still running" not in str(error):
                raise
    raise AssertionError("the image was not built in time")


def executed(first: int, built: image.Image, *words: str) -> int:
    """Run a command as `docker exec` does; return its status."""
    enter = ["nsenter", "-t", str(first), "-p", "-m", "-r", f"--setuid={built.uid}", f"--setgid={built.gid}"]
    variables = [f"{name}={value}" for name, value in built.variables.items()]
    inner = ["sh", "-c", f'cd {built.directory}; exec "$@"', "sh", *words]
    return subprocess.run([*enter, "env", "-i", *variables, *inner], timeout=PATIENCE, check=False).returncode
