"""From a command line, or an ini, of another tool to the text of a prefork.toml that ours accept."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from prefork._errors import UsageError
from prefork._foreign import toml
from prefork._foreign.every import TOOLS
from prefork._foreign.files import in_ini
from prefork._foreign.found import Found
from prefork._foreign.migration import Migration, migrated
from prefork._foreign.read import of, of_uwsgi
from prefork._options.table import BY_NAME, resolve

INI = """
[uwsgi]
base = /srv/shop
; a comment
module = shop.wsgi
callable = site
processes = %k
threads = 2
http-socket = :8000
socket = %(base)/shop.sock
chmod-socket = 660
harakiri = 20
reload-on-rss = 200
master
plugins = python3
lazy-apps = true
logto = /var/log/%n.log
static-map = /static=/srv/static
static-map = /media=/srv/media
unheard-of = 1
"""

CERTIFICATES = {"tls_cert": "c", "tls_key": "k", "tls_ciphers": "AES256", "tls_client": "required", "tls_ca": "a"}


def moved(line: str, environ: dict[str, str] | None = None) -> Migration:
    name, *words = line.split()
    return migrated(TOOLS[name], *of(TOOLS[name], words, environ or {}), environ or {})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gunicorn shop", {"target": "shop:application", "workers": 1, "threads": 1}),
        ("gunicorn -w4 --threads=8 shop:create()", {"target": "shop:create", "workers": 4, "threads": 8}),
        ("gunicorn -b :80 -b unix:s -b [::1] shop", {"bind": [":80", "unix:s", "[::1]:8000"]}),
        ("gunicorn -b 10.0.0.1:80,fd://3 shop", {"bind": ["10.0.0.1:80", "fd://3"]}),
        ("gunicorn -t 0 --graceful 9 shop", {"hang_timeout": 0, "drain_timeout": 9}),
        ("gunicorn -n shop-1 -u www -g www shop", {"name": "shop-1", "user": "www", "group": "www"}),
        ("gunicorn --log-file - --log-level DEBUG --capture-output shop", {"log_level": "debug", "capture": True}),
        ("gunicorn --preload --asgi-loop uvloop shop", {"loop": "uvloop"}),
        ("uvicorn --port 0 main:app --factory", {"bind": ["127.0.0.1:0"], "server": "uvicorn", "workers": 1}),
        ("uvicorn --host ::1 --reload main:app", {"bind": ["[::1]:8000"], "reload": True}),
        ("gunicorn -e A=1,2 -e B=3 --pythonpath a,b m", {"env": ["A=1,2", "B=3"], "python_path": ["a", "b"]}),
        ("gunicorn -m 022 -p g.pid --log-config l.ini m", {"umask": "022", "pid_file": "g.pid", "log_config": "l.ini"}),
        ("gunicorn -m 18 --worker-class gthread m", {"umask": "022", "server": None}),
        ("hypercorn --log-config json:l.json m", {"log_config": "l.json"}),
        ("gunicorn --certfile c --keyfile k --ciphers AES256 --cert-reqs 2 --ca-certs a m", CERTIFICATES),
        ("hypercorn --certfile c --keyfile k --ciphers AES256 --cert-reqs CERT_REQUIRED --ca-certs a m", CERTIFICATES),
        ("uvicorn --ssl-certfile c --ssl-cert-reqs 2 --ssl-ca-certs a m", {"tls_client": "required", "tls_ca": "a"}),
        ("granian --interface asgi --ssl-certificate c --ssl-keyfile k m", {"tls_cert": "c", "tls_min_version": "1.3"}),
        ("granian --interface asgi --ssl-certificate c --ssl-protocol-min tls1.2 m", {"tls_min_version": "1.2"}),
        ("granian --interface asgi m", {"tls_min_version": None}),
        ("gunicorn --cert-reqs 0 m", {"tls_client": None}),
        ("uvicorn main:app --env-file .env", {"access_log": "-", "env_file": ".env"}),
        ("uvicorn --no-access-log main:app", {"access_log": None}),
        ("granian --interface asgi --access-log m", {"access_log": "-"}),
        ("gunicorn --access-logfile a.log m", {"access_log": "a.log"}),
        ("hypercorn --access-logformat %(h)s m", {"access_log_format": "%(h)s"}),
        ("uvicorn --fd 3 --port 9 main:app --workers 2", {"bind": ["fd://3"], "workers": 2}),
        ("uvicorn --reload-dir a --reload-dir b main:app", {"reload_dir": ["a", "b"]}),
        ("granian --interface asginl m:a", {"server": "granian", "interface": "asgi", "lifespan": "off"}),
        ("granian --interface wsgi --blocking-threads 3 m", {"target": "m:app", "interface": "wsgi", "threads": 3}),
        ("granian --interface asgi --uds /s --uds-permissions 0o660 m", {"bind": ["unix:/s?mode=660"]}),
        ("gunicorn --statsd-host h:1 --dogstatsd-tags a:b m", {"statsd": "udp://h:1", "statsd_tags": "a:b"}),
        ("granian --interface wsgi --workers-lifetime 1h1m m", {"max_age": 3660}),
        ("granian --interface wsgi --workers-max-rss 9 m", {"max_memory": "9MB"}),
        ("hypercorn -b unix:/s -m 007 -g www asgi:m:app", {"bind": ["unix:/s?mode=770&group=www"], "target": "m:app"}),
        ("hypercorn -k uvloop --debug m:app", {"loop": "uvloop", "log_level": "debug", "server": "hypercorn"}),
        ("uwsgi --http :80 --wsgi-file a/b.py --processes 3", {"target": "a/b.py:application", "workers": 3}),
    ],
)  # fmt: skip
def test_command_line_gives_equal_options(line: str, expected: dict[str, Any]) -> None:
    migration = moved(line)
    assert migration.remarks == []
    assert {name: migration.values.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("gunicorn -k gevent shop", "gunicorn's command line: -k: no equal: an application that calls gevent's"),
        ("gunicorn --enable-backlog-metric shop", "--enable-backlog-metric: no equal for statsd: `metrics`"),
        ("gunicorn --chdir /srv shop", "gunicorn: chdir: give --chdir /srv to `prefork run`"),
        ("uvicorn --log-config log.yaml m:app", "--log-config: no equal: log.yaml: give it the ending of its format"),
        ("uvicorn --ssl-keyfile k m:app", "uvicorn: tls_key: no TLS without a certificate (tls_cert)"),
        ("gunicorn --certfile c --ca-certs a shop", "tls_ca: clients are verified by tls_client and tls_ca together"),
        ("gunicorn -D shop", "-D: prefork systemd: a service manager runs it in the background"),
        ("gunicorn -w many shop", "-w: 'many' is not a whole number"),
        ("gunicorn --log-level error shop", "--log-level: no equal: the levels are info and debug"),
        ("gunicorn shop:create('x')", "TARGET: shop:create('x') has no equal: name an application, or a factory"),
        ("gunicorn -w 2", "gunicorn: no application is named: add target, as in target = \"shop:app\""),
        ("uvicorn --loop zuvloop m:app", "--loop: 'zuvloop' is not one of auto, asyncio, uvloop"),
        ("uvicorn --ws wsproto m:app", "--ws: no equal: websockets where it is installed"),
        ("uvicorn --interface wsgi m:app", "uvicorn: it serves ASGI applications here: waitress, or granian"),
        ("granian m:app", "--interface: RSGI is granian's own interface"),
        ("hypercorn -k trio m:app", "-k: the loop is asyncio or uvloop"),
        ("hypercorn wsgi:m:app", "hypercorn: it serves ASGI applications here: waitress, or granian"),
    ],
)  # fmt: skip
def test_what_has_no_equal_says_why(line: str, why: str) -> None:
    (remark,) = moved(line).remarks
    assert why in remark


@pytest.mark.parametrize("tool", TOOLS)
def test_any_value_is_converted_or_refused(tool: str) -> None:
    """A configuration in Python may assign anything; what is printed is accepted by ours, and nothing raises."""
    values = ["7", "/x", "on", "a:1,b", "", "%", True, False, 7, -1, 1.5, ["a", 1], {"a": 1}, "none", "0o22", "1.2"]
    for setting in TOOLS[tool].settings:
        for value in values:
            migration = migrated(TOOLS[tool], [Found("a file", "name", setting, value)], ["shop:app"], {})
            for name, made in migration.values.items():
                BY_NAME[name].type.check(made)
            assert all("\n" not in remark and not remark.endswith(": ") for remark in migration.remarks)


def test_false_of_a_configuration_needs_no_word() -> None:
    known = [each for each in TOOLS["gunicorn"].settings if each.convert is not None and not each.takes_value]
    known += [each for each in TOOLS["gunicorn"].settings if "proxy_protocol" in each.keys]
    migration = migrated(TOOLS["gunicorn"], [Found("a file", "name", each, False) for each in known], ["m"], {})
    assert migration.remarks == []


def test_later_value_silences_an_earlier_one() -> None:
    assert moved("uvicorn --ws wsproto --ws auto m:app").remarks == []


def test_defaults_of_asgi_workers_name_no_threads() -> None:
    values = moved("gunicorn -k uvicorn.workers.UvicornWorker main:app").values
    assert values == {"target": "main:app", "workers": 1, "server": "uvicorn", "interface": "asgi"}


def test_web_concurrency_has_the_effect_that_it_had() -> None:
    for line in "gunicorn shop", "uvicorn shop:app":
        assert "workers" not in moved(line, {"WEB_CONCURRENCY": "3"}).values
    assert moved("hypercorn shop:app", {"WEB_CONCURRENCY": "3"}).values["workers"] == 1


def test_variables_stand_behind_the_command_line() -> None:
    environ = {"UVICORN_PORT": "9", "UVICORN_RELOAD_DIRS": "a:b", "UVICORN_WORKERS": "2", "UVICORN_RELOAD": "1"}
    environ |= {"UVICORN_ACCESS_LOG": "false", "UVICORN_LIFESPAN": "", "UVICORN_OTHER": "1", "UVICORN_APP": "m:app"}
    assert moved("uvicorn --workers 4", environ).values == {
        "target": "m:app", "bind": ["127.0.0.1:9"], "reload_dir": ["a", "b"], "workers": 4, "reload": True,
        "server": "uvicorn",
    }  # fmt: skip
    environ = {"GRANIAN_INTERFACE": "asgi", "GRANIAN_WEBSOCKETS": "no", "GRANIAN_LOG_ACCESS_ENABLED": "1"}
    migration = moved("granian m:app", environ)
    assert (migration.values["interface"], migration.values["access_log"]) == ("asgi", "-")
    refused = "granian's variables: GRANIAN_WEBSOCKETS: no equal: the application refuses WebSockets by itself"
    assert migration.remarks == [refused]


HYPERCORN = """
bind = ["0.0.0.0:80", "unix:/run/x.sock"]
umask = 7
worker_class = "uvloop"
accesslog = "-"
alpn_protocols = ["h2", "http/1.1"]
use_reloader = false
h2_max_concurrent_streams = 5
unheard_of = 1
"""


def test_toml_of_hypercorn_gives_equal_options(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(HYPERCORN)
    migration = moved(f"hypercorn -c {tmp_path}/shop.toml -w 9 shop:app")
    assert migration.values == {
        "target": "shop:app", "workers": 9, "bind": ["0.0.0.0:80", "unix:/run/x.sock?mode=770"], "loop": "uvloop",
        "access_log": "-", "server": "hypercorn",
    }  # fmt: skip
    assert migration.remarks == [
        "shop.toml: h2_max_concurrent_streams: no equal: hypercorn's default holds",
        "shop.toml: unheard_of: no equal is known: docs/run.md has the options",
    ]


@pytest.mark.parametrize(
    ("data", "why"), [(b"a =", "Invalid value"), (b"\xff", "can't decode"), (None, "No such file")]
)
def test_bad_toml_is_one_line(tmp_path: Path, data: bytes | None, why: str) -> None:
    if data is not None:
        (tmp_path / "bad.toml").write_bytes(data)
    with pytest.raises(UsageError, match=f"^{tmp_path}/bad.toml: .*{why}") as refused:
        moved(f"hypercorn -c {tmp_path}/bad.toml shop:app")
    assert "\n" not in str(refused.value)


def test_unknown_flag_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^uvicorn's command line: option --workerz not recognized$"):
        moved("uvicorn --workerz 3 m:app")


def test_ini_gives_equal_options(tmp_path: Path) -> None:
    (tmp_path / "shop.ini").write_text(INI)
    migration = migrated(TOOLS["uwsgi"], list(in_ini(str(tmp_path / "shop.ini"))), [], {})
    assert migration.values == {
        "target": "shop.wsgi:site", "workers": "auto", "threads": 2, "hang_timeout": 20, "max_memory": "200MB",
        "bind": [":8000", "unix:/srv/shop/shop.sock?mode=660"], "preload": False,
        "access_log": "-",
    }  # fmt: skip
    assert migration.remarks == [
        "shop.ini: logto: /var/log/%n.log has a placeholder of uWSGI: write its value",
        "shop.ini: static-map: no equal: the proxy, or a middleware such as WhiteNoise, serves files",
        "shop.ini: unheard-of: no equal is known: docs/run.md has the options",
    ]


def test_ini_of_a_command_line_is_read_before_it(tmp_path: Path) -> None:
    (tmp_path / "shop.ini").write_text("[uwsgi]\nmodule = shop:site\nprocesses = 4\nlogger = file:/var/log/shop\n")
    found, words = of_uwsgi(["--processes", "2", str(tmp_path / "shop.ini")])
    assert words == []
    assert migrated(TOOLS["uwsgi"], found, words, {}).values == {
        "target": "shop:site", "workers": 2, "threads": 1, "log_file": "/var/log/shop", "access_log": "-",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[other]\n", "it has no section"),
        ("a\n[", "File contains no section headers"),
        (None, "cannot be read: No such"),
    ],
)
def test_bad_ini_is_one_line(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "bad.ini").write_text(text)
    with pytest.raises(UsageError, match=why) as refused:
        list(in_ini(str(tmp_path / "bad.ini")))
    assert "\n" not in str(refused.value)


def test_text_is_toml_that_ours_accept(tmp_path: Path) -> None:
    values = moved('gunicorn -w 4 -b unix:/a"b -b :80 -t 9 --max-requests 5 --reload --root-path /\\x shop').values
    values |= {"max_memory": "9MB", "drain_timeout": 1.5}
    (tmp_path / "prefork.toml").write_text(toml.text(values, {"hang_timeout": "a note"}, "gunicorn"))
    assert tomllib.loads((tmp_path / "prefork.toml").read_text()) == values
    assert resolve({}, {}, str(tmp_path))["max_memory"] == 9 * 2**20


@pytest.mark.parametrize("value", ['\x7f\x00\n"\\é', True, 3, 0.5, ["a", "b"]])
def test_literal_is_read_back(value: object) -> None:
    assert tomllib.loads(f"x = {toml.literal(value)}")["x"] == value
