"""Forking workers that are the master's children.

A process that the mold forks would be the mold's child, and would die unseen or be lost with it. So the
mold forks an intermediate, which forks the newborns of one batch and exits: they come to the nearest
subreaper, the master. N newborns cost N + 1 forks.

The intermediate makes each channel just before the fork and drops it right after. So a batch of any size
needs no more descriptors than one birth, and no newborn ever holds another's channel: the end of file on a
channel is the end of that one process, and the end of file on the mold's socket is the end of the mold and
of its intermediates.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from .._linux import title
from .._linux.channel import Channel
from .._wire.messages import ForkFailed, ForksEnded

Life = Callable[[Channel], NoReturn]
"""All that a newborn does, with its channel to the master."""


def fork_children(mold: Channel, count: int, spare_title: str, live: Life) -> None:
    """Fork `count` newborns, which `live`, and tell the master.

    A newborn lives in here, with the mold's whole stack beneath it, and never returns: each frame that it left would
    cost it two pages of its own, for the function and for its code.
    """
    # What the streams still hold would be written once more by each newborn that exits normally.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        intermediate = os.fork()
    except OSError as error:
        mold.try_send(ForksEnded(count, f"the mold could not fork: {error.strerror}"))
        return
    if intermediate == 0:
        # Once for all of them: they share the page that it is written to.
        title.set_title(spare_title)
        _fork_batch(mold, count, live)
    try:
        _, status = os.waitpid(intermediate, 0)
    except ChildProcessError:
        status = 0  # A handler or a thread of the application's has reaped it. Births that are missing are counted.
    mold.try_send(ForksEnded(count, _in_words(os.waitstatus_to_exitcode(status))))


def _fork_batch(mold: Channel, count: int, live: Life) -> None:
    """The life of an intermediate, which ends in here, whatever happens, and of its newborns."""
    intermediate, status = os.getpid(), 1
    try:
        for _ in range(count):
            try:
                newborn = _fork_child(mold)
            except OSError as error:
                mold.try_send(ForkFailed(f"a process could not be forked: {error.strerror}"))
                break
            if newborn is not None:
                live(newborn)
        status = 0
    finally:
        if os.getpid() == intermediate:  # What a newborn raises, it ends with.
            os._exit(status)


def _fork_child(mold: Channel) -> Channel | None:
    """One birth. None in the intermediate."""
    ours, theirs = Channel.pair()
    if os.fork() == 0:
        mold.close()
        theirs.close()
        return ours
    ours.close()
    # Announced after the fork, so that no channel is told of that nobody holds. If this process dies in
    # between, the newborn reads the end of its channel and goes.
    mold.announce_child(theirs)
    theirs.close()
    return None


def _in_words(status: int) -> str:
    if status < 0:
        return f"the intermediate was killed by signal {-status}"
    return f"the intermediate exited {status}" if status else ""
