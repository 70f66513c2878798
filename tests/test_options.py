"""The options: one table, four layers, and refusals that say what, where and what else could have been meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from prefork import UsageError
from prefork._options.table import BY_NAME, OPTIONS, Settings, daemon_here, resolve


def settings(directory: Path, command_line: Mapping[str, Any] | None = None, **environ: str) -> Settings:
    return resolve(command_line or {}, environ, str(directory))


def test_each_layer_is_above_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "prefork.toml").write_text("workers = 2\nthreads = 3\nspares = 4\n")
    found = settings(tmp_path, {"workers": 6}, PREFORK_WORKERS="5", PREFORK_THREADS="7")
    assert [found[name] for name in ("workers", "threads", "spares", "drain_timeout")] == [6, 7, 4, 30.0]
    sources = [found.source(name) for name in ("workers", "threads", "spares", "drain_timeout")]
    assert sources == ["--workers", "PREFORK_THREADS", "prefork.toml: spares", "default"]
    assert [found.given(name) for name in ("spares", "drain_timeout")] == [True, False]
    assert found.file == "prefork.toml"


def test_without_any_layer_there_are_the_defaults(tmp_path: Path) -> None:
    found = settings(tmp_path, HOME="/", PREFORK="worker:7")
    assert found.file is None
    assert found.values == {option.name: option.default for option in OPTIONS}
    assert found.sources == {}


def test_options_may_stand_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.prefork]\ntarget = "shop:app"\n')
    found = settings(tmp_path)
    assert (found["target"], found.source("target")) == ("shop:app", "pyproject.toml [tool.prefork]: target")
    (tmp_path / "prefork.toml").write_text('target = "other:app"\n')
    assert settings(tmp_path)["target"] == "other:app"


def test_a_pyproject_without_a_table_is_no_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert settings(tmp_path).file is None


def test_another_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "prefork.toml").write_text("workers = 2\n")
    (tmp_path / "other.toml").write_text("workers = 3\n")
    (tmp_path / "third.toml").write_text("workers = 4\n")
    assert settings(tmp_path, PREFORK_CONFIG="third.toml")["workers"] == 4
    found = settings(tmp_path, {"config": "other.toml"}, PREFORK_CONFIG="third.toml")
    assert (found["workers"], found.file, found.source("workers")) == (3, "other.toml", "other.toml: workers")


@pytest.mark.parametrize(
    ("file", "environ", "why"),
    [
        ("worker = 2", {}, "prefork.toml: there is no option worker: did you mean workers?"),
        ("drain-timeout = 2", {}, "prefork.toml: there is no option drain-timeout: did you mean drain_timeout?"),
        ('config = "x"', {}, "prefork.toml: there is no option config"),
        ("workers = 0", {}, "prefork.toml: workers: 0 is not a whole number, 1 or more, or 'auto'"),
        ("workers = true", {}, "prefork.toml: workers: True is not a whole number, 1 or more, or 'auto'"),
        ("workers = '4'", {}, "prefork.toml: workers: '4' is not a whole number, 1 or more, or 'auto'"),
        ("reload = 'yes'", {}, "prefork.toml: reload: 'yes' is neither true nor false"),
        (
            "interface = 'agsi'",
            {},
            "prefork.toml: interface: 'agsi' is not one of auto, asgi, wsgi: did you mean asgi?",
        ),
        ("max_memory = '5 apples'", {}, "prefork.toml: max_memory: '5 apples' is not a size such as 512MB or 1.5GB"),
        ("bind = [8000]", {}, "prefork.toml: bind: 8000 is not text"),
        ("bind = []", {}, "prefork.toml: bind: the list is empty"),
        ("workers = ", {}, "prefork.toml: Invalid value"),
        ("[run]\nworkers = 1", {}, "prefork.toml: there is no option run"),
        ("", {"PREFORK_WORKER": "2"}, "PREFORK_WORKER: there is no such variable: did you mean PREFORK_WORKERS?"),
        ("", {"PREFORK_WORKERS": "two"}, "PREFORK_WORKERS: 'two' is not a whole number, 1 or more, or 'auto'"),
        ("", {"PREFORK_SPARES": "-1"}, "PREFORK_SPARES: -1 is not a whole number, 0 to 1000"),
        ("", {"PREFORK_RELOAD": "perhaps"}, "PREFORK_RELOAD: 'perhaps' is neither true nor false"),
        ("", {"PREFORK_NAME": "a/b"}, "PREFORK_NAME: 'a/b' is not a daemon's name: letters, digits, '-', '_' and '.'"),
        ("", {"PREFORK_NAME": ".."}, "PREFORK_NAME: '..' is not a daemon's name"),
        ("", {"PREFORK_SERVER": ""}, "PREFORK_SERVER: '' is not the name of a server"),
        ("", {"PREFORK_PORT": "8000"}, "PREFORK_PORT: there is no such variable"),
        ("", {"PREFORK_SERVICE": "x"}, "PREFORK_SERVICE: there is no such variable"),
        ("", {"WEB_CONCURRENCY": "many"}, "WEB_CONCURRENCY: 'many' is not a whole number, 1 or more, or 'auto'"),
        ("", {"FORWARDED_ALLOW_IPS": "lb"}, "FORWARDED_ALLOW_IPS: 'lb' is no address, no network such as 10.0.0.0/8"),
        ("forwarded_allow_ips = '10.0.0.1/8'", {}, "prefork.toml: forwarded_allow_ips: '10.0.0.1/8' is no address"),
        ("keep_alive = 0.5", {}, "prefork.toml: keep_alive: 0.5 is not a time such as 75 or 2m, one"),
        ("backlog = 0", {}, "prefork.toml: backlog: 0 is not a whole number, 1 or more"),
        ("root_path = 'shop'", {}, "prefork.toml: root_path: 'shop' is not a path such as /shop"),
        ("", {"PORT": "http"}, "PORT: ':http' is no address"),
        ("", {"PORT": "70000"}, "PORT: ':70000' is no address"),
        ("", {"PREFORK_CONFIG": "none.toml"}, "none.toml: cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_option_or_no_value_is_refused_by_place(
    tmp_path: Path, file: str, environ: dict[str, str], why: str
) -> None:
    (tmp_path / "prefork.toml").write_text(file)
    with pytest.raises(UsageError) as refused:
        resolve({}, environ, str(tmp_path))
    assert str(refused.value).startswith(why)


SERVICE_LINKS = {
    "PREFORK_SERVICE_HOST": "10.0.0.7",
    "PREFORK_SERVICE_PORT": "80",
    "PREFORK_SERVICE_PORT_HTTP": "80",
    "PREFORK_PORT": "tcp://10.0.0.7:80",
    "PREFORK_PORT_80_TCP": "tcp://10.0.0.7:80",
    "PREFORK_PORT_80_TCP_PROTO": "tcp",
    "PREFORK_PORT_80_TCP_PORT": "80",
    "PREFORK_PORT_80_TCP_ADDR": "10.0.0.7",
    "PREFORK_WEB_SERVICE_HOST": "10.0.0.8",
    "PREFORK_WEB_PORT": "udp://10.0.0.8:53",
    "PREFORK_WEB_PORT_53_UDP_ADDR": "10.0.0.8",
}


def test_variables_of_kubernetes_for_services_are_no_options(tmp_path: Path) -> None:
    found = resolve({}, SERVICE_LINKS | {"PREFORK_WORKERS": "3"}, str(tmp_path))
    assert (found["workers"], list(found.sources)) == (3, ["workers"])
    assert daemon_here(SERVICE_LINKS | {"PREFORK_NAME": "till"}, str(tmp_path)) == ("till", None)


def test_variables_of_platforms_count_less_than_any_other_source(tmp_path: Path) -> None:
    platform = {"PORT": "5000", "WEB_CONCURRENCY": "5"}
    found = resolve({}, platform, str(tmp_path))
    assert (found["bind"], found["workers"]) == (["tcp://*:5000"], 5)
    assert (found.source("bind"), found.source("workers")) == ("PORT", "WEB_CONCURRENCY")
    (tmp_path / "prefork.toml").write_text("workers = 2\n")
    found = resolve({}, platform | {"PREFORK_BIND": "127.0.0.1:1"}, str(tmp_path))
    assert (found["bind"], found["workers"]) == (["tcp://127.0.0.1:1"], 2)
    assert settings(tmp_path, PORT="", WEB_CONCURRENCY="")["workers"] == 2
    found = settings(tmp_path, FORWARDED_ALLOW_IPS="10.0.0.1, 10.1.0.0/16")
    assert found["forwarded_allow_ips"] == ["10.0.0.1", "10.1.0.0/16"]
    given = resolve({"forwarded_allow_ips": ["*"]}, {"FORWARDED_ALLOW_IPS": "10.0.0.1"}, str(tmp_path))
    assert given["forwarded_allow_ips"] == ["*"]


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("workers", "auto", "auto"),
        ("workers", "12", 12),
        ("reload", "Off", False),
        ("drain_timeout", "90", 90.0),
        ("drain_timeout", "250ms", 0.25),
        ("max_age", "1.5h", 5400.0),
        ("max_memory", "512MB", 512 * 1024**2),
        ("max_memory", "1.5 GiB", 3 * 1024**3 // 2),
        ("max_memory", "64k", 64 * 1024),
        ("max_memory", "1000", 1000),
        ("bind", ":80, unix:/run/x", ["tcp://*:80", "unix:///run/x"]),
    ],
)
def test_values_as_people_write_them(option: str, text: str, value: object) -> None:
    assert BY_NAME[option].type.parse(text) == value


def test_a_file_may_give_numbers_text_and_lists(tmp_path: Path) -> None:
    (tmp_path / "prefork.toml").write_text(
        "drain_timeout = 5\nmax_memory = '1KB'\nbind = ':80'\nreload_dir = ['a', 'b']\n"
    )
    found = settings(tmp_path)
    assert [found[name] for name in ("drain_timeout", "max_memory", "bind", "reload_dir")] == [
        5.0, 1024, ["tcp://*:80"], ["a", "b"]
    ]  # fmt: skip


def test_values_travel_as_json() -> None:
    for option in OPTIONS:
        assert json.loads(json.dumps(option.default)) == option.default


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.default not in (None, [])])
def test_each_default_is_a_value_of_its_type(option: Any) -> None:
    assert option.type.check(option.default) == option.default


def test_names_are_told_apart() -> None:
    assert len(BY_NAME) == len(OPTIONS)
    shorts = [option.short for option in OPTIONS if option.short]
    assert len(set(shorts)) == len(shorts)
    assert all(option.help.endswith(".") for option in OPTIONS)
