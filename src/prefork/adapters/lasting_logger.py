"""Loggers of servers that outlast the application's configuration of logging.

`logging.config` disables the loggers that it does not name and that exist already (`disable_existing_loggers`, which is
the default), when the application calls it in its lifespan or later. The traceback of a 500 would be lost with the
server's logger. Level, handlers and `propagate` of that logger are the application's to set, as ever.
"""

from __future__ import annotations

import logging


class _Lasting:
    """What `disabled` is for such a logger."""

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, _value: object) -> None:
        pass


def lasting(name: str) -> logging.Logger:
    """Return the logger of this name, which from now on cannot be disabled."""
    logger = logging.getLogger(name)
    if not isinstance(logger, _Lasting):
        logger.__class__ = type("LastingLogger", (_Lasting, type(logger)), {})
    return logger
