"""The stack of an import that does not return."""

from __future__ import annotations

_SERVERS = ("werkzeug/serving.py", "uvicorn/server.py", "waitress/server.py", "hypercorn/run.py", "aiohttp/web.py")
_IMPORT = 'importlib/__init__.py"'
_GUARD = 'It runs a server of its own: put that call behind `if __name__ == "__main__":`'


def place(stacks: str) -> list[str]:
    """Return the frames of what faulthandler has written, the innermost first, and a hint where a server runs.

    `stacks` is without the frames beneath the application, and without those of the import system.
    """
    frames = [line.strip() for line in stacks.splitlines() if line.startswith("  File ") and _IMPORT not in line]
    runs = any(f'{server}"' in frame for frame in frames for server in _SERVERS)
    return [*frames, _GUARD] if runs else frames


def still_importing(generation: int, seconds: float, lines: list[str]) -> str:
    """Return what the log has of an import that has lasted for `seconds`."""
    head = f"mold of generation {generation}: still importing after {seconds:.0f} s, at (the innermost call first)"
    return "\n".join([head, *(f"    {line}" for line in lines)])
