"""The programs in docs/testing.md, run as they stand there; those that send load in `make proof` only."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from textwrap import indent

from support import PROOF, Start

TEXT = (Path(__file__).parent.parent.parent / "docs" / "testing.md").read_text()

SHOP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
"""


def test_programs_of_the_page_run(start: Start) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if PROOF or not re.search(r"\.load\(|assert_no_growth", block)]
    (start.directory / "shop.py").write_text(SHOP)
    for number, block in enumerate(blocks):
        block = block if "def test_" in block else f"def test_block():\n{indent(block, '    ')}"
        (start.directory / f"test_block_{number}.py").write_text(block)
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    running = start.command(
        *(sys.executable, "-m", "pytest", "-p", "prefork.testing.plugin", "-p", "no:cacheprovider"), env=environment
    )
    for _ in blocks:  # Each has its time.
        running.expect(r"^test_block_\d+\.py .*%\]$")
    assert running.wait() == 0, "\n".join(running.out)
    tests = sum(max(1, block.count("def test_")) for block in blocks)
    assert f"{tests} passed" in running.out[-1]


def test_every_public_name_is_on_the_page() -> None:
    from prefork.testing import Server, __all__, simulated

    verbs = [name for name in vars(Server) if not name.startswith("_")]
    missing = [name for name in [*__all__, *verbs, *simulated.__all__] if name not in TEXT]
    assert not missing
