"""The command line of an interpreter: its options, its program, and the program's arguments."""

from __future__ import annotations

from collections.abc import Sequence

from ..._records.record import record

_WITH_VALUE = "WX"
_PROGRAM = "cm"
_LONG_WITH_VALUE = "--check-hash-based-pycs"


@record
class PythonCommand:
    """`python [options] program [arguments]`: `program` is `("script.py",)`, `("-m", "pkg")` or `("-c", "code")`.

    `program` is empty where there is nothing to run again: standard input, a prompt.
    """

    options: tuple[str, ...]
    program: tuple[str, ...]
    arguments: tuple[str, ...]

    def again(self, options: Sequence[str], arguments: Sequence[str]) -> list[str]:
        """Return the same program's argument list (without the interpreter), with more options and other arguments."""
        return [*self.options, *options, *self.program, *arguments]


def parse(arguments: Sequence[str]) -> PythonCommand:
    """Parse what follows the interpreter in `sys.orig_argv`."""
    position = 0
    options: list[str] = []
    while position < len(arguments):
        word = arguments[position]
        following = arguments[position + 1 :]
        if word == "-":
            break
        if word == "--":
            return PythonCommand(tuple(options), tuple(arguments[position : position + 2]), tuple(following[1:]))
        if not word.startswith("-"):
            return PythonCommand(tuple(options), (word,), tuple(following))
        if word == _LONG_WITH_VALUE:
            options += arguments[position : position + 2]
            position += 2
            continue
        if word.startswith("--"):
            options.append(word)
            position += 1
            continue
        bundle, letter, value = _split_bundle(word)
        if bundle:
            options.append(f"-{bundle}")
        if letter and letter in _PROGRAM:
            given = [value] if value else list(following[:1])
            rest = following if value else following[1:]
            return PythonCommand(tuple(options), (f"-{letter}", *given), tuple(rest))
        position += 1
        if letter:
            if not value:
                value = arguments[position] if position < len(arguments) else ""
                position += 1
            options += [f"-{letter}", value]
    return PythonCommand(tuple(options), (), ())


def _split_bundle(word: str) -> tuple[str, str, str]:
    """Split `-BWignore` into `B`, `W`, `ignore`: flags, a letter that takes a value, the value attached to it."""
    for index, letter in enumerate(word):
        if index and letter in _WITH_VALUE + _PROGRAM:
            return word[1:index], letter, word[index + 1 :]
    return word[1:], "", ""
