"""What has happened between two readings of the scoreboard, in the lines of statsd, with gunicorn's names.

The protocol: https://github.com/statsd/statsd/blob/master/docs/metric_types.md, with the tags of DogStatsD. The names:
https://gunicorn.org/instrumentation/. The scoreboard has no single durations but how many lie in each bucket, and those
of a bucket are one line with a sample rate: a server counts it as often as it was sampled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ...scoreboard import Histogram, Measures, Reading

_LARGEST = 1432
"""Bytes of a datagram: it fits into an Ethernet frame with the headers of IP and UDP, also over IPv6."""
_EXACT = 10**12


def figures(before: Reading, now: Reading, without: Collection[str]) -> Iterator[str]:
    """Yield the lines, without prefix and tags. `without`: slots whose processes count for no worker."""
    workers = [each for each in now.processes if each.state != "draining" and each.slot not in without]
    yield f"gunicorn.workers:{len(workers)}|g"
    yield from _requests(now.measures - before.measures)


def _requests(measures: Measures) -> Iterator[str]:
    if count := sum(measures.responses):
        yield f"gunicorn.requests:{count}|c"
    for number, responses in enumerate(measures.responses):
        if number and responses:
            yield f"gunicorn.request.status.{number}xx:{responses}|c"
    yield from _durations(measures.latency)


def _durations(latency: Histogram) -> Iterator[str]:
    """Yield one line for each bucket: its middle, in milliseconds."""
    bounds = (0.0, *latency.bounds, latency.bounds[-1])
    for low, high, count in zip(bounds, bounds[1:], latency.counts, strict=False):
        if count:
            # A little less than 1 / count: receivers take the whole part of 1 / rate.
            rate = "" if count == 1 else f"|@{(_EXACT // count - 1) / _EXACT:.12f}"
            yield f"gunicorn.request.duration:{(low + high) / 2 * 1000:.6g}|ms{rate}"


def packed(lines: Iterable[str], prefix: str = "", tags: str = "") -> Iterator[bytes]:
    """Yield the lines in as few datagrams as they fit into."""
    before, after = f"{prefix.rstrip('.')}." if prefix else "", f"|#{tags}" if tags else ""
    datagram = b""
    for line in lines:
        encoded = f"{before}{line}{after}".encode()
        if datagram and len(datagram) + 1 + len(encoded) > _LARGEST:
            yield datagram
            datagram = b""
        datagram += b"\n" + encoded if datagram else encoded
    if datagram:
        yield datagram
