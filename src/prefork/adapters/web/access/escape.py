"""Text from clients, made safe for a log: no line break, no control character and no quotation mark is left."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii

_ESCAPES = {code: f"\\x{code:02X}" for code in (*range(32), *range(127, 256), ord('"'), ord("\\"))}


def quotable(text: str) -> str:
    r"""Return text that may stand between quotation marks, as nginx does: `\xNN` for a byte that is no plain ASCII."""
    return _bytes(text).decode("latin-1").translate(_ESCAPES)


def json_text(text: str) -> str:
    """Return a text as JSON, in ASCII; what the client sent as UTF-8 is read as that."""
    if not text.isascii():
        text = _bytes(text).decode("utf-8", "replace")
    line = encode_basestring_ascii(text)
    return line if line.isprintable() else line.replace("\x7f", "\\u007f")


def _bytes(text: str) -> bytes:
    """Return the bytes of a text, in which each character is a byte, as HTTP and WSGI have it, or else Unicode."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")
