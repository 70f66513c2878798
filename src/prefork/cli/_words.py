"""Times, users and events as a person reads them on a terminal."""

from __future__ import annotations

import pwd
import re
import time


def moment(when: float, now: float) -> str:
    """Return a time as hours, minutes and seconds, with the date unless it is today."""
    then = time.localtime(when)
    day = "" if time.localtime(now)[:3] == then[:3] else time.strftime("%Y-%m-%d ", then)
    return f"{day}{time.strftime('%H:%M:%S', then)}.{int(when % 1 * 1000):03}"


def with_user_names(text: str) -> str:
    """Return a text with user names for numbers. Not done in the master: a lookup may block."""
    return re.sub(r"\buid (\d+)", lambda match: user_name(int(match[1])), text)


def user_name(uid: int) -> str:
    """Return the name of a user, or `uid 4711` without one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
