"""The reports of what hangs or has failed: a worker, an import, a step of a mold."""
