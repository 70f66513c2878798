"""What can be asked for on this Python, for the tests of sharing."""

from __future__ import annotations

import pytest

from prefork._worker.immortal.support import unsupported

IMMORTAL_REFUSED = unsupported()
immortal_only = pytest.mark.skipif(IMMORTAL_REFUSED is not None, reason=str(IMMORTAL_REFUSED))
MODES = ["none", "freeze", pytest.param("immortal", marks=immortal_only)]
