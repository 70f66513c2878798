"""Children of a root master that run what the application's user can write: none keeps root's rights or session."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

import prefork
from security.hostile import needs_root
from support import Start
from system.daemons import HEAD, RUN, SERVE
from system.other_user import NOBODY, anywhere, as_nobody

__all__ = ["anywhere"]  # A fixture.

MASTER = Path(prefork.__file__).parent / "_master"

BECOMES_THE_USER = {
    "births/start.py": "the application",
    "listeners/names.py": "the resolver of the system, for names of the application's",
    "outside/start.py": "the reader of a worker's memory",
    "upgrade/child.py": "the site packages, to find the next program",
}
STAYS_THE_MASTERS = {
    "adoption/collect.py": "prefork's own code, which looks at descriptors that orphans send",
    "channels/rights.py": "nothing: it waits, and exits",
}


def test_each_child_of_the_master_is_listed_with_its_rights() -> None:
    """A new one belongs in one of the two tables: does it run code, or read data, of the application's user?"""
    texts = {str(path.relative_to(MASTER)): path.read_text() for path in MASTER.rglob("*.py")}
    forking = {name for name, text in texts.items() if "forked(" in text} - {"forks/child.py"}
    assert {name for name in forking if "become_user(" in texts[name]} == BECOMES_THE_USER.keys()
    assert {name for name in forking if "become_user(" not in texts[name]} == STAYS_THE_MASTERS.keys()


PROGRAM = """
daemon = prefork.Daemon("user", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]
"""

NOTE = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall({"x86_64": 250}.get(os.uname().machine, 219), 0, -3, 0)  # KEYCTL_GET_KEYRING_ID of the session's
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
streams = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
found = {"uid": status["Uid"].split(), "privileges": int(status["NoNewPrivs"]), "ring": ring, "streams": streams}
found["environ"] = sorted(os.environ)
with open("NOTES", "a") as file:
    print(json.dumps(found | {"argv": sys.orig_argv}), file=file)
"""


ANSWERS = {
    "['[' * 60000]": "has no program to go on with: [[[[",  # Nested too deeply for the parser.
    "[json.dumps({'ok': True, 'program': '/\\0/prefork/_master/resume.py', 'libraries': '/usr'})]": "none of prefork",
    "[json.dumps({'ok': True, 'program': 7, 'libraries': ['/usr']})]": "none of prefork",
    "[json.dumps({'ok': True, 'program': 'THEIRS/prefork/_master/resume.py', 'libraries': '/usr'})]": "root runs",
    "['x' * 200000, chr(27) + ']0;mine']": "to go on with: ?]0;mine",
}
"""What the packages print before the search does -> what the command says."""


@needs_root
@pytest.mark.timeout(120)
def test_upgrade_finds_the_program_with_the_users_rights(anywhere: Start) -> None:
    """A folder of PYTHONPATH that is not there at the start is the user's to make later."""
    import ctypes

    served = as_nobody(anywhere, HEAD + PROGRAM + SERVE + RUN)
    theirs = anywhere.directory / "theirs"
    served.path, served.more = (str(theirs / "later"),), {"SSH_AUTH_SOCK": "/run/agent", "SUDO_COMMAND": "sh"}
    served.begin()
    served.ready("web/0")
    code = theirs / "later" / "sitecustomize.py"
    (theirs / "prefork" / "_master").mkdir(parents=True)
    (theirs / "prefork" / "_master" / "resume.py").write_text("")
    code.parent.mkdir()
    client = prefork.connect(served.environment["RUNTIME_DIRECTORY"])
    for answer, outcome in ANSWERS.items():
        lines = answer.replace("THEIRS", str(theirs))
        code.write_text(
            f"import json, os, sys\nif '-c' in sys.orig_argv: print(*{lines}, sep='\\n', flush=True); os._exit(0)"
        )
        with pytest.raises(prefork.CommandFailedError, match=re.escape(outcome)):
            client.upgrade()
    code.write_text(NOTE.replace("NOTES", str(theirs / "notes")))
    assert "upgrade: done" in client.upgrade()
    noted = [json.loads(line) for line in (theirs / "notes").read_text().splitlines()]
    [found] = [each for each in noted if "-c" in each["argv"]]
    assert found["uid"] == [str(NOBODY)] * 4
    assert found["privileges"] == 1
    ours = ctypes.CDLL(None).syscall({"x86_64": 250}.get(os.uname().machine, 219), 0, -3, 0)
    assert found["ring"] != ours or ours < 0
    assert found["streams"][0] == "/dev/null"
    assert not {"SSH_AUTH_SOCK", "SUDO_COMMAND"} & {*found["environ"]}
    assert served.stop() == 0
