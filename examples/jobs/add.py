"""Adds each argument as a job."""

import sys

from table import Table

table = Table()
for text in sys.argv[1:]:
    table.add(text)
