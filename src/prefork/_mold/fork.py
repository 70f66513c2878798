"""Forking workers that are the master's children.

A process that the mold forks is the mold's child: the master could not reap it. So the mold forks an intermediate,
which forks the newborns of one batch and exits: they become children of the nearest subreaper, the master. N newborns
cost N + 1 forks.

The intermediate creates each channel just before the fork and closes it right after. So a batch of any size needs no
more descriptors than one fork, and no newborn ever holds another's channel: end of file on a channel is the end of that
one process, and end of file on the mold's socket is the end of the mold and of its intermediates.
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
    """Fork `count` newborns, each of which calls `live`, and report to the master.

    A newborn never returns from here, with the mold's whole stack beneath it: each frame that it left would cost it two
    private pages, for the function and for its code.
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
        # Once for all of them, which share the page that it is written to.
        title.set_title(spare_title)
        _fork_batch(mold, count, live)
    try:
        _, status = os.waitpid(intermediate, 0)
    except ChildProcessError:
        status = 0  # A handler or a thread of the application's has reaped it. The master counts missing children.
    mold.try_send(ForksEnded(count, _in_words(os.waitstatus_to_exitcode(status))))


def _fork_batch(mold: Channel, count: int, live: Life) -> None:
    """Run the intermediate, which ends in here in any case, and its newborns."""
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
    """Fork one newborn; return its channel there, and None in the intermediate."""
    ours, theirs = Channel.pair()
    if os.fork() == 0:
        mold.close()
        theirs.close()
        return ours
    ours.close()
    # Announced after the fork, so that each announced channel has a process. If this process dies in between, the
    # newborn reads the end of its channel and exits.
    mold.announce_child(theirs)
    theirs.close()
    return None


def _in_words(status: int) -> str:
    if status < 0:
        return f"the intermediate was killed by signal {-status}"
    return f"the intermediate exited {status}" if status else ""
