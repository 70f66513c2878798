"""Options for any daemon: what it runs, under which name and as which user."""

from __future__ import annotations

from ..option import Option
from ..types import DAEMON_NAME, Flag, Several, Text

NAMING = (
    Option("target", Text("TARGET", "a target such as shop:app"), None, "Application to run; the command's argument."),
    Option("config", Text("FILE", "a path"), None, "File with options; default: prefork.toml.", in_file=False),
    Option("name", DAEMON_NAME, None, "Name of the daemon; default: made of the target.", short="-n"),
)

DAEMON = (
    Option("user", Text("USER", "a user"), None, "User to run the application as (root only); the master stays root."),
    Option("group", Text("GROUP", "a group"), None, "Group to run the application as; default: the user's primary."),
    Option("new_privileges", Flag(), False, "Let it gain privileges by sudo and the like; off by default with --user."),
    Option("reload", Flag(), False, "Reload when a Python file changes, in development."),
    Option("reload_dir", Several(Text("DIR", "a directory")), ["."], "Directory to watch with --reload; repeatable."),
)
