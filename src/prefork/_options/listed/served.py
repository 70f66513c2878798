"""The options for applications, a subject after the other."""

from __future__ import annotations

from .access import ACCESS
from .application import APPLICATION
from .connections import CONNECTIONS
from .proxies import PROXIES
from .tls import TLS

SERVED = (*APPLICATION, *PROXIES, *CONNECTIONS, *ACCESS, *TLS)
