"""Why an exporter of OpenTelemetry has not sent: it returns no reason but logs it, with every attempt."""

from __future__ import annotations

import logging
import re

_EXPORTERS = "opentelemetry.exporter"
"""The logger that all exporters' loggers are below."""
_RETRY = re.compile(r", retrying in [\d.]+s?\.?$")


class Reasons(logging.Handler):
    """Takes what exporters log, in place of the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._first = ""
        logger = logging.getLogger(_EXPORTERS)
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first: those that follow are about further attempts."""
        self._first = self._first or _RETRY.sub("", record.getMessage())

    def take(self) -> str:
        """Return the reason since the last call."""
        reason, self._first = self._first, ""
        return reason or "the exporter gives no reason"
