"""Settings of other tools lead to ours, and `prefork.run()` takes what `prefork run` takes."""

from __future__ import annotations

import re
from importlib import import_module
from types import FunctionType
from typing import Any

import click
import pytest

from prefork._foreign.every import TOOLS
from prefork._foreign.found import in_variables
from prefork._foreign.setting import Setting
from prefork._launch.served.foreign import advice
from prefork._launch.served.options import checked
from prefork._launch.served.run import RunKeywords
from prefork._options.table import BY_NAME
from prefork.cli import main

SETTINGS = [(tool.name, setting) for tool in TOOLS.values() for setting in tool.settings]
GUNICORN = """
config wsgi_app bind backlog workers worker_class threads worker_connections max_requests max_requests_jitter timeout
graceful_timeout keepalive limit_request_line limit_request_fields limit_request_field_size reload reload_engine
reload_extra_files spew check_config print_config preload_app sendfile reuse_port chdir daemon raw_env pidfile
worker_tmp_dir user group umask initgroups tmp_upload_dir secure_scheme_headers forwarded_allow_ips accesslog
disable_redirect_access_to_syslog access_log_format errorlog loglevel capture_output logger_class logconfig
logconfig_dict logconfig_json syslog_addr syslog syslog_prefix syslog_facility enable_stdio_inheritance statsd_host
dogstatsd_tags statsd_prefix enable_backlog_metric proc_name default_proc_name pythonpath paste on_starting on_reload
when_ready pre_fork post_fork post_worker_init worker_int worker_abort pre_exec pre_request post_request child_exit
worker_exit nworkers_changed on_exit ssl_context proxy_protocol proxy_allow_ips protocol uwsgi_allow_ips keyfile
certfile ssl_version cert_reqs ca_certs suppress_ragged_eofs do_handshake_on_connect ciphers http_protocols
http2_cleartext http2_max_concurrent_streams http2_initial_window_size http2_max_frame_size http2_max_header_list_size
raw_paste_global_conf permit_obsolete_folding strip_header_spaces permit_unconventional_http_method
permit_unconventional_http_version casefold_http_method forwarder_headers header_map asgi_loop asgi_lifespan
asgi_disconnect_grace_period http_parser root_path dirty_apps dirty_workers dirty_timeout dirty_threads
dirty_graceful_timeout on_dirty_starting dirty_post_fork dirty_worker_init dirty_worker_exit control_socket
control_socket_mode control_socket_disable websocket_max_message_size
"""
"""Every setting of gunicorn 27.0.1, which is not installed here."""


@pytest.mark.parametrize(("tool", "setting"), SETTINGS, ids=lambda value: getattr(value, "names", value))
def test_what_takes_its_place_exists(tool: str, setting: Setting) -> None:
    assert setting.ours or setting.text, "it has neither an equal nor a reason"
    if setting.ours.startswith("prefork "):
        assert main.get_command(main.make_context("prefork", ["check"]), setting.ours.split()[1]) is not None
    elif setting.ours:
        assert setting.ours in BY_NAME


@pytest.mark.parametrize("tool", TOOLS)
def test_each_name_is_in_a_table_once(tool: str) -> None:
    for names in ("keys", "flags"):
        every = [name for setting in TOOLS[tool].settings for name in getattr(setting, names)]
        assert sorted(set(every)) == sorted(every)


def test_flag_of_ours_is_the_equal_of_its_namesake() -> None:
    """A new option of ours has to be named in the rows of other tools that have it, or they say that there is none."""
    flags = {option.flag: option.name for option in BY_NAME.values()}
    unnamed = [
        f"{tool} {flag}"
        for tool, each in SETTINGS
        for flag in each.flags
        if flag in flags and flags[flag] != each.ours and flags[flag] not in each.text
    ]
    assert unnamed == ["hypercorn --user", "hypercorn --umask"]  # Those of a Unix socket: options of its address.


def test_texts_name_options_that_exist() -> None:
    words = {word for _, each in SETTINGS for word in re.findall(r"`([a-z]+_[a-z_]+)`", each.text + each.note)}
    assert words - {"proxy_pass", "uwsgi_pass"} <= set(BY_NAME)  # Those are nginx's.


def test_gunicorns_settings_are_all_in_the_table() -> None:
    assert {key for each in TOOLS["gunicorn"].settings for key in each.keys} == set(GUNICORN.split())


def test_keys_of_hypercorns_file_are_all_in_the_table() -> None:
    config = pytest.importorskip("hypercorn.config").Config
    known = {**vars(config), **config.__annotations__}
    methods = (FunctionType, classmethod)
    names = {name for name, value in known.items() if name[0] != "_" and not isinstance(value, methods)}
    names -= {name for name, value in known.items() if isinstance(value, property) and value.fset is None}
    assert {key for each in TOOLS["hypercorn"].settings for key in each.keys} == names


@pytest.mark.parametrize(("name", "command"), [("uvicorn", "uvicorn.main:main"), ("granian", "granian.cli:cli")])
def test_variable_of_each_option_is_read(name: str, command: str) -> None:
    tool, (module, _, attribute) = TOOLS[name], command.partition(":")
    pytest.importorskip(name)
    options = [each for each in getattr(import_module(module), attribute).params if isinstance(each, click.Option)]
    for each in options:
        variable = f"{tool.prefix}{each.name.upper()}"
        [found] = in_variables(tool, {variable: "1"})
        assert set(found.setting.flags) & set(each.opts), variable
        if each.multiple:
            assert tool.variables[each.name.upper()][1] == (each.type.envvar_list_splitter or " "), variable
    assert len(options) > 40


def test_options_of_the_usual_servers_are_known() -> None:
    usual = "--host --port -k --worker-class --factory --daemon --certfile --ssl-keyfile --timeout --graceful-timeout"
    assert not [name for name in f"{usual} --access-logfile --pid -D -t -e --harakiri".split() if not advice(name)]


def test_advice_names_flag_and_difference() -> None:
    assert advice("--timeout") == (
        ": here it is --hang-timeout; it ends a worker that makes no progress, not one that is slow"
    )
    assert advice("--daemon") == ": here it is prefork systemd; a service manager runs it in the background"
    assert advice("--nothing-of-anyone") == advice("-Z") == ""


def test_run_has_a_keyword_for_each_option() -> None:
    assert set(RunKeywords.__annotations__) == set(BY_NAME) - {"target"}


def test_run_takes_values_as_a_command_line_does() -> None:
    given = checked(
        "prefork.run()", {"target": "shop:app", "workers": 4, "bind": ":8000", "max_memory": "1GB", "server": None}
    )
    assert given == {"target": "shop:app", "workers": 4, "bind": ["tcp://*:8000"], "max_memory": 2**30}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"host": "::1"}, "prefork.run(): there is no option host: here it is bind; as in 127.0.0.1:8000"),
        ({"graceful_timeout": 1}, "prefork.run(): there is no option graceful_timeout: here it is drain_timeout"),
        ({"worker": 2}, "prefork.run(): there is no option worker: did you mean workers?"),
        ({"workers": 0}, "prefork.run(): workers: 0 is not a whole number, 1 or more, or 'auto'"),
        ({"target": print}, "as in 'shop:app', since workers import it themselves"),
    ],
)
def test_run_refuses_by_a_sentence(options: dict[str, Any], why: str) -> None:
    with pytest.raises(Exception, match="prefork") as refused:
        checked("prefork.run()", options)
    assert why in str(refused.value)
