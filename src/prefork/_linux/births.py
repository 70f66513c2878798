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

from . import title
from .channel import Channel
from .wire import BirthFailed, BirthsEnded


def breed(mold: Channel, count: int, spare_title: str) -> Channel | None:
    """Fork `count` newborns and tell the master. None in the mold; in a newborn, its channel to the master.

    A newborn returns from here with the mold's whole stack beneath it: it lives by returning, so that it
    can end by a normal exit of the interpreter.
    """
    # What the streams still hold would be written once more by each newborn that exits normally.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        intermediate = os.fork()
    except OSError as error:
        mold.tell(BirthsEnded(count, f"the mold could not fork: {error.strerror}"))
        return None
    if intermediate == 0:
        # Once for all of them: they share the page that it is written to.
        title.set_title(spare_title)
        return _bear_all(mold, count)
    _, status = os.waitpid(intermediate, 0)
    mold.tell(BirthsEnded(count, _in_words(os.waitstatus_to_exitcode(status))))
    return None


def _bear_all(mold: Channel, count: int) -> Channel | None:
    """The life of an intermediate. Only newborns return: it ends in here, whatever happens."""
    newborn = None
    status = 1
    try:
        for _ in range(count):
            newborn = _bear(mold)
            if newborn is not None:
                return newborn
        status = 0
    except OSError as error:
        mold.tell(BirthFailed(f"a process could not be forked: {error.strerror}"))
        status = 0
    finally:
        if newborn is None:
            os._exit(status)
    return None


def _bear(mold: Channel) -> Channel | None:
    """One birth. None in the intermediate."""
    ours, theirs = Channel.pair()
    if os.fork() == 0:
        mold.close()
        theirs.close()
        return ours
    ours.close()
    # Announced after the fork, so that no channel is told of that nobody holds. If this process dies in
    # between, the newborn reads the end of its channel and goes.
    mold.announce(theirs)
    theirs.close()
    return None


def _in_words(status: int) -> str:
    if status < 0:
        return f"the intermediate was killed by signal {-status}"
    return f"the intermediate exited {status}" if status else ""
