"""The types of options that are given as keywords."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from .._options.records import Insufficient, LazyImports, LogFormat, LogLevel, Share


class DaemonKeywords(TypedDict, total=False):
    """The types of a daemon's options, for type checkers; what each is stands in `_options.records.DaemonOptions`."""

    control_group: str | None
    share: Share
    allow_shared: Collection[str] | None
    lazy_imports: LazyImports
    spares: int
    capture: bool
    log_file: str | None
    log_format: LogFormat
    log_level: LogLevel
    pid_file: str | None
    import_timeout: float
    warm_timeout: float
    profile_on_hang: bool
    profile_slower_than: int
    orphan_grace: float
    keep_mold: float
    judge: bool
    bake: float
    canary_share: int
    judge_min_requests: int
    judge_insufficient: Insufficient
