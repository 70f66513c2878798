"""What a daemon answers, as types for type checkers: dictionaries with the members of docs/control.md.

Times are in seconds since 1970, durations in seconds. A daemon of a later version may answer with more members.
"""
