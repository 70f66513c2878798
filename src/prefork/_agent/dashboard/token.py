"""The token of the commands: a user who may read it in the runtime directory may command the daemon anyway."""

from __future__ import annotations

import os
import secrets

from ..._errors import SystemFailure
from ..._wire.places import TOKEN


def token_in(directory: str) -> str:
    """Return the token in the runtime directory; make it if there is none. Raises SystemFailure.

    Later agents of the daemon find it there: a page keeps its token over reloads.
    """
    path = f"{directory}/{TOKEN}"
    try:
        with open(path, "a+", opener=_opener) as file:
            file.seek(0)
            if not (token := file.read(1000).strip()):
                token = secrets.token_urlsafe(24)
                file.write(f"{token}\n")
    except (OSError, ValueError) as error:
        raise SystemFailure(f"the token of the dashboard's commands is not readable: {path}: {error}") from None
    return token


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
