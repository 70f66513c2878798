"""From the values of other tools to ours. Each raises ValueError, which says why there is no equal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .setting import Conversion, Values

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SEPARATOR = re.compile(r"[,\n]")


def to(name: str, change: Callable[[str], Any]) -> Conversion:
    """Return the conversion to one option of ours by a function of the text."""
    return lambda value: {name: change(str(value))}


def fixed(name: str, value: Any) -> Conversion:
    """Return the conversion of a flag to one value of ours."""
    return lambda given: {name: value} if truth(given) else {}


def unless_off(value: Any) -> Values:
    """Refuse what has no equal, unless it is off."""
    if truth(value):
        raise ValueError
    return {}


def off(name: str) -> Conversion:
    """Return the conversion of a flag whose presence turns ours off."""
    return lambda value: {name: False} if truth(value) else {}


def nothing(_: Any) -> Values:
    """Return no value: what the setting asks for is always so here."""
    return {}


def only(*allowed: str) -> Conversion:
    """Return the conversion of what is so here for the values `allowed`, and has no equal for any other one."""

    def converted(value: Any) -> Values:
        if str(value).lower() not in allowed:
            raise ValueError
        return {}

    return converted


def truth(value: Any) -> bool:
    """Return the boolean that a flag, an ini's word or Python's value means."""
    return value if isinstance(value, bool) else str(value).lower() not in ("", "0", "false", "no", "off", "none")


def flag(name: str) -> Conversion:
    """Return the conversion of a flag, or of an ini's `true`."""
    return lambda value: {name: truth(value)}


def several(value: Any) -> list[str]:
    """Return the texts of a list, or of a text with commas or lines."""
    parts = value if isinstance(value, list | tuple) else _SEPARATOR.split(str(value))
    return [text for part in parts if (text := str(part).strip())]


def each(name: str) -> Conversion:
    """Return the conversion to an option that is a list."""
    return lambda value: {name: several(value)}


def lines(name: str) -> Conversion:
    """Return the conversion to a list of what an ini adds up, a line each."""
    return lambda value: {name: [str(part) for part in (value if isinstance(value, list) else str(value).splitlines())]}


def duration(text: str) -> int:
    """Return the seconds of `90` or `1h30m`."""
    if text.isdecimal():
        return int(text)
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration")
    parts = [int(part or 0) for part in found.groups()]
    return sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=True))


def _whole(value: Any) -> int:
    if not (text := str(value)).isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def megabytes(text: str) -> str:
    """Return a size that the tool counts in MiB."""
    return f"{_whole(text)}MB"


def log_file(value: Any) -> Values:
    """Return the file of the log; `-` is standard error, which is ours without a file."""
    return {} if value in ("-", None) else {"log_file": str(value)}


def uwsgi_logger(value: Any) -> Values:
    """Return the file of a logger of uWSGI; the others have no equal."""
    kind, _, path = str(value).partition(":")
    if kind not in ("file", "stdio"):
        raise ValueError(f"no equal: {value}: the log goes to standard error, or to a file")
    return {"log_file": path} if kind == "file" else {}


def log_config(value: Any) -> Values:
    """Return the file that configures logging; hypercorn names its format before it."""
    path = str(value).removeprefix("json:").removeprefix("toml:")
    if not path.endswith((".json", ".toml", ".ini")):
        raise ValueError(f"no equal: {path}: give it the ending of its format: .json, .toml or .ini")
    return {"log_config": path}


def log_level(value: Any) -> Values:
    """Return the level of the log: there are two of them."""
    level = str(value).lower()
    if level not in ("debug", "trace", "info"):
        raise ValueError("no equal: the levels are info and debug")
    return {"log_level": "info" if level == "info" else "debug"}


def bind(value: Any) -> Values:
    """Return addresses in the forms of gunicorn and hypercorn: HOST, HOST:PORT, unix:PATH, fd://N."""
    return {"bind": [_address(text) for text in several(value)]}


def _address(text: str) -> str:
    if text.startswith(("fd://", "unix:///")):
        return text
    if text.startswith("unix:"):
        return "unix:" + re.sub("^unix:(//)?", "", text)
    text = text.removeprefix("tcp://").removeprefix("http://")
    if not re.search(r"(^|[^:]|\]):\d+$", text):
        text = f"[{text}]:8000" if text.count(":") > 1 and not text.startswith("[") else f"{text}:8000"
    return text


def any_protocols(value: Any) -> Values:
    """Accept HTTP/2 with HTTP/1.1 after it: what a server with TLS offers here."""
    if several(value) != ["h2", "http/1.1"]:
        raise ValueError
    return {}


