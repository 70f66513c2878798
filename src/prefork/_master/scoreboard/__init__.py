"""The master's part of the scoreboard: which row is whose, and what dead workers have counted."""
