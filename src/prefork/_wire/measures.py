"""The blocks of the scoreboard: what is measured of requests, one block for each worker, and some of dead workers.

Of 8 bytes each, as all of the scoreboard (docs/scoreboard.md):

      0  generation, in a block of dead workers
      1  seconds of all requests that have ended      2  seconds in the queue      3  seconds of lag of the loop
      4  responses by status // 100, six words; the first: ended without a response
     10  bytes sent      11  bytes received      12  disconnects      13  refused      14  late turns of the loop
     15  reserved
     16  requests by latency, 154 words              170  requests by time in the queue, 66 words
    236  reserved

The bounds of both histograms are powers of two, those that scale 3 and scale 2 of exponential histograms have in
OpenTelemetry, and schema 3 and 2 of native histograms in Prometheus. A value counts in the first bucket whose bound is
not below it; the last bucket has none. A percentile between 0.25 ms and 64 s is within 9.1 % of the true one.
"""

from __future__ import annotations

from .._records.record import record

BLOCK = 2048  # bytes
GENERATIONS = 8
"""Blocks of dead workers by generation: of the latest ones. One more, before them, has those of all generations."""

OF_GENERATION, LATENCY_SUM, QUEUE_SUM, LAG = range(4)
RESPONSES, SENT, RECEIVED, DISCONNECTS, REFUSED, LATE = 4, 10, 11, 12, 13, 14
LATENCY_AT, QUEUE_AT, END = 16, 170, 236

LATENCY_BOUNDS = tuple(2.0 ** (n / 8) for n in range(-13 * 8, 6 * 8 + 1))
"""Seconds, from 0.12 ms to 64 s, eight in an octave."""
QUEUE_BOUNDS = tuple(2.0 ** (n / 4) for n in range(-10 * 4, 6 * 4 + 1))
"""Seconds, from 1 ms to 64 s, four in an octave."""


@record
class Block:
    """The numbers of one block: its three sums of seconds, and all counts, from the responses on."""

    sums: tuple[float, ...] = (0.0,) * (RESPONSES - LATENCY_SUM)
    counts: tuple[int, ...] = (0,) * (END - RESPONSES)


NONE = Block()


def read(words: memoryview, floats: memoryview[float], at: int) -> Block:
    """Return the block that begins at this word."""
    # Word by word, as they were written: what copies more at a time may copy bytes.
    return Block(
        tuple(floats[at + LATENCY_SUM : at + RESPONSES].tolist()), tuple(words[at + RESPONSES : at + END].tolist())
    )