def client_certificates(value: Any) -> Values:
    """Return what is asked of clients: the numbers and names of Python's `ssl`."""
    name = str(value).rpartition("_")[2].lower()
    return {"tls_client": {"0": "none", "1": "optional", "2": "required"}.get(name, name)}


def protocol(value: Any) -> Values:
    """Return the version of `tls1.2` or `tls1.3`."""
    return {"tls_min_version": str(value).removeprefix("tls")}


def any_version(value: Any) -> Values:
    """Take the number or name of Python's `ssl` for any version: ours is the lowest one, 1.2 by default."""
    if str(value) not in ("2", "17", "TLS", "TLS_SERVER", "PROTOCOL_TLS", "PROTOCOL_TLS_SERVER"):
        raise ValueError("tls_min_version: 1.2 or 1.3")
    return {}


def part(name: str) -> Conversion:
    """Return the conversion to a part of an address, or of the target, that the tool has as a setting of its own."""
    return lambda value: {"." + name: str(value)}


def umask(value: Any) -> Values:
    """Return gunicorn's umask, in octal: a number of Python, or text that is decimal unless it begins with 0."""
    text = str(value)
    if not re.fullmatch("0o?[0-7]+|[0-9]+", text):
        raise ValueError(f"{text!r} is no umask")
    return {"umask": f"{int(text, 8 if text.startswith('0') else 10):03o}"}


def socket_umask(value: Any) -> Values:
    """Return the mode of a Unix socket that a mask in octal digits, or a number of Python, leaves."""
    text = f"{value:o}" if isinstance(value, int) else str(value)
    if not re.fullmatch("(0o)?[0-7]{1,3}", text):
        raise ValueError(f"{value!r} is no mask: octal digits such as 007")
    return {".mode": f"{0o777 & ~int(text, 8):o}"}


def worker_class(value: Any) -> Values:
    """Return what a class of gunicorn's workers asks for."""
    match str(value).rpartition(".")[2].lower().removesuffix("worker"):
        case "sync" | "gthread":
            return {}
        case "asgi":
            return {"interface": "asgi"}
        case "uvicorn" | "uvicornh11":
            return {"server": "uvicorn", "interface": "asgi"}
        case "gevent":
            raise ValueError("no equal: an application that calls gevent's patch_all() itself works (docs/imports.md)")
    raise ValueError(f"no equal: {value}: threads serve a WSGI application, an event loop an ASGI application")


def loop_class(value: Any) -> Values:
    """Return the event loop that a class of hypercorn's workers asks for."""
    if value not in ("asyncio", "uvloop"):
        raise ValueError("the loop is asyncio or uvloop: trio applications need hypercorn itself")
    return {"loop": str(value)}


def interface(value: Any) -> Values:
    """Return the application's interface; `asgi3` and `asginl` are names of ASGI."""
    match str(value):
        case "auto":
            return {}
        case "asgi" | "asgi3":
            return {"interface": "asgi"}
        case "asginl":
            return {"interface": "asgi", "lifespan": "off"}
        case "wsgi":
            return {"interface": "wsgi"}
        case "rsgi":
            raise ValueError("RSGI is granian's own interface: give the application's ASGI or WSGI form")
    raise ValueError("ASGI 2 is not served: wrap the application with asgiref.compatibility.guarantee_single_callable")


def processes(value: Any) -> Values:
    """Return the number of workers of uWSGI; `auto` and `%k` are one for each processor."""
    return {"workers": "auto" if str(value) in ("auto", "%k") else _whole(value)}


def uwsgi_address(value: Any) -> Values:
    """Return addresses in the forms of uWSGI: HOST:PORT, :PORT, a path, @NAME."""
    texts = [text.removeprefix("unix:") for text in several(value)]
    return {"bind": [text if ":" in text else f"unix:{text}" for text in texts]}


def module(value: Any) -> Values:
    """Return the target of uWSGI's `module`."""
    place, _, name = str(value).partition(":")
    return {".place": place} | ({".callable": name} if name else {})


def python_plugin(value: Any) -> Values:
    """Accept the plugin of Python."""
    if others := [name for name in several(value) if not name.startswith(("python", "http"))]:
        raise ValueError(f"no equal: Python only, not {', '.join(others)}")
    return {}


def keep_alive(value: Any) -> Values:
    """Return the seconds of uWSGI's `http-keepalive`, which needs none."""
    return {} if str(value).lower() in ("true", "1") else {"keep_alive": _whole(value)}
