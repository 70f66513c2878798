"""What promtool says of the dashboard and of the alert rules: it parses them, and each alert fires when it should."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from grafana import ALERTS, alerts, expressions
from support import PROOF

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool of Prometheus is not installed")


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_every_expression_is_one_of_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(expressions())]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)
    assert f"{len(alerts())} rules found" in promtool("check", "rules", ALERTS)


ON = 'job="shop", instance="a:9464"'
UP = {f"prefork_master_up{{{ON}}}": "1x120"}
WEB = f'{ON}, pool="web"'
SERVED = {f"prefork_workers_wanted{{{WEB}}}": "4x120", f"prefork_workers_serving{{{WEB}}}": "4x120"}
OKAY = f'prefork_requests_total{{{ON}, class="2xx"}}'
FAILED = f'prefork_requests_total{{{ON}, class="5xx"}}'
WAITED = f"prefork_request_queue_seconds_bucket{{{ON}, le="
FULL = f'{ON}, listener="http"'
RELOADS = f'prefork_change_timestamp_seconds{{{ON}, change="reload", outcome='


def ended(cause: str, values: str) -> dict[str, str]:
    return {f'prefork_workers_ended_total{{{WEB}, cause="{cause}"}}': values}


Series = Mapping[str, str]
CASES: dict[str, tuple[Series, Series]] = {
    "PreforkNoWorkerReady": (
        {**SERVED, f"prefork_workers_serving{{{WEB}}}": "4x110 0x9"},
        {**SERVED, f"prefork_workers_serving{{{WEB}}}": "4x100 0 4x19"},
    ),
    "PreforkWorkersMissing": (
        {**SERVED, f"prefork_workers_serving{{{WEB}}}": "4x40 3x80"},
        {**SERVED, f"prefork_workers_serving{{{WEB}}}": "4x100 3x5 4x14"},
    ),
    "PreforkCrashLoop": (ended("crash", "0x100 0+1x20"), ended("reload", "0x100 0+4x20")),
    "PreforkOutOfMemory": (ended("out_of_memory", "0x110 1x10"), ended("out_of_memory", "3x120")),
    "PreforkHang": (
        {f'prefork_workers_hung_total{{{WEB}, verdict="deadlock"}}': "0x110 1x10"},
        {f'prefork_workers_hung_total{{{WEB}, verdict="deadlock"}}': "2x120"},
    ),
    "PreforkErrorShare": ({OKAY: "0+90x120", FAILED: "0+10x120"}, {OKAY: "0+990x120", FAILED: "0+10x120"}),
    "PreforkQueueTime": (
        {f'{WAITED}"0.5"}}': "0x120", f'{WAITED}"1.0"}}': "0+50x120", f'{WAITED}"+Inf"}}': "0+50x120"},
        {f'{WAITED}"0.5"}}': "0+50x120", f'{WAITED}"1.0"}}': "0+50x120", f'{WAITED}"+Inf"}}': "0+50x120"},
    ),
    "PreforkListenQueue": (
        {
            f"prefork_listen_queue_longest{{{FULL}}}": "0x100 1500x20",
            f"prefork_listen_queue_limit{{{FULL}}}": "2048x120",
        },
        {f"prefork_listen_queue_longest{{{FULL}}}": "100x120", f"prefork_listen_queue_limit{{{FULL}}}": "2048x120"},
    ),
    "PreforkMemoryNearLimit": (
        {f"prefork_memory_used_bytes{{{ON}}}": "95x120", f"prefork_memory_limit_bytes{{{ON}}}": "100x120"},
        {f"prefork_memory_used_bytes{{{ON}}}": "85x120", f"prefork_memory_limit_bytes{{{ON}}}": "100x120"},
    ),
    "PreforkReloadFailed": (
        {f'{RELOADS}"failed"}}': "1700000000x120"},
        {f'{RELOADS}"failed"}}': "1700000000x100 _x20 stale", f'{RELOADS}"done"}}': "_x101 1700000900x19"},
    ),
    "PreforkMoldFails": (
        {f"prefork_mold_failures{{{ON}}}": "0x100 3x20"},
        {f"prefork_mold_failures{{{ON}}}": "1x120"},
    ),
    "PreforkChangeDoesNotEnd": (
        {f'prefork_change_stage{{{ON}, stage="planning"}}': "1x120"},
        {f'prefork_change_stage{{{ON}, stage="rolling"}}': "0x110 1x10"},
    ),
    "PreforkMasterDoesNotAnswer": ({f"prefork_master_up{{{ON}}}": "1x110 0x10"}, UP),
    "PreforkAgentGone": ({f"prefork_master_up{{{ON}}}": "1x80 stale _x40"}, UP),
}
"""Alert -> series, a value each thirty seconds for an hour, with which it fires at the end, and with which not."""


def test_every_alert_has_its_cases() -> None:
    assert list(CASES) == list(alerts())
    assert ALERTS.read_text().count("description:") == len(CASES)


@needs_promtool
@pytest.mark.skipif(not PROOF, reason="make proof runs it")
def test_each_alert_fires_when_it_should_and_alone(tmp_path: Path) -> None:
    tests = []
    for name, (firing, quiet) in CASES.items():
        for series, count in (firing, 1), (quiet, 0):
            tests.append(
                {
                    "interval": "30s",
                    "input_series": [{"series": one, "values": each} for one, each in {**UP, **series}.items()],
                    "promql_expr_test": [
                        {
                            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                            "eval_time": "1h",
                            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] * count,
                        }
                    ],
                }
            )
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "30s", "tests": tests}))
    promtool("test", "rules", path)
