"""Forking workers that are the master's children.

A process that the mold forks is the mold's child: the master could not reap it. So the mold forks an intermediate,
which forks the newborns of one batch and exits: they become children of the nearest subreaper, the master. N newborns
cost N + 1 forks.

The master has made the channels, one for each newborn, and sends them with its order. A newborn closes those of its
younger siblings before anything else, and the intermediate and the mold close theirs: end of file on a channel is the
end of that one process, or that its fork has failed, and end of file on the mold's socket is the end of the mold and of
its intermediates.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..._linux import title
from ..._linux.channel import Channel
from ..._wire.messages import ForkFailed, ForksEnded
from .fork_function import fork_function

Life = Callable[[Channel], NoReturn]
"""All that a newborn does, with its channel to the master."""


def fork_children(mold: Channel, count: int, channels: Sequence[int], spare_title: str, live: Life) -> None:
    """Fork `count` newborns, each of which calls `live`, and report to the master.

    `channels`: a descriptor for each; the last ones are missing where this process had no room for them. A newborn
    never returns from here, with the mold's whole stack beneath it: each frame that it left would cost it two private
    pages, for the function and for its code.
    """
    # What the streams still hold would be written once more by each newborn that exits normally.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        intermediate = fork_function()()
    except OSError as error:
        _close(channels)
        mold.try_send(ForksEnded(count, f"the mold could not fork: {error.strerror}"))
        return
    if intermediate == 0:
        # Once for all of them, which share the page that it is written to.
        title.set_title(spare_title)
        _fork_batch(mold, channels, live)
    _close(channels)
    try:
        _, status = os.waitpid(intermediate, 0)
    except ChildProcessError:
        status = 0  # A handler or a thread of the application's has reaped it. The master counts missing children.
    reason = _in_words(os.waitstatus_to_exitcode(status))
    if len(channels) < count:
        reason = "the mold has no descriptor left for the channel of a process"
    mold.try_send(ForksEnded(count, reason))


def _fork_batch(mold: Channel, channels: Sequence[int], live: Life) -> None:
    """Run the intermediate, which ends in here in any case, and its newborns."""
    intermediate, status, fork = os.getpid(), 1, fork_function()
    try:
        for index, descriptor in enumerate(channels):
            channel = Channel.from_descriptor(descriptor)
            try:
                newborn = fork() == 0
            except OSError as error:
                mold.try_send(ForkFailed(f"a process could not be forked: {error.strerror}"))
                break
            if newborn:
                mold.close()
                _close(channels[index + 1 :])
                live(channel)
            channel.close()
        status = 0
    finally:
        if os.getpid() == intermediate:  # What a newborn raises, it ends with.
            os._exit(status)


def _close(channels: Sequence[int]) -> None:
    for descriptor in channels:
        os.close(descriptor)


def _in_words(status: int) -> str:
    if status < 0:
        return f"the intermediate was killed by signal {-status}"
    return f"the intermediate exited {status}" if status else ""
