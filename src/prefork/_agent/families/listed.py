"""Every family, by subject, and the samples of all of them."""

from __future__ import annotations

from collections.abc import Iterator

from . import daemon, requests, workers
from .family import Family, Sample
from .seen import Seen

SUBJECTS: tuple[tuple[str, tuple[Family, ...]], ...] = (
    ("Requests", requests.FAMILIES),
    ("Workers", workers.FAMILIES),
    ("The daemon", daemon.FAMILIES),
)


def samples(seen: Seen, version: str) -> Iterator[Sample]:
    """Yield every sample; `version`: of this package."""
    yield from requests.samples(seen)
    yield from workers.samples(seen)
    yield from daemon.samples(seen, version)
