"""Text from an application, made safe to print."""


def printable(text: str) -> str:
    """Return one line with `?` for each unprintable character: a terminal would obey an escape sequence in it."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def printable_lines(text: str) -> str:
    """Return text whose lines and tabs are kept, and whose other characters are those of `printable`.

    A carriage return is none of them: a terminal would write over the line, and others take it for the end of one.
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
