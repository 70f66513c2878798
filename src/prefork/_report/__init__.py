"""Texts for people and records for programs: log, events, banner. Pure."""
