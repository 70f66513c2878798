"""Text from an application, made safe to print."""


def printable(text: str) -> str:
    """Return one line with `?` for each unprintable character: a terminal would obey an escape sequence in it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
