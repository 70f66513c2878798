"""The warming of a mold: how long it may last, and what follows when it fails."""
