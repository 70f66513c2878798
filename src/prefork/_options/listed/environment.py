"""Options for the surroundings of an application: variables, directories, its umask and its logging."""

from __future__ import annotations

from ..option import Option
from ..types import Parsed, Several, Text
from .assignment import assignment

_DIRECTORY = Text("DIR", "a directory")

ENVIRONMENT = (
    Option("env", Several(Parsed("KEY=VALUE", assignment)), None, "Variable for the application; repeatable."),
    Option("env_file", Text("FILE", "a path"), None, "File with variables for the application, a KEY=VALUE a line."),
    Option("chdir", _DIRECTORY, None, "Directory to run in, as if started there.", in_file=False),
    Option("python_path", Several(_DIRECTORY), None, "Directory to search for modules, too; repeatable."),
    Option(
        "log_config",
        Text("FILE", "a path"),
        None,
        "File that configures logging before the import: .json, .toml, .ini.",
    ),
)
