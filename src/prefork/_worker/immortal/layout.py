"""Where CPython keeps the reference count of an object on 64 bits, and the value that makes an object immortal.

The count is in the first 8 bytes. An object is immortal while the lower 4 of them are negative: a decrement writes
nothing then. An increment has a bound of its own, from which on it writes nothing.

- 3.12 and 3.13: the bound is the largest value. Any other one is written again, and its page copied.
- 3.14 and 3.15: the bound is 3 << 30, and above the lower 4 bytes are 2 for an overflow and 2 of flags. Flag 1 must be
  set: by it CPython knows a reference on its stack that is not counted. References that were on a stack before, when
  the object was still mortal, are taken back without a look at the value, once each. So it has room below.
"""

from __future__ import annotations

import sys

NEGATIVE = 1 << 31

if sys.version_info >= (3, 14):
    FLAGS = 0xFFFF << 48
    """What stays of an object's own bits."""
    IMMORTAL = 1 << 48 | 0xE000_0000
    NONE = 5 << 48 | 3 << 30
    """The value of `None`, to verify the layout."""
else:
    FLAGS = 0
    IMMORTAL = NONE = 0xFFFF_FFFF
