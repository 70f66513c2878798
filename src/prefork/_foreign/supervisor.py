"""supervisor: the options of a program in its configuration (4.2)."""

from __future__ import annotations

from .setting import Setting, Tool

_LOGS = "no equal: the journal, or logrotate with USR1 (docs/logs.md)"
_EVENTS = "no equal: `prefork events --json` follows a daemon"

SETTINGS = (
    Setting("command COMMAND", "target", "an application or a `Daemon` in Python; other programs are units of systemd"),
    Setting("process_name NAME", "", "the key of a slot, such as web/0, is in titles and logs"),
    Setting("numprocs N", "workers"),
    Setting("numprocs_start N", "", "no equal: slots are counted from 0"),
    Setting("priority N", "", "After= of the units"),
    Setting("autostart", "", "`systemctl enable`"),
    Setting("startsecs SECONDS", "", "not needed: a worker is started when it is ready, within `start_timeout`"),
    Setting(
        "startretries N",
        "",
        "no equal: a worker is tried again, with pauses of up to 30 s; a first start that fails ends with 1",
    ),
    Setting("autorestart MODE", "", "`restart` of a kind in a `Daemon`: always, on-failure or never"),
    Setting("exitcodes CODES", "", '0 is the success of `restart="on-failure"`'),
    Setting("stopsignal SIGNAL", "", "no equal: TERM, at which a worker drains"),
    Setting("stopwaitsecs SECONDS", "drain_timeout"),
    Setting("stopasgroup", "", "not needed: a worker drains, and its children are its own"),
    Setting("killasgroup", "", "always so: the whole session is killed after `drain_timeout`"),
    Setting("user USER", "user"),
    Setting("redirect_stderr", "", "`capture` logs both streams, with the worker's name"),
    Setting("stdout_logfile stderr_logfile FILE", "log_file", "with `capture`"),
    Setting(
        "stdout_logfile_maxbytes stderr_logfile_maxbytes stdout_logfile_backups stderr_logfile_backups N", "", _LOGS
    ),
    Setting("stdout_capture_maxbytes stderr_capture_maxbytes N", "", _EVENTS),
    Setting("stdout_events_enabled stderr_events_enabled", "", _EVENTS),
    Setting("stdout_syslog stderr_syslog", "", "no equal: standard error goes to the journal under systemd"),
    Setting("environment KEY=VALUE", "env"),
    Setting("directory DIR", "chdir"),
    Setting("umask MODE", "umask"),
    Setting("serverurl URL", "", "no equal: the control socket is in the runtime directory"),
)

SUPERVISOR = Tool(
    "supervisor",
    SETTINGS,
    (
        "prefork runs workers of one Python program; for programs of other kinds systemd does what supervisor does.",
        "It listens once and passes the sockets to all workers, so that a reload or a crash refuses no connection.",
        "`supervisorctl restart` stops, then starts; `prefork reload` replaces workers by ready successors.",
        "`supervisorctl status` and `tail` are `prefork status` and `prefork events`; systemd does the rest.",
        "Different workers of one program, each with its own parameters, are the plan of a `Daemon` (README).",
    ),
)
