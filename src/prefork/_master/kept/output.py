"""The log and the captured output, kept through an exec: what waits to be written, half lines, what is folded."""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

from ..._records.members import replace
from ..._records.plain import Descriptor
from ..log.capture import Capture
from ..log.log import Log, LogOptions
from ..relay import Relay, Sink, Source
from .records import KeptOutput, KeptSink, KeptSource

if TYPE_CHECKING:
    from ..loop import Master


def save(relay: Relay, capture: Capture | None, log: Log) -> KeptOutput:
    """Return what is under way. The streams themselves are the process's; a log file passes as it is open."""
    err = None if relay._err is relay._out else _sink(relay._err)
    file = Descriptor(relay._err._descriptor) if log._options.file is not None else None
    path = "" if log._options.file is None else log._options.file.path
    sources = tuple(_sources(relay)) if capture is not None else ()
    last, dead = ({}, ()) if capture is None else (capture._last, tuple(capture._dead))
    return KeptOutput(_sink(relay._out), err, file, path, sources, last, dead, log._folding._runs)


def _sink(sink: Sink) -> KeptSink:
    return KeptSink(bytes(sink._waiting), sink._lost, sink._announced)


def _sources(relay: Relay) -> list[KeptSource]:
    """Return the pipes of living processes, and those of dead ones that processes they started still write to."""
    living = [source for found in relay._sources.values() for source in found]
    others = {source for sink in {relay._out, relay._err} for source in sink.sources} - set(living)
    return [
        *(_source(each, True) for each in living),
        *(_source(each, False) for each in others),
    ]


def _source(source: Source, living: bool) -> KeptSource:
    origin, stream = source._mark.args  # type: ignore[union-attr]  # Each of a daemon's is made by its Capture.
    descriptor = Descriptor(source._descriptor) if source in source._sink.sources else None
    return KeptSource(origin, stream, descriptor, bytes(source._lines._rest), living)


def restore(master: Master, capture: Capture | None, log: Log, kept: KeptOutput, options: LogOptions) -> None:
    """Go on with the log. `options`: those of the log, which was made without its file."""
    relay = master.relay
    log._options = options
    if kept.file is not None and options.file is not None:
        log._options = replace(options, file=replace(options.file, path=kept.path))
        relay.divert(os.dup(kept.file))
    for sink, was in (relay._out, kept.out), (relay._err, kept.err):
        if was is not None:
            sink._waiting += was.waiting
            sink._lost += was.lost
            sink._announced += was.announced
            sink._advance()
    if capture is not None:
        capture._last, capture._dead = dict(kept.last), deque(kept.dead)
        for each in kept.sources:
            _restore_source(relay, capture, each)
    log._folding._runs = dict(kept.runs)


def _restore_source(relay: Relay, capture: Capture, kept: KeptSource) -> None:
    if kept.descriptor is None:
        return  # Its writers have all closed it, and nothing of it is left.
    sink = relay._out if kept.stream == "stdout" else relay._err
    mark = partial(capture._marked, kept.origin, cast('Literal["stdout", "stderr"]', kept.stream))
    source = Source(relay._selector, kept.descriptor, sink, mark)
    source._lines._rest += kept.rest
    if kept.living:
        relay._sources.setdefault(kept.origin.pid, []).append(source)
