"""The options: those of kinds and daemons (records), how `prefork run` reads them (table, types), and its target."""
