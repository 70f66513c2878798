"""No request is lost, under every server and in every act; the table of docs/servers.md is printed."""

from __future__ import annotations

import pytest

from proof import nothing_lost


@pytest.mark.timeout(7200)
def test_no_request_is_lost_in_any_act() -> None:
    assert nothing_lost.main([]) == 0
